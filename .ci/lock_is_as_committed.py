"""Compare dvc.lock, as `make run` left it, with the committed one.

Code, settings and what follows from them on any processor must be the same. A model is not, in its last digits, where
the processor has other instructions, and neither is what is made with it: that is told.
"""

import subprocess
import sys

import yaml

EXACT = ("lib/", "stages/", "data/sample", "data/occurrence", "data/inputs")


def entries(text: str) -> dict[tuple[str, str, str], str]:
    stages = yaml.safe_load(text)["stages"]
    return {
        (name, kind, entry["path"]): entry.get("md5", "")
        for name, stage in stages.items()
        for kind in ("deps", "outs")
        for entry in stage.get(kind, ())
    }


committed = entries(subprocess.run(["git", "show", "HEAD:dvc.lock"], capture_output=True, text=True, check=True).stdout)
with open("dvc.lock", encoding="utf-8") as file:
    made = entries(file.read())
different = sorted(key for key in committed.keys() | made.keys() if committed.get(key) != made.get(key))
wrong = [key for key in different if key[2].startswith(EXACT)]
for name, kind, path in different:
    print(f"{name}: {path} ({kind}) is not as committed")
if wrong:
    sys.exit("error: dvc.lock does not come from this code; run `make run` in a fresh clone, and commit it")
if different:
    print("another processor than that of the committed run: its models differ in their last digits")

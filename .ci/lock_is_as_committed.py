"""Compare dvc.lock, as `make run` left it, with the committed one.

Commands, settings, code and inputs must be the same. Outputs follow from them, but for last digits where the processor
has other instructions: such differences are printed.
"""

import subprocess
import sys

import yaml

EXACT = ("lib/", "stages/", "data/sample", "data/occurrence", "data/inputs", "data/registry")
"""Paths whose content is the same on any processor."""


def entries(text: str) -> dict[tuple[str, str, str], str]:
    """By stage, kind and path or setting: what dvc.lock holds."""
    found: dict[tuple[str, str, str], str] = {}
    for name, stage in yaml.safe_load(text)["stages"].items():
        found[name, "cmd", ""] = stage["cmd"]
        for kind in ("deps", "outs"):
            found |= {(name, kind, entry["path"]): entry.get("md5", "") for entry in stage.get(kind, ())}
        for file, settings in stage.get("params", {}).items():
            found |= {(name, "params", f"{file}:{key}"): str(value) for key, value in settings.items()}
    return found


def main() -> None:
    committed = entries(
        subprocess.run(["git", "show", "HEAD:dvc.lock"], capture_output=True, text=True, check=True).stdout
    )
    with open("dvc.lock", encoding="utf-8") as file:
        made = entries(file.read())
    different = sorted(key for key in committed.keys() | made.keys() if committed.get(key) != made.get(key))
    for name, kind, path in different:
        print(f"{name}: {path} ({kind}) is not as committed")
    if any(kind in ("cmd", "params") or path.startswith(EXACT) for _, kind, path in different):
        sys.exit("error: dvc.lock does not come from this code; run `make run` in a fresh clone, and commit it")
    if different:
        print("another processor than that of the committed run: its models differ in their last digits")


if __name__ == "__main__":
    main()

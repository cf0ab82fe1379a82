"""Print a bash script that runs all commands of README.md, in their order, as a new user would.

Usage: python3 .ci/readme_commands.py REPOSITORY | bash
"""

import re
import shlex
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SERVERS = {"mlflow ui": 5000, "stages.serve": 8090, "stages.review": 8091}
"""Commands that serve a page, and its port."""
TO_WAIT_FOR_QUEUE = """
dvc queue status > status.log
while grep -qE 'Queued|Running' status.log; do sleep 5; dvc queue status > status.log; done
if grep -q Failed status.log; then dvc queue logs few; dvc queue logs deep; exit 1; fi
rm status.log"""
TO_SHARE_ENVIRONMENT = """
if [[ -e REPOSITORY/.venv/.ready ]]; then  # which `make` made by the same rule as it would here
    ln -s REPOSITORY/.venv .venv && echo .venv >> .git/info/exclude
fi"""
TO_BEGIN = """set -euo pipefail
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
port_is_free() {  # or the page that is opened would be that of another program
    if (: < "/dev/tcp/localhost/$1") 2> /dev/null; then echo "error: another program has port $1" >&2; exit 1; fi
}"""
TO_OPEN_PAGE = """
python - <<'EOF'
import sys, time, urllib.request
for _ in range(60):
    try:
        with urllib.request.urlopen("http://localhost:PORT") as page:
            sys.exit(page.status != 200)
    except OSError:
        time.sleep(1)
raise SystemExit("error: no page at port PORT")
EOF
kill $!"""


def commands(text: str, repository: str) -> list[str]:
    """The commands of a README.

    A command that serves a page runs in the background, and is stopped once it answers; one that ends with `# none`
    must find no model; what the first `make run` leaves is checked.
    """
    lines = []
    for kind, block in BLOCK.findall(text):
        if kind == "python":
            lines.append(f"python - <<'EOF'\n{block}EOF")
            continue
        for line in re.findall(r"^\$ (.+)$", block, re.MULTILINE):
            command = line.replace("EARSHOT mysounds", f"{shlex.quote(repository)} mysounds")
            for server, port in SERVERS.items():
                if server in command:
                    lines.append(f"port_is_free {port}")
                    command = command.split(" #")[0].rstrip() + " &" + TO_OPEN_PAGE.replace("PORT", str(port))
            if command.endswith("# none"):
                command = f"test \"$({command.split(' #')[0].rstrip()})\" = 'no model matches'"
            if "dvc queue start" in command:
                command += TO_WAIT_FOR_QUEUE
            if command.startswith("cd "):
                command += TO_SHARE_ENVIRONMENT.replace("REPOSITORY", shlex.quote(repository))
            if command.startswith("make run") and not any(line.startswith("make run") for line in lines):
                command = f"{command.split(' #')[0].rstrip()} 2>&1 | tee first.log\nbash .ci/check_first_run"
            lines.append(command)
    return lines


def main() -> None:
    print(TO_BEGIN)
    for command in commands(README.read_text(encoding="utf-8"), sys.argv[1]):
        print(f"printf '\\n== %s (after %s s)\\n' {shlex.quote(command.splitlines()[0])} $SECONDS", command, sep="\n")


if __name__ == "__main__":
    main()

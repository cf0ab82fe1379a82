"""What the page of `dvc plots show` needs to draw its charts without the internet; .dvc/plots.html is the page."""

from pathlib import Path

from lib.core.errors import Problem
from lib.core.files import project_root, write_text

SCRIPT = Path(".cache/vega.js")
VEGA_LITE = "5.21"
"""Version of the language in which DVC writes charts."""


def ensure_script() -> list[Problem]:
    """Write Vega, the library that draws DVC's charts, to where the page looks for it, unless it is there.

    Returns a Problem if it cannot be written.
    """
    path = project_root() / SCRIPT
    if not path.is_file():
        import vl_convert

        script = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
        try:
            write_text(path, script)
        except OSError as error:
            fault, remedy = f"cannot be written ({error.strerror})", "`dvc plots show` needs the internet without it"
            return [Problem(str(path), fault, remedy, lost=False)]
    return []

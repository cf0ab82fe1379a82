"""Classes that are to be left out of the results."""

from pathlib import Path

from lib.errors import Problem, SettingsError
from lib.inference.labels import class_fields, find_class


def read_exclusions(path: str | Path | None, classes: list[dict[str, str]]) -> tuple[set[str], list[Problem]]:
    """Names of the classes that a text file lists, one a line, by any of the label fields; # begins a remark.

    Lines that name no class become Problems. Raises SettingsError if the file cannot be read.
    """
    if path is None:
        return set(), []
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SettingsError(f"infer.exclude = {str(path)!r}: cannot be read ({error.strerror}); correct it") from None
    except UnicodeDecodeError:
        raise SettingsError(f"infer.exclude = {str(path)!r}: is no UTF-8 text; give a class a line") from None
    fields, names, problems = class_fields(classes), set(), []
    for number, line in enumerate(lines, 1):
        label = line.strip()
        if not label or label.startswith("#"):
            continue
        if name := find_class(label, fields):
            names.add(name)
        else:
            action = "correct the line, or take it out"
            problems.append(Problem(f"{path}:{number}", f"the model has no class {label}", action, lost=False))
    return names, problems

"""Classes: what each is called, and the one way to resolve a name, code or alternative name."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.core.csv_files import read_csv
from lib.core.errors import Problem, SettingsError
from lib.core.files import CONTROL, printable, read_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CLASSES_FILE = "classes.csv"
"""In the folder of a data set, if its classes are listed."""
CLASS_COLUMNS = ["name", "code", "alt_name", "alt_code", "category", "color"]
LABEL_FIELDS = {"names": "name", "codes": "code", "alt_names": "alt_name", "alt_codes": "alt_code"}
"""The label fields of a class, by precedence, and the columns that hold them."""
SHOWN_COLUMNS = {"names": (), "codes": ("code",), "alt_names": ("alt_name",), "alt_codes": ("alt_code", "code")}
"""By label field: the columns of which the first that has a value is shown; if none has, the name is."""


class ClassList:
    """Classes in the order of the scores.

    Args:
        entries: `name` of each class and, if it has them, `code`, `alt_name` and `alt_code`.

    >>> classes = ClassList([{"name": "Moor Frog", "code": "MOFR"}, {"name": "Common Toad", "alt_name": "Bufo bufo"}])
    >>> classes.resolve("MOFR"), classes.resolve("Bufo bufo"), classes.resolve("Wren")
    ('Moor Frog', 'Common Toad', None)
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self.entries = [{column: _text(entry.get(column)) for column in LABEL_FIELDS.values()} for entry in entries]
        self.names = [entry["name"] for entry in self.entries]

    def __len__(self) -> int:
        return len(self.names)

    def called(self, field: str) -> list[str]:
        """The label of each class in a field: names, codes, alt_names or alt_codes.

        A missing code or alternative name is replaced by the name, a missing alternative code by the code.
        """
        columns = SHOWN_COLUMNS[field]
        return [next((entry[column] for column in columns if entry[column]), entry["name"]) for entry in self.entries]

    def resolve(self, label: str, first: str = "names") -> str | None:
        """The name of the class with this name or, if there is none, this code, alternative name or alternative code.

        None if there is no such class, or several: subspecies may share an alternative name, which is then ambiguous.

        Args:
            label: a name or code.
            first: the label field that takes precedence over the others.
        """
        for field in (first, *LABEL_FIELDS):
            if label in self._by_field[field]:
                return self._by_field[field][label]
        return None

    def indices(self, labels: Iterable[str]) -> "np.ndarray":
        """Positions, int (n,), of the classes that labels resolve to; -1 for a label that resolves to none."""
        import numpy as np  # a setting that names a format is checked without it

        labels = list(labels)
        position: dict[str | None, int] = {name: index for index, name in enumerate(self.names)}
        index_of = {label: position.get(self.resolve(label), -1) for label in set(labels)}
        return np.array([index_of[label] for label in labels], np.int64)

    @property
    def shared(self) -> list[str]:
        """Labels that resolve to no class because several have them, sorted."""
        labels = {label for names in self._by_field.values() for label, name in names.items() if name is None}
        return sorted(label for label in labels if self.resolve(label) is None)

    @cached_property
    def _by_field(self) -> dict[str, dict[str, str | None]]:
        """By label field and label: the name of the class, None if there are several."""
        names: dict[str, dict[str, str | None]] = {field: {} for field in LABEL_FIELDS}
        for field, column in LABEL_FIELDS.items():
            for entry in self.entries:
                if label := entry[column]:
                    names[field][label] = None if label in names[field] else entry["name"]
        return names


def resolved_class(classes: ClassList, label: str, whose: str) -> str:
    """The name of the class that --class means. whose: the classes, in words. Raises SettingsError if there is none."""
    if (name := classes.resolve(label)) is None:
        raise SettingsError(f"--class {label}", f"is no class of {whose}", "correct it")
    return name


def class_label(text: str) -> str:
    r"""A name or code of a class on one line, with single spaces.

    >>> class_label("Moor\r\n Frog ")
    'Moor Frog'
    """
    return " ".join(CONTROL.sub(" ", text).split())


def read_class_table(folder: Path, annotated: Iterable[str]) -> "tuple[pd.DataFrame, list[Problem]]":
    """The classes of a data set: a table of CLASS_COLUMNS, and a Problem for each row that cannot be used.

    Args:
        folder: its `classes.csv` lists them.
        annotated: the classes of the annotations, which are used if there is no such file.

    Raises DataSetError.
    """
    import pandas as pd

    path = folder / CLASSES_FILE
    if not path.is_file():
        names = sorted(set(map(class_label, annotated)) - {""})
        table = pd.DataFrame({"name": names, "code": names})
        return table.reindex(columns=CLASS_COLUMNS, fill_value="").astype(str), []
    table = read_csv(path, ["name"]).reindex(columns=CLASS_COLUMNS, fill_value="").map(class_label)
    table["code"] = table["code"].where(table["code"] != "", table["name"])
    repeated = table["name"].duplicated() | table["code"].duplicated() | (table["name"] == "")
    fault = "its name or code is empty or repeats an earlier one"
    problems = [Problem(printable(f"{path}:{line}"), fault, "correct the row") for line in table.index[repeated]]
    return table[~repeated].reset_index(drop=True), problems


def read_excluded(path: str | Path | None, classes: ClassList) -> tuple[set[str], list[Problem]]:
    """Names of the classes that a text file lists, one name or code per line; # begins a comment line.

    Lines that resolve to no class become Problems. Raises SettingsError if the file cannot be read.
    """
    if path is None:
        return set(), []
    setting = f"infer.exclude = {str(path)!r}"
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise SettingsError(setting, f"cannot be read ({error.strerror})", "correct it") from None
    except UnicodeDecodeError:
        raise SettingsError(setting, "is not UTF-8 text", "write one class per line") from None
    names: set[str] = set()
    problems = []
    for number, label in enumerate(map(str.strip, lines), 1):
        if name := classes.resolve(label):
            names.add(name)
        elif label and not label.startswith("#"):
            fault, remedy = f"the model has no class {label}", "correct or remove the line"
            problems.append(Problem(printable(f"{path}:{number}"), fault, remedy, lost=False))
    return names, problems


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

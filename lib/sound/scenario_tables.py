"""Scenarios and regression tests: stretches of recordings that are scored separately, a CSV file each.

Columns: recording, start_time, end_time (s; inf: to its end), class (empty: all), kind (scenario or regression). The
curation loop writes these files, people may, too; evaluate reads them.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from lib.core.csv_files import number_in, read_csv, write_csv
from lib.core.errors import DataSetError, Problem
from lib.core.files import printable
from lib.core.wording import seconds_text

SCENARIO_COLUMNS = ["recording", "start_time", "end_time", "class", "kind"]
KIND_SCENARIO, KIND_REGRESSION = "scenario", "regression"
_UNSAFE = re.compile(r'[/\\:*?"<>|%\x00-\x1f]|^[.~]')
"""Characters that no file name should hold."""


class ScenarioStretch(NamedTuple):
    """A part of a recording, start_time to end_time (s), in which sounds of a class, "": of all, are scored."""

    recording: str
    start_time: float
    end_time: float
    class_name: str = ""


class Scenario(NamedTuple):
    """Stretches that are scored together; is_regression: where a fault is a failure."""

    name: str
    stretches: tuple[ScenarioStretch, ...]
    is_regression: bool


def scenario_path(folder: str | Path, name: str) -> Path:
    """The file of a scenario.

    >>> scenario_path("data/scenarios", "dawn/rain 50 %").name
    'dawn%2Frain 50 %25.csv'
    """
    return Path(folder, f"{_UNSAFE.sub(lambda match: f'%{ord(match[0]):02X}', name)}.csv")


def write_scenario(folder: str | Path, scenario: Scenario) -> None:
    """Write the file of a scenario, its stretches sorted so that git shows what changed."""
    kind = KIND_REGRESSION if scenario.is_regression else KIND_SCENARIO
    rows = [
        (name, seconds_text(start), seconds_text(end), label, kind)
        for name, start, end, label in sorted(scenario.stretches)
    ]
    write_csv(scenario_path(folder, scenario.name), SCENARIO_COLUMNS, rows)


def read_scenario_files(folder: str | Path) -> tuple[list[Scenario], list[Problem]]:
    """The scenarios of a folder by name, and a Problem for each file or row that is unusable; no folder holds none."""
    scenarios, problems = [], []
    for path in sorted(Path(folder).glob("*.csv")):
        try:
            table = read_csv(path, SCENARIO_COLUMNS)
        except DataSetError as error:
            problems.append(error.problem())
            continue
        stretches, kinds = [], set()
        for line, row in zip(table.index, table.to_dict("records"), strict=True):
            start, end = number_in(row["start_time"]), number_in(row["end_time"])
            if not (0 <= start < end and row["kind"] in (KIND_SCENARIO, KIND_REGRESSION)):
                fault = "needs 0 <= start_time < end_time, and the kind scenario or regression"
                problems.append(Problem(printable(f"{path}:{line}"), fault, "correct the row"))
                continue
            stretches.append(ScenarioStretch(row["recording"], start, end, row["class"]))
            kinds.add(row["kind"])
        scenarios.append(Scenario(printable(unquote(path.stem)), tuple(stretches), KIND_REGRESSION in kinds))
    return scenarios, problems


def overlapping(stretches: Iterable[ScenarioStretch], start: float, end: float) -> list[ScenarioStretch]:
    """Those of the stretches that share some time with start to end (s)."""
    return [each for each in stretches if each.start_time < end and start < each.end_time]

"""What a clip index is made of: the sounds of the results store and of both data sets, recording by recording."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import select

from lib.config.schema import DataSettings, Settings
from lib.core.databases import readable
from lib.core.errors import EarshotError, Problem
from lib.core.files import printable
from lib.curation.chosen_sounds import DecisionNames
from lib.curation.data_set_split import GROUPINGS
from lib.curation.sound_outcomes import OUTCOMES, Outcomes, SoundStretches, outcomes
from lib.formats.data_sets import DataSet, read_test_set, read_training_set
from lib.results.results_store import ResultsStore
from lib.results.results_tables import FILE, LABEL, RECORDING
from lib.sound.classes import ClassList
from lib.sound.metadata import moment_in_name

FOUND, ANNOTATED = "found", "annotated"
SOUND_COLUMNS = ["class", "start_time", "end_time", "low_freq", "high_freq", "score"]


class IndexedRecording(NamedTuple):
    """A recording and its clips: a row of the table Recording without its ID, and rows of Clip without theirs."""

    row: dict[str, Any]
    clips: list[dict[str, Any]]


class ClipSources:
    """Where clips come from.

    Args:
        settings: of the data sets, and of evaluate.
        labels: folder that infer wrote.

    Attributes:
        data_sets: training and test set, as far as they can be read, by name.
        classes: names of all classes, sorted.
        problems: what was left out.
        names: of recordings in decisions.
    """

    def __init__(self, settings: Settings, labels: str) -> None:
        self._labels, self._min_seconds = labels, settings.evaluate.min_seconds
        self.problems: list[Problem] = []
        self.data_sets = self._read_sets(settings.data)
        self.names = DecisionNames(list(self.data_sets.values()))
        names = {name for data_set in self.data_sets.values() for name in data_set.classes["name"]}
        with ResultsStore(labels) as store:
            self._class_lists = [store.manifest.class_list]
        self.classes = sorted(names | set(self._class_lists[0].names))
        for data_set in self.data_sets.values():
            self._class_lists.append(ClassList(data_set.classes.to_dict("records")))  # type: ignore[arg-type]

    def class_of(self, label: str) -> str:
        """The name of the class that a label, such as a code in a decision, means; the label if there is none."""
        if label in self.classes:
            return label
        return next((name for one in self._class_lists if (name := one.resolve(label)) is not None), label)

    def _read_sets(self, settings: DataSettings) -> dict[str, DataSet]:
        data_sets = {}
        for name, read in (("test", read_test_set), ("train", read_training_set)):
            try:
                data_sets[name] = read(settings)
            except EarshotError as error:
                self.problems.append(error.problem())
        return data_sets

    def recordings(self) -> Iterator[IndexedRecording]:
        """The recordings of the results store, then those of the data sets that are not in it, one at a time."""
        taken = set[str]()
        annotated = {name: _by_recording(data_set) for name, data_set in self.data_sets.items()}
        with ResultsStore(self._labels) as store:
            classes = store.manifest.class_list
            results, truths = store.recordings(), self._truths(classes)
            for name, found in _found(store):
                try:
                    known, outside = self.names.of(name, Path(results[name].path))
                except EarshotError as error:
                    self.problems.append(error.problem())
                    continue
                if known in taken:
                    fault, remedy = f"is the same recording as another one ({known})", "remove one, and run infer again"
                    self.problems.append(Problem(printable(name), fault, remedy))
                    continue
                taken.add(known)
                row = self.row(known, results[name].path, outside is not None, results[name].seconds)
                row["FoundName"], of_set = name, row["DataSet"]
                sounds = annotated[of_set].get(known, _NOTHING) if of_set else _NOTHING
                clips = _clips(found, sounds, known in truths, classes, self._min_seconds)
                yield IndexedRecording(row, sorted(clips, key=_start))
        for of_set, data_set in self.data_sets.items():
            for name, path in data_set.recordings.items():
                if name not in taken:
                    taken.add(name)
                    sounds = annotated[of_set].get(name, _NOTHING)
                    clips = sorted(_rows(sounds, ANNOTATED, None), key=_start)
                    yield IndexedRecording(self.row(name, path, False, None), clips)

    def row(self, name: str, path: str | Path, is_outside: bool, seconds: float | None) -> dict[str, Any]:
        """The row of a recording that is not in the results store. name: in decisions; seconds: None: unknown."""
        of_set = next((each for each, one in self.data_sets.items() if name in one.recordings), "")
        moment, place = moment_in_name(name), self._place(of_set, path)
        return {
            "Name": name,
            "FoundName": None,
            "Path": str(path),
            "IsOutside": int(is_outside),
            "Seconds": seconds,
            "DataSet": of_set,
            "Site": GROUPINGS["site"](place, place) or "",
            "Date": moment.date.isoformat() if moment else "",
        }

    def _place(self, of_set: str, path: str | Path) -> Path:
        """Where a recording lies in its data set, or in its folder: by this its site is known."""
        path = Path(path)
        folder = self.data_sets[of_set].folder if of_set else path.parent.parent
        return path.relative_to(folder) if path.is_relative_to(folder) else Path(path.parent.name, path.name)

    def _truths(self, classes: ClassList) -> set[str]:
        """Recordings that are annotated as a whole, so that what is found in them is right or wrong."""
        judged = {
            name
            for data_set in self.data_sets.values()
            for name, judgement in data_set.judgements.items()
            if judgement.judged is not None
        }
        return {name for data_set in self.data_sets.values() for name in data_set.recordings} - judged


_NOTHING = pd.DataFrame(columns=SOUND_COLUMNS)


def _found(store: ResultsStore) -> Iterator[tuple[str, pd.DataFrame]]:
    """The labels of each recording in which there are any, in the order of names."""
    label, names = LABEL.c, store.manifest.class_list.names
    columns = label.Class, label.StartTime, label.EndTime, label.LowFreq, label.HighFreq, label.Score
    query = select(RECORDING.c.Name, *columns).select_from(LABEL).join(RECORDING)
    query = query.where(RECORDING.c.Settings == store.manifest.key, RECORDING.c.Seconds.is_not(None))
    with readable(store.path, FILE):
        rows = store.connection.execute(query.order_by(RECORDING.c.Name, label.Number))
        for name, of_recording in groupby(rows, key=lambda row: row[0]):
            table = pd.DataFrame([row[1:] for row in of_recording], columns=SOUND_COLUMNS)
            yield name, table.assign(**{"class": [names[index] for index in table["class"]]})


def _by_recording(data_set: DataSet) -> dict[str, pd.DataFrame]:
    table = data_set.annotations.reindex(columns=["recording", *SOUND_COLUMNS])
    return dict(iter(table.groupby("recording")[SOUND_COLUMNS]))


def _clips(
    found: pd.DataFrame, annotated: pd.DataFrame, is_known: bool, classes: ClassList, min_seconds: float
) -> list[dict[str, Any]]:
    if not is_known:
        return [*_rows(found, FOUND, None), *_rows(annotated, ANNOTATED, None)]
    known = annotated["class"].map(lambda name: classes.resolve(name) or name)
    names = sorted({*found["class"], *known})
    index = {name: number for number, name in enumerate(names)}
    of_sides = [
        SoundStretches(
            labels.map(index).to_numpy(np.int64),
            table["start_time"].to_numpy(np.float64),
            table["end_time"].to_numpy(np.float64),
        )
        for table, labels in ((found, found["class"]), (annotated, known))
    ]
    of_found, of_annotated = outcomes(of_sides[0], of_sides[1], min_seconds)
    return [
        *_rows(found, FOUND, of_found, names),
        *_rows(annotated.assign(**{"class": known}), ANNOTATED, of_annotated, names),
    ]


def _start(clip: dict[str, Any]) -> float:
    return clip["StartTime"]


def _rows(table: pd.DataFrame, origin: str, what: Outcomes | None, names: list[str] | None = None) -> list[dict]:
    plain = table.astype(object).where(table.notna(), None)
    kinds = [""] * len(table) if what is None else [OUTCOMES[kind] for kind in what.kinds]
    others = [""] * len(table) if what is None else [(names or [])[k] if k >= 0 else "" for k in what.others]
    rows = []
    for values, kind, other in zip(plain.itertuples(index=False), kinds, others, strict=True):
        name, start, end, low, high, score = values
        row = {"Origin": origin, "Class": name, "StartTime": start, "EndTime": end, "LowFreq": low, "HighFreq": high}
        row |= {"Score": score, "Outcome": kind, "OtherClass": other}
        rows.append(row | {"Decision": "", "NewClass": ""})
    return rows

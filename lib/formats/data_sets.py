"""Data sets: labelled recordings in any of the formats, and what people decided about them since."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lib.config.schema import PRESENCE_SECONDS, DataSetSettings, DataSettings
from lib.core.csv_files import read_csv
from lib.core.digests import digest_known_file, digest_of
from lib.core.errors import DataSetError, Problem, SettingsError
from lib.core.files import printable
from lib.formats import Annotated, is_table, reader_of
from lib.sound.annotations import ANNOTATION_COLUMNS, checked_annotations
from lib.sound.classes import CLASS_COLUMNS, CLASSES_FILE, ClassList, read_class_table
from lib.sound.decided_annotations import Judgement, apply_decisions
from lib.sound.decisions import read_decisions
from lib.sound.recordings import Recordings, find_recordings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class DataSet:
    """Labelled recordings.

    Args:
        folder: where they are.
        recordings: name -> file.
        annotations: the annotation table, with class names; end_time inf: to the end of the recording.
        classes: the class table.
        problems: what was left out, or is unusual.
        judgements: what decisions, which the annotations follow, say of recordings besides.
        foreign: names of recordings that are not in the data set and were decided about.
    """

    folder: Path
    recordings: Recordings
    annotations: "pd.DataFrame"
    classes: "pd.DataFrame"
    problems: list[Problem]
    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()

    @cached_property
    def contents(self) -> dict[str, str]:
        """Digest of each recording's content, by name; of one that cannot be read, why."""
        contents = {}
        for name, path in self.recordings.items():
            try:
                contents[name] = digest_known_file(path)
            except OSError as error:  # reported by whoever reads it
                contents[name] = str(error.strerror)
        return contents

    @cached_property
    def digest(self) -> str:
        """Digest of the recordings' content, the annotations and the classes."""
        tables = [table.astype(str).to_numpy().tolist() for table in (self.annotations, self.classes)]
        return digest_of([self.contents, tables])


def folder_of(settings: DataSetSettings) -> Path:
    """The folder that the recordings of a data set are in: itself, or that of its table."""
    place = Path(settings.path)
    return place.parent if is_table(place, settings.format) else place


def read_data_set(settings: DataSetSettings, decisions: str | None = None) -> DataSet:
    """Read a data set, with the decisions of a file applied.

    Raises DataSetError if the folder, its format or all of its recordings are missing, or if the decisions cannot be
    read.
    """
    place = folder_of(settings)
    return _data_set_of(place, place, _read(settings), settings.include, decisions)


def read_training_set(settings: DataSettings, min_seconds: float = PRESENCE_SECONDS) -> DataSet:
    """data.train with data.decisions applied, and those recordings of data.reviewed that were decided about.

    min_seconds: of an event that windows with it contain; see apply_decisions. Raises DataSetError as read_data_set.
    """
    place, annotated = folder_of(settings.train), _read(settings.train)
    reviewed, problems = find_recordings(settings.reviewed) if Path(settings.reviewed).is_dir() else ({}, [])
    for name in sorted(reviewed.keys() & annotated.recordings.keys()):
        fault, remedy = f"{place} has a recording of this name", "rename it, also in the decisions, or remove it"
        problems.append(Problem(printable(str(reviewed.pop(name))), fault, remedy))
    recordings, problems = annotated.recordings | reviewed, [*annotated.problems, *problems]
    annotated = annotated._replace(recordings=recordings, problems=problems)
    return _data_set_of(place, place, annotated, settings.train.include, settings.decisions, min_seconds, reviewed)


def read_test_set(settings: DataSettings, min_seconds: float = PRESENCE_SECONDS) -> DataSet:
    """data.test with data.decisions applied. Raises DataSetError as read_data_set.

    min_seconds: of an event that segments with it contain; see apply_decisions.
    """
    place = folder_of(settings.test)
    return _data_set_of(place, place, _read(settings.test), settings.test.include, settings.decisions, min_seconds)


def recordings_alone(settings: DataSetSettings) -> DataSet:
    """The recordings of a folder as a data set without annotations and classes.

    Raises AudioError if there is no such folder, DataSetError if no recordings are in it.
    """
    import pandas as pd

    place = Path(settings.path)
    recordings, problems = find_recordings(place, settings.include)
    _check_recordings(recordings, settings)
    return DataSet(
        place, recordings, pd.DataFrame(columns=ANNOTATION_COLUMNS), pd.DataFrame(columns=CLASS_COLUMNS), problems
    )


def _read(settings: DataSetSettings) -> Annotated:
    folder = Path(settings.path)
    annotated = reader_of(folder, settings.format).read(folder, settings.include)
    _check_recordings(annotated.recordings, settings)
    return annotated


def _check_recordings(recordings: Recordings, settings: DataSetSettings) -> None:
    """Raise DataSetError if there are none."""
    if not recordings:
        folder, place = Path(settings.path), folder_of(settings)
        fault = "holds no recordings" if place == folder else f"lists no recordings of {place}"
        chosen = f" that match {settings.include!r}" if settings.include else ""
        raise DataSetError(folder, f"{fault}{chosen}", "add some, or change data.*.path or data.*.include")


def read_annotated(recordings: str | Path, annotations: str | Path) -> DataSet:
    """Recordings of a folder with the annotations of a CSV file: recording, class, start_time, end_time (s).

    A row without a class says that nothing sounds in its recording. Classes are those of a classes.csv beside the
    annotations, else those of the annotations. Raises AudioError or DataSetError if there is nothing to read.
    """
    files, problems = find_recordings(recordings)
    if not files:
        raise DataSetError(recordings, "holds no recordings", "give the folder that the annotations are about")
    rows = read_csv(annotations, ANNOTATION_COLUMNS)
    rows["line"] = [printable(f"{annotations}:{line}") for line in rows.index]
    annotated = Annotated(files, rows[rows["class"] != ""], problems)
    return _data_set_of(Path(recordings), Path(annotations).parent, annotated, None)


def _data_set_of(
    folder: Path,
    class_folder: Path,
    annotated: Annotated,
    include: str | None,
    decisions_file: str | None = None,
    min_seconds: float = PRESENCE_SECONDS,
    reviewed: Recordings | None = None,
) -> DataSet:
    """A data set of what was read.

    Args:
        decisions_file: whose decisions to apply; None: none.
        min_seconds: see apply_decisions.
        reviewed: those of the recordings that have no annotations, and stay only if they were decided about.
    """
    recordings, rows, problems = annotated
    decisions, decision_problems = read_decisions(decisions_file)
    foreign = frozenset(decisions["recording"]) - recordings.keys()
    decisions = decisions[~decisions["recording"].isin(foreign)]
    new_classes = {*decisions["class"], *decisions["new_class"]} - {""}
    classes, class_problems = read_class_table(class_folder, [*rows["class"], *new_classes])
    class_list = ClassList(classes.to_dict("records"))  # type: ignore[arg-type]
    annotations, row_problems = checked_annotations(rows, recordings, class_list, include)
    problems = [*problems, *class_problems, *row_problems, *decision_problems]
    judgements = dict[str, Judgement]()
    if len(decisions):
        known = set(annotations["recording"])
        annotations, judgements, unapplied = apply_decisions(annotations, decisions, class_list, known, min_seconds)
        problems += unapplied
        if not (class_folder / CLASSES_FILE).is_file():  # one that was relabelled away is none
            classes = classes[~classes["name"].isin(new_classes - set(annotations["class"]))].reset_index(drop=True)
    undecided = (reviewed or {}).keys() - judgements.keys()
    recordings = {name: path for name, path in sorted(recordings.items()) if name not in undecided}
    return DataSet(folder, recordings, annotations, classes, problems, judgements, foreign)


def evaluation_data_set(
    settings: DataSettings, min_seconds: float, recordings: str | None, annotations: str | None
) -> DataSet:
    """The test set, or a folder of recordings with a CSV file of annotations if both are given.

    Raises SettingsError if one of them is missing, and as read_test_set and read_annotated do.
    """
    if (recordings is None) != (annotations is None):
        raise SettingsError("--recordings, --annotations", "go together", "give both or neither")
    if recordings and annotations:
        return read_annotated(recordings, annotations)
    return read_test_set(settings, min_seconds)

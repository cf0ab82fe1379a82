"""A labelled collection in sets: one to train with, one to test with and, if wanted, one to validate with.

Recordings that belong together (of the same site, say) stay in one set: a model that has heard a site's background and
its individuals does better there than anywhere else. So do files of the same content.

Sets get their share of the recordings of each class, see lib.core.stratification. A class whose recordings all belong
together can be in one set only, and is trained with; one of several groups is spread over the sets as far as the other
classes allow. A set that lacks a class is reported.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lib.core.csv_files import read_csv, write_table
from lib.core.digests import digest_known_file, digest_of
from lib.core.errors import AudioError, DataSetError, EarshotError, Problem, SettingsError, unreadable
from lib.core.files import link_or_copy, open_regular, printable
from lib.core.locks import sole_writer
from lib.core.stratification import stratify
from lib.core.wording import counted, shortened
from lib.formats.data_sets import DataSet
from lib.sound.metadata import DATE, recording_moment
from lib.sound.recordings import RecordingFinder, find_recordings

HEAD_BYTES = 2**16
RECORDINGS, ANNOTATIONS, CLASSES, SPLIT = "recordings", "annotations.csv", "classes.csv", "split.csv"
"""What a set consists of, and the table beside the sets."""


def _recording(place: Path, file: Path) -> str:
    return printable(str(place.with_suffix("")))


def _folder(place: Path, file: Path) -> str:
    return printable(str(place.parent))


def _site(place: Path, file: Path) -> str:
    match = DATE.search(place.stem)
    return printable((match and place.stem[: match.start()].strip("_- ")) or _folder(place, file))


def _night(place: Path, file: Path) -> str | None:
    try:
        moment = recording_moment(file)
    except AudioError:
        return None
    if moment is None:
        return None
    return str((moment.time - timedelta(hours=12)).date() if moment.time else moment.date)


GROUPINGS: dict[str, Callable[[Path, Path], str | None]] = {
    "recording": _recording,
    "folder": _folder,
    "site": _site,
    "night": _night,
}
"""What recordings can be kept together by -> the group of a recording, by its path within the collection and its file;
None if not known.

site: what precedes the date in the file's name, as recorders write it (SMM01234_20240512_053000), else the folder.
night: from noon to noon, by the recorder's clock.
"""


class Split(NamedTuple):
    """Which recordings of a collection are in which set.

    Args:
        table: recording, group, set; a row for each recording, by name.
        sets: names of the sets that there are.
    """

    table: pd.DataFrame
    sets: list[str]


def split_data_set(
    data_set: DataSet, shares: Mapping[str, float], by: str = "recording", seed: int = 0
) -> tuple[Split, list[Problem]]:
    """Assign the recordings of a data set to sets.

    Args:
        data_set: the collection.
        shares: name of each set -> its part of the recordings, which add up to 1; the first is the one that trains.
        by: what stays together: a key of GROUPINGS, or a CSV file with the columns recording and group.
        seed: of the order in which recordings are taken.

    Returns the split, and problems: recordings of no known group, files of the same content, classes that are not in
    every set. Raises EarshotError if a set would be empty.
    """
    names = list(data_set.recordings)
    groups, problems = _groups(data_set, by)
    together, content_problems = _keep_copies_together(data_set, groups)
    n_groups = int(together.max()) + 1
    if n_groups < len(shares):
        what = by if by in GROUPINGS else "group"
        fault = f"has {counted(n_groups, 'group')} by {what}, which cannot fill {len(shares)} sets"
        remedy = "split it by something finer, or by a CSV file with the columns recording and group"
        raise DataSetError(data_set.folder, fault, remedy)
    counts = np.zeros((n_groups, len(data_set.classes) + 1))
    np.add.at(counts, together, np.column_stack([_classes_of_recordings(data_set), np.ones(len(names))]))
    chosen = stratify(counts, _target_counts(counts, np.array(list(shares.values()))), np.random.default_rng(seed))
    if empty := [name for number, name in enumerate(shares) if number not in chosen]:
        fault = (
            f"nothing is left for {empty[0]}: each {by if by in GROUPINGS else 'group'} has a class that no other has"
        )
        raise DataSetError(data_set.folder, fault, "add recordings, or split it by something finer")
    set_of = np.array(list(shares))[chosen[together]]
    split = Split(pd.DataFrame({"recording": names, "group": groups, "set": set_of}), list(shares))
    return split, [*problems, *content_problems, *_sets_lacking_classes(split, data_set)]


def _groups(data_set: DataSet, by: str) -> tuple[list[str], list[Problem]]:
    """The group of each recording; one whose group is not known is a group of its own."""
    if by in GROUPINGS:
        known = {name: GROUPINGS[by](place, data_set.recordings[name]) for name, place in _places(data_set).items()}
        remedy = "each is split by itself; name them like 20240512_053000"
    elif Path(by).suffix.lower() in (".csv", ".tsv", ".txt"):
        table, finder = read_csv(by, ["recording", "group"]), RecordingFinder(data_set.recordings)
        known = {
            name if name in data_set.recordings else finder.named(name, Path(by)): group or None
            for name, group in zip(table["recording"], table["group"], strict=True)
        }
        remedy = f"each is split by itself; add them to {by}"
    else:
        fault = f"must be one of {', '.join(GROUPINGS)}, or a CSV file with the columns recording and group"
        raise SettingsError(f"--by {by!r}", fault)
    unknown = [name for name in data_set.recordings if known.get(name) is None]
    problems = []
    if unknown:
        fault = f"the {by if by in GROUPINGS else 'group'} of {counted(len(unknown), 'recording')} is not known"
        problems.append(_collection_problem(data_set, f"{fault} ({shortened(unknown, 5)})", remedy))
    return [known.get(name) or f"{name} (unknown)" for name in data_set.recordings], problems


def _keep_copies_together(data_set: DataSet, groups: list[str]) -> tuple[np.ndarray, list[Problem]]:
    """The number of each recording's group, int (n_recordings,), where groups that share a file's content are one."""
    contents, problems = _contents(data_set)
    group, content = np.unique(groups, return_inverse=True)[1], np.unique(contents, return_inverse=True)[1]
    n_groups = group.max() + 1
    n_nodes = n_groups + content.max() + 1
    links = coo_array((np.ones(len(group)), (group, n_groups + content)), (n_nodes, n_nodes))
    together = connected_components(links, directed=False)[1][group]
    counts = np.bincount(content)
    copies = [name for name, count in zip(data_set.recordings, counts[content], strict=True) if count > 1]
    if copies:
        fault = f"{counted(len(copies), 'recording')} with the content of another ({shortened(copies, 5)})"
        problems.append(_collection_problem(data_set, fault, "copies are in the same set; remove them"))
    return np.unique(together, return_inverse=True)[1], problems


def _contents(data_set: DataSet) -> tuple[list[str], list[Problem]]:
    """What tells the content of each recording. Only files whose size and beginning are alike are read."""
    beginnings, problems = [], []
    for name, path in data_set.recordings.items():
        try:
            with open_regular(path) as file:
                beginnings.append(digest_of([os.fstat(file.fileno()).st_size, file.read(HEAD_BYTES).hex()]))
        except OSError as error:
            problems.append(unreadable(path, error).problem(lost=False))
            beginnings.append(name)
    is_shared = pd.Series(beginnings).duplicated(keep=False)
    contents = list(beginnings)
    for index, path in enumerate(data_set.recordings.values()):
        if is_shared[index]:
            with suppress(OSError):  # reported above, or by whoever reads it
                contents[index] = digest_known_file(path)
    return contents, problems


def _classes_of_recordings(data_set: DataSet) -> np.ndarray:
    """Which recording has which class, bool (n_recordings, n_classes)."""
    annotations = data_set.annotations
    has = np.zeros((len(data_set.recordings), len(data_set.classes)), bool)
    rows = pd.Index(list(data_set.recordings)).get_indexer(annotations["recording"])
    has[rows, pd.Index(data_set.classes["name"]).get_indexer(annotations["class"])] = True
    return has


def _target_counts(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """What each set is to get of each class, and of recordings at all, (n_sets, n_classes + 1).

    Of a class in several groups, each set gets at least the smallest of them; of a class in one group, the first set
    gets all.
    """
    wanted = np.outer(shares, counts.sum(axis=0))
    classes = counts[:, :-1]
    n_groups = np.count_nonzero(classes, axis=0)
    smallest = np.where(classes > 0, classes, np.inf).min(axis=0)
    wanted[:, :-1] = np.where(n_groups > 1, np.maximum(wanted[:, :-1], smallest), wanted[:, :-1])
    alone = np.flatnonzero(n_groups == 1)
    wanted[:, alone] = 0
    wanted[0, alone] = classes[:, alone].sum(axis=0)
    return wanted


def _sets_lacking_classes(split: Split, data_set: DataSet) -> list[Problem]:
    """A Problem for each set that lacks classes."""
    counts = class_counts(split, data_set)
    problems = []
    for name in split.sets:
        lacking = list(counts["class"][(counts[name] == 0) & (counts[split.sets].sum(axis=1) > 0)])
        if lacking:
            fault = f"has no recording of {shortened(lacking)}"
            remedy = "add recordings that belong to other groups, or split it by something finer"
            problems.append(Problem(f"set {name}", fault, remedy, lost=False))
    return problems


def set_counts(split: Split, data_set: DataSet) -> pd.DataFrame:
    """What is in each set: set, and numbers of recordings, groups and annotations."""
    counts = split.table.groupby("set").agg(recordings=("recording", "size"), groups=("group", "nunique"))
    set_of = split.table.set_index("recording")["set"]
    counts["annotations"] = data_set.annotations["recording"].map(set_of).value_counts()
    return counts.reindex(split.sets).fillna(0).astype(int).rename_axis("set").reset_index()


def class_counts(split: Split, data_set: DataSet) -> pd.DataFrame:
    """How many recordings of each class are in each set: class, and a column for each set."""
    classes = list(data_set.classes["name"])
    counts = (
        pd.DataFrame(_classes_of_recordings(data_set), columns=classes).groupby(split.table["set"].to_numpy()).sum()
    )
    return counts.reindex(split.sets, fill_value=0).T.rename_axis("class").reset_index().rename_axis(None, axis=1)


def _collection_problem(data_set: DataSet, fault: str, remedy: str) -> Problem:
    return Problem(printable(str(data_set.folder)), fault, remedy, lost=False)


def write_split(split: Split, data_set: DataSet, output: str | Path) -> list[Problem]:
    """Write a folder for each set, in format `segments`, and split.csv, which says what is where.

    Recordings are hard links where the file system allows it, else copies; no file is overwritten. Annotations call
    them as the set does when it is read. The folder is whole or absent.

    Returns a Problem for each recording that cannot be copied. Raises EarshotError if the folder has content or lies in
    the collection, or if two recordings have the same place, as on a file system that ignores case.
    """
    output, folder = Path(output), data_set.folder
    if output.resolve().is_relative_to(folder.resolve()):
        raise EarshotError(output, f"lies in {folder}, which is split", "give a folder elsewhere")
    with sole_writer(output):
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            remedy = "give a new folder, or remove this one; corrections that were made in it would be lost"
            raise EarshotError(output, "exists already", remedy)
        part = output.with_name(f".{output.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a killed run
        problems = []
        places = _places(data_set)
        for name, table in split.table.groupby("set"):
            problems += _write_set(part / str(name), table, data_set, places)
        table = split.table.assign(file=[printable(str(places[name])) for name in split.table["recording"]])
        write_table(part / SPLIT, table[["recording", "file", "group", "set"]])
        os.replace(part, output)
    return problems


def _write_set(folder: Path, table: pd.DataFrame, data_set: DataSet, places: Mapping[str, Path]) -> list[Problem]:
    problems = []
    for name in table["recording"]:
        source, target = data_set.recordings[name], folder / RECORDINGS / places[name]
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _link(Path(os.path.realpath(source)), target)
        except OSError as error:
            if not os.access(source, os.R_OK):
                problems.append(unreadable(source, error).problem())
                continue
            raise
    # A name depends on which other recordings there are, so that it may be another within the set.
    name_of = {file: name for name, file in find_recordings(folder / RECORDINGS)[0].items()}
    files = {name: folder / RECORDINGS / places[name] for name in table["recording"]}
    names = {name: name_of[file] for name, file in files.items() if file in name_of}
    annotations = data_set.annotations[data_set.annotations["recording"].isin(names)]
    write_table(folder / ANNOTATIONS, annotations.assign(recording=annotations["recording"].map(names)), None)
    write_table(folder / CLASSES, data_set.classes)
    return problems


def _places(data_set: DataSet) -> dict[str, Path]:
    """Where each recording is within its set: as within the collection, or within its recordings/ if all are there."""
    root = data_set.folder / RECORDINGS
    if not all(file.is_relative_to(root) for file in data_set.recordings.values()):
        root = data_set.folder
    return {name: file.relative_to(root) for name, file in data_set.recordings.items()}


def _link(source: Path, target: Path) -> None:
    try:
        link_or_copy(source, target)
    except FileExistsError:  # a link to another recording of the collection
        fault = f"has the same place in its set as another recording: {target.name}, but for upper and lower case"
        raise EarshotError(source, fault, "give it another name") from None

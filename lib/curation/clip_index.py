"""The clip index: everything that people may look at and decide about, in one table that pages and counts quickly.

A clip is a sound that a model found, or an annotation. The index is made of the results store and the data sets when
the review page starts, and again when these have changed; it lies in a temporary folder and is never versioned. What
was decided about each clip follows the decisions file, also where others write it.
"""

import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import (
    Connection,
    Integer,
    Row,
    Select,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
)

from lib.config.schema import Settings
from lib.core.databases import open_database, usable
from lib.core.digests import state_of
from lib.core.errors import EarshotError
from lib.curation.chosen_sounds import SLACK, ChosenSound, as_decision, check_class, copy_recordings
from lib.curation.clip_filter import ClipFilter
from lib.curation.clip_sources import ANNOTATED, FOUND, ClipSources
from lib.curation.clip_tables import CHANGE, CLIP, FILE, RECORDING
from lib.results.results_tables import json_values
from lib.sound.decisions import UNSURE, append_decisions, last_decisions, read_decisions, undo_decisions

if TYPE_CHECKING:
    from lib.curation.nearest_windows import Match

ORDERS: dict[str, tuple[Any, ...]] = {
    "score": (CLIP.c.Score.desc().nulls_last(), CLIP.c.ID),
    "score rising": (CLIP.c.Score.asc().nulls_last(), CLIP.c.ID),
    "time": (CLIP.c.ID,),
    "uncertain": (func.abs(CLIP.c.Score - 0.5).asc().nulls_last(), CLIP.c.ID),
}
FIRST_SECOND = 1_750_000_000
IDS_A_SECOND = 2**24
"""IDs count on from the second in which the index was made, so that those of an earlier one mean nothing in it."""
CHANGES_A_SECOND = 2**10
"""Serials count on from that second, too, so that those of an earlier index are smaller."""
ROWS_AT_ONCE = 20_000
SIMILAR = "similar"
"""What the origin of clips begins with that a search by example has found; a number follows."""


class Clip(NamedTuple):
    """A row of the index. end_time: inf: to the end of the recording; score: None: annotated; see CLIP for others."""

    id: int
    origin: str
    recording: str
    class_name: str
    start_time: float
    end_time: float
    low_freq: float | None
    high_freq: float | None
    score: float | None
    outcome: str
    other_class: str
    decision: str
    new_class: str
    site: str
    date: str
    path: str
    found_name: str | None
    seconds: float | None
    is_outside: bool


class ClipPage(NamedTuple):
    """Some clips of a list. total: clips of the list; serial: of the last change of decisions."""

    total: int
    serial: int
    clips: list[Clip]


class ClipIndex:
    """The index; several threads may use it. It can be used in a `with` block.

    Args:
        settings: of the data sets.
        labels: folder that infer wrote.

    Attributes:
        classes: names of all classes, sorted.
        problems: what was left out.

    Raises EarshotError if there are no results.
    """

    def __init__(self, settings: Settings, labels: str) -> None:
        self._settings, self._file = settings, Path(settings.data.decisions)
        self._sources = ClipSources(settings, labels)
        self.classes, self.problems = self._sources.classes, self._sources.problems
        self._folder = TemporaryDirectory(prefix="earshot-clips-")
        self._path = Path(self._folder.name, "clips.db")
        seconds = max(int(time.time()) - FIRST_SECOND, 1)
        self._first_id, self._serial = seconds * IDS_A_SECOND, seconds * CHANGES_A_SECOND
        self._lock, self._state = threading.RLock(), ""
        self._searches = itertools.count(1)
        engine = open_database(self._path, FILE, create=True)
        self._connection = engine.connect()
        with self._using() as connection:
            connection.execute(text("PRAGMA synchronous = OFF"))  # it is rebuilt after a crash
            self._fill(connection)
            connection.commit()
            self.follow_decisions()
            connection.execute(delete(CHANGE))  # lists of an earlier index see what was decided until now
            connection.commit()

    def __enter__(self) -> "ClipIndex":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Remove the index."""
        with self._lock:
            self._connection.close()
            self._folder.cleanup()

    @contextmanager
    def _using(self) -> Iterator[Connection]:
        with self._lock, usable(self._path, FILE):
            if self._connection.closed:  # another index took its place while a request was in progress
                raise EarshotError("the list", "is out of date", "reload the page")
            yield self._connection

    def _fill(self, connection: Connection) -> None:
        next_id = self._first_id
        recordings = enumerate(self._sources.recordings(), 1)
        while some := list(itertools.islice(recordings, 200)):
            rows = []
            connection.execute(insert(RECORDING), [{"ID": number, **each.row} for number, each in some])
            for number, each in some:
                rows += [{"ID": next_id + k, "RecordingID": number, **clip} for k, clip in enumerate(each.clips)]
                next_id += len(each.clips)
            for first in range(0, len(rows), ROWS_AT_ONCE):
                connection.execute(insert(CLIP), rows[first : first + ROWS_AT_ONCE])
        connection.execute(text("ANALYZE"))

    # Reading

    def page(self, chosen: ClipFilter, order: str, offset: int, limit: int) -> ClipPage:
        """Some clips of a list. order: one of ORDERS."""
        self.follow_decisions()
        query = _joined(func.count()).where(*chosen.conditions())
        with self._using() as connection:
            total = connection.execute(query).scalar_one()
            return ClipPage(total, self._serial, self._clips(chosen, order, offset, limit))

    def _clips(self, chosen: ClipFilter, order: str, offset: int, limit: int) -> list[Clip]:
        query = _joined(*_COLUMNS).where(*chosen.conditions()).order_by(*ORDERS[order])
        return [Clip(*row) for row in self._connection.execute(query.offset(offset).limit(limit))]

    def clips(self, ids: Sequence[int]) -> list[Clip]:
        """Clips by their IDs, in this order. Raises EarshotError if one is not there."""
        query = _joined(*_COLUMNS).where(CLIP.c.ID.in_(select(json_values(ids).c.value)))
        with self._using() as connection:
            found = {row[0]: Clip(*row) for row in connection.execute(query)}
        if missing := [each for each in ids if each not in found]:
            raise EarshotError(f"clip {missing[0]}", "is not there any more", "reload the page")
        return [found[each] for each in ids]

    def found_at(self, class_name: str, places: Sequence[tuple[str, float, float]]) -> list[int]:
        """IDs of found clips of a class by recording (its name in the results), start and end (s), in this order.

        Those that were left out are missing.
        """
        names = select(json_values({name for name, _, _ in places}).c.value)
        query = select(RECORDING.c.FoundName, CLIP.c.StartTime, CLIP.c.EndTime, CLIP.c.ID).select_from(CLIP)
        query = query.join(RECORDING).where(CLIP.c.Origin == FOUND, CLIP.c.Class == class_name)
        with self._using() as connection:
            rows = connection.execute(query.where(RECORDING.c.FoundName.in_(names)))
            ids = {tuple(place): number for *place, number in rows}
        return [ids[place] for place in places if place in ids]

    def near(self, clip: Clip, start: float, end: float, most: int = 500) -> list[Clip]:
        """The found and annotated clips of the same recording between two times (s)."""
        conditions = RECORDING.c.Name == clip.recording, CLIP.c.StartTime < end, CLIP.c.EndTime > start
        query = _joined(*_COLUMNS).where(_IS_OWN, *conditions).order_by(CLIP.c.StartTime).limit(most)
        with self._using() as connection:
            return [Clip(*row) for row in connection.execute(query)]

    def spread(self, most: int) -> list[Clip]:
        """At most that many of the found and annotated clips, evenly spread over them."""
        with self._using() as connection:
            n = connection.execute(select(func.count()).select_from(CLIP).where(_IS_OWN)).scalar_one()
            query = _joined(*_COLUMNS).where(_IS_OWN, CLIP.c.ID % max(1, -(-n // most)) == 0).order_by(CLIP.c.ID)
            return [Clip(*row) for row in connection.execute(query)]

    def sites(self) -> list[str]:
        """The sites of recordings, sorted."""
        with self._using() as connection:
            query = select(RECORDING.c.Site).distinct().order_by(RECORDING.c.Site)
            return [site for (site,) in connection.execute(query) if site]

    def counts(self) -> pd.DataFrame:
        """Number `n` of found and annotated clips by `origin`, `class`, `outcome`, `other` class and `decision`."""
        self.follow_decisions()
        columns = CLIP.c.Origin, CLIP.c.Class, CLIP.c.Outcome, CLIP.c.OtherClass, CLIP.c.Decision
        names = ["origin", "class", "outcome", "other", "decision", "n"]
        with self._using() as connection:
            rows = connection.execute(select(*columns, func.count()).where(_IS_OWN).group_by(*columns))
            return pd.DataFrame([tuple(row) for row in rows], columns=names)

    def score_bands(self, n_bands: int = 10) -> pd.DataFrame:
        """Found clips by `class` and `band` of scores: their number `n`, how many are known to be right or wrong,
        `judged`, and how many of these are `right`: by what was decided, else by the annotations."""
        self.follow_decisions()
        band = func.min(cast(CLIP.c.Score * n_bands, Integer), n_bands - 1)
        is_right = or_(CLIP.c.Decision == "accept", and_(_IS_OPEN, CLIP.c.Outcome == "correct"))
        is_judged = or_(CLIP.c.Decision.in_(["accept", "reject", "relabel"]), and_(_IS_OPEN, CLIP.c.Outcome != ""))
        sums = func.count(), *(func.sum(case((condition, 1), else_=0)) for condition in (is_judged, is_right))
        query = select(CLIP.c.Class, band.label("band"), *sums).where(CLIP.c.Origin == FOUND)
        with self._using() as connection:
            rows = connection.execute(query.group_by(CLIP.c.Class, text("band")))
            return pd.DataFrame([tuple(row) for row in rows], columns=["class", "band", "n", "judged", "right"])

    def add_similar(self, clip: Clip, matches: "Iterable[Match]") -> str:
        """Add windows that sound like a clip as clips of its class, whose score is the similarity.

        Returns their origin, by which a filter finds them. Windows of recordings that cannot be named are left out.
        """
        with self._using() as connection:
            number = next(self._searches)
            rows: list[dict[str, Any]] = []
            for match in matches:
                try:
                    recording = self._recording_id(connection, match)
                except EarshotError:
                    continue
                row = {"RecordingID": recording, "Origin": f"{SIMILAR} {number}"}
                row |= {"Class": clip.class_name, "StartTime": match.start_time, "EndTime": match.end_time}
                rows.append(row | {"Score": min(max(match.similarity, 0.0), 1.0)})
            self.add(rows)
        return f"{SIMILAR} {number}"

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add clips that are neither found nor annotated; rows: of CLIP, up to Score."""
        with self._using() as connection:
            if rows:
                next_id = (
                    connection.execute(select(func.coalesce(func.max(CLIP.c.ID), self._first_id))).scalar_one() + 1
                )
                connection.execute(insert(CLIP), [{"ID": next_id + k, **row, **_NEW} for k, row in enumerate(rows)])
            connection.commit()
            self._state = ""  # some may be decided about

    def rows(self, query: Select) -> list[Row]:
        """The rows that a query of the tables of the index gives."""
        with self._using() as connection:
            return list(connection.execute(query))

    def _recording_id(self, connection: Connection, match: "Match") -> int:
        name, outside = self._sources.names.of(match.recording.name, Path(match.recording.path))
        known = connection.execute(select(RECORDING.c.ID).filter_by(Name=name)).scalar()
        if known is not None:
            return known
        row = self._sources.row(name, match.recording.path, outside is not None, match.recording.seconds)
        return connection.execute(insert(RECORDING).values(row)).lastrowid

    # Deciding

    def decide(self, ids: Sequence[int], decision: str, new_class: str, by: str, reason: str = "") -> list[Clip]:
        """Decide about clips, in one step, and return them as they are then.

        Args:
            ids: of the clips.
            decision: accept, reject, relabel or unsure.
            new_class: with relabel, the class that they are.
            by, reason: see Decision.

        Raises EarshotError if one is not there, or the decisions cannot be written; SettingsError if training has no
        such class.
        """
        clips = self.clips(ids)
        becomes = new_class if decision == "relabel" else None
        if (training := self._sources.data_sets.get("train")) is not None and decision in ("accept", "relabel"):
            for name in {becomes or clip.class_name for clip in clips}:
                check_class(name, training)
        sounds = [_sound(clip) for clip in clips]
        if decision != UNSURE:
            copy_recordings(sounds, self._settings.data.reviewed)
        # A sound that is relabelled as what it is, is right.
        kinds = [("accept", None) if clip.class_name == becomes else (decision, becomes) for clip in clips]
        with self._using() as connection:  # in one step, so that what is written last is shown last
            rows = [as_decision(one, *kind, by, reason) for one, kind in zip(sounds, kinds, strict=True)]
            append_decisions(self._file, rows)
            after = {clip.id: (kind, new or "") for clip, (kind, new) in zip(clips, kinds, strict=True)}
            self._change(connection, after)
            return self.clips(ids)

    def undo(self, by: str) -> list[Clip]:
        """Take back what a person decided last, in one step; returns the clips that it was about, as they are then.

        Raises EarshotError if there is nothing to take back.
        """
        with self._using() as connection:
            rows = last_decisions(self._file, by)
            undo_decisions(self._file, rows)
            self.follow_decisions()
            labels = rows["class"].map(self._sources.class_of)
            places = zip(rows["recording"], labels, rows["start_time"], rows["end_time"], strict=True)
            about = {_place(*place) for place in places}
            query = _joined(*_COLUMNS).where(RECORDING.c.Name.in_(select(json_values(set(rows["recording"])).c.value)))
            clips = [Clip(*row) for row in connection.execute(query)]
        return [one for one in clips if _place(one.recording, one.class_name, one.start_time, one.end_time) in about]

    def follow_decisions(self) -> None:
        """Bring what was decided about clips up to date, if the file has changed."""
        with self._using() as connection:
            state = state_of(self._file) if self._file.exists() else "none"
            if state == self._state:
                return
            rows, _ = read_decisions(self._file, unsure=True)
            decided_before = select(CLIP.c.ID, CLIP.c.Decision, CLIP.c.NewClass).where(CLIP.c.Decision != "")
            before = {row[0]: tuple(row[1:]) for row in connection.execute(decided_before)}
            after = self._decided(connection, rows)
            changed = [each for each in before.keys() | after.keys() if before.get(each) != after.get(each)]
            if changed:
                self._change(connection, {each: after.get(each, ("", "")) for each in changed})
            self._state = state

    def _change(self, connection: Connection, after: dict[int, tuple[str, str]]) -> None:
        """Set decision and new class of clips, by their IDs, and note what the decision was before."""
        self._serial += 1
        which = select(CLIP.c.ID, literal(self._serial), CLIP.c.Decision)
        which = which.where(CLIP.c.ID.in_(select(json_values(list(after)).c.value)))
        connection.execute(insert(CHANGE).from_select(["ClipID", "Serial", "Before"], which))
        values = [{"key": key, "decided": decision, "becomes": becomes} for key, (decision, becomes) in after.items()]
        statement = 'UPDATE "Clip" SET "Decision" = :decided, "NewClass" = :becomes WHERE "ID" = :key'
        connection.execute(text(statement), values)
        connection.commit()

    def _decided(self, connection: Connection, rows: pd.DataFrame) -> dict[int, tuple[str, str]]:
        """Decision and new class of each clip of which more than half was decided about, by its ID.

        Of several, the last one counts, but one about exactly this stretch before those about neighbours.
        """
        decided: dict[int, tuple[str, str]] = {}
        rows = rows.assign(**{"class": rows["class"].map(self._sources.class_of)})
        for (recording, name), group in rows.groupby(["recording", "class"], sort=False):
            query = select(CLIP.c.ID, CLIP.c.StartTime, CLIP.c.EndTime).join(RECORDING)
            places = np.array(
                [
                    tuple(row)
                    for row in connection.execute(query.filter(RECORDING.c.Name == recording, CLIP.c.Class == name))
                ]
            ).reshape(-1, 3)
            if not len(places):
                continue
            ids, (starts, ends) = places[:, 0].astype(np.int64), places[:, 1:].T
            halves = np.minimum(ends - starts, 2**40) / 2
            exact = dict[int, tuple[str, str]]()
            rounded = [_place(recording, name, start, end) for start, end in places[:, 1:].tolist()]
            of_place: dict[tuple, list[int]] = {}
            for number, place in zip(ids.tolist(), rounded, strict=True):
                of_place.setdefault(place, []).append(number)
            for row in group.itertuples():
                what = str(row.decision), str(row.new_class)
                inside = np.minimum(ends, row.end_time) - np.maximum(starts, row.start_time)  # type: ignore[type-var]
                decided |= dict.fromkeys(ids[inside > halves + SLACK].tolist(), what)
                place = _place(recording, name, row.start_time, row.end_time)  # type: ignore[arg-type]
                exact |= dict.fromkeys(of_place.get(place, ()), what)
            decided |= exact
        return decided


_COLUMNS = (
    CLIP.c.ID,
    CLIP.c.Origin,
    RECORDING.c.Name,
    CLIP.c.Class,
    CLIP.c.StartTime,
    CLIP.c.EndTime,
    CLIP.c.LowFreq,
    CLIP.c.HighFreq,
    CLIP.c.Score,
    CLIP.c.Outcome,
    CLIP.c.OtherClass,
    CLIP.c.Decision,
    CLIP.c.NewClass,
    RECORDING.c.Site,
    RECORDING.c.Date,
    RECORDING.c.Path,
    RECORDING.c.FoundName,
    RECORDING.c.Seconds,
    RECORDING.c.IsOutside,
)
_NEW = {"Outcome": "", "OtherClass": "", "Decision": "", "NewClass": ""}
_IS_OWN = CLIP.c.Origin.in_([FOUND, ANNOTATED])
_IS_OPEN = CLIP.c.Decision.in_(["", UNSURE])


def _joined(*columns: Any) -> Select:
    return select(*columns).select_from(CLIP).join(RECORDING)


def _sound(clip: Clip) -> ChosenSound:
    path = Path(clip.path) if clip.is_outside else None
    return ChosenSound(clip.recording, path, clip.start_time, clip.end_time, clip.class_name, clip.score)


def _place(recording: str, class_name: str, start: float, end: float) -> tuple[str, str, float, float]:
    """What tells a sound from others; times as decisions write them, in microseconds."""
    return recording, class_name, round(start, 6), round(end, 6)

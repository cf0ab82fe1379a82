"""Takes frames into a set of the curation database, block by block within a transaction of the caller: an upload is
there as a whole or not at all. An entry that cannot be taken is noted, and the others go in."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from lib.core.digests import digest_of
from lib.core.errors import EarshotError, Problem
from lib.core.files import printable
from lib.curation.frames.entry_names import LONGEST_NAME
from lib.curation.frames.frame_streams import DAMAGE, EMBEDDING_PARTS, content_of_line, damage
from lib.curation.store.curation_database import utc_now
from lib.curation.store.curation_tables import CROP, FRAME, INGEST_ERROR, UPLOAD_VERSION
from lib.curation.store.embedding_rows import delete_embeddings, write_embeddings
from lib.curation.store.frame_merge import added, modified
from lib.curation.store.label_rows import FramePlace, LabelRules, place_of, rows_of_labels

FRAMES_A_BLOCK = 400
NAMES_A_QUERY = 400
MOST_ERRORS = 10_000
"""Of an upload that are kept: a stream of another kind has an error a line."""
Content = dict[str, Any]


class IngestRules(NamedTuple):
    """How entries of a stream become frames of a set.

    Args:
        parse: makes a frame of plain data and gives it back as plain data; raises EarshotError or one of DAMAGE.
        labels: what labels may be.
        metrics: type of each custom metric that frames may have, by name.
        places: gives places of frames of the data set that predictions are about, by id; None: it is a data set.
        only_changes: whether entries change frames that are there, whatever their update_type.
        mirror: copies a file or URL and returns its new place.
    """

    parse: Callable[[Content], Content]
    labels: LabelRules
    metrics: Mapping[str, str]
    places: Callable[[list[str]], Mapping[str, FramePlace]] | None
    only_changes: bool
    mirror: Callable[[str], str]


class _Entry(NamedTuple):
    line: int
    name: str
    update_type: str
    content: Content


class FrameIngest:
    """An upload into a set. Its counts are kept in the row of its version.

    Args:
        connection: in a transaction, which the caller commits.
        set_id: of the row of the set.
        version: name of the upload version, which is made if there is none.
        rules: of the set.
    """

    def __init__(self, connection: Connection, set_id: int, version: str, rules: IngestRules) -> None:
        self._connection, self._set_id, self._rules = connection, set_id, rules
        self.counts = dict.fromkeys(("Added", "Modified", "Deleted", "Unchanged", "Failed"), 0)
        self._version_id, self._n_errors = self._open_version(version), 0

    def _open_version(self, name: str) -> int:
        columns, now = UPLOAD_VERSION.c, utc_now()
        query = select(columns.ID).where(columns.FrameSetID == self._set_id, columns.Name == name)
        version_id = self._connection.execute(query).scalar()
        if version_id is None:
            row = {"FrameSetID": self._set_id, "Name": name, "CreatedAt": now, "UpdatedAt": now} | self.counts
            self._connection.execute(insert(UPLOAD_VERSION), row)
            return self._connection.execute(query).scalar_one()
        self._connection.execute(delete(INGEST_ERROR).where(INGEST_ERROR.c.UploadVersionID == version_id))
        return version_id

    def take(self, lines: Iterable[str]) -> None:
        """Take all entries of a stream, and note how many there were."""
        block: dict[str, _Entry] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            entry = self._entry(number, line)
            if entry is None:
                continue
            if entry.name in block or len(block) == FRAMES_A_BLOCK:
                self._take_block(block)
                block = {}
            block[entry.name] = entry
        self._take_block(block)
        columns, counts = UPLOAD_VERSION.c, self.counts
        changes: dict[str, Any] = {name: columns[name] + counts[name] for name in ("Added", "Modified", "Deleted")}
        changes |= {name: counts[name] for name in ("Unchanged", "Failed")} | {"UpdatedAt": utc_now()}
        self._connection.execute(update(UPLOAD_VERSION).filter_by(ID=self._version_id).values(**changes))

    def _entry(self, number: int, line: str) -> _Entry | None:
        name = ""
        try:
            content = content_of_line(line)
            name, update_type = content["frame_id"], content.get("update_type", "ADD")
            if update_type != "DELETE":
                content = self._rules.parse(content)
                update_type = "MODIFY" if self._rules.only_changes else update_type
                self._check_metrics(content)
            json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # a database may take neither, as a whole
            return _Entry(number, name, update_type, content)
        except EarshotError as error:
            self._note(number, name, error.problem())
        except DAMAGE as error:
            self._note(number, name, Problem("line", damage(error), "write it with write_to_file"))
        return None

    def _check_metrics(self, content: Content) -> None:
        for name, value in content.get("custom_metrics", {}).items():
            kind = self._rules.metrics.get(name)
            if kind is None or (kind == "objective") == isinstance(value, list):
                fault = "the project does not have it" if kind is None else f"is of type {kind}"
                raise EarshotError(f"custom metric {name!r}", fault, "define it in create_project's custom_metrics")

    def _note(self, number: int, name: str, problem: Problem, is_lost: bool = True) -> None:
        """Keep an error of an entry; is_lost: whether the whole entry is left out."""
        self.counts["Failed"] += is_lost
        self._n_errors += 1
        if self._n_errors <= MOST_ERRORS:
            note_error(self._connection, self._set_id, self._version_id, number, name, problem)

    def _take_block(self, block: Mapping[str, _Entry]) -> None:
        if not block:
            return
        before = self._frames(list(block))
        places = self._rules.places(list(block)) if self._rules.places else {}
        contents: dict[str, tuple[Content, FramePlace, list[Content]]] = {}
        for name, entry in block.items():
            if entry.update_type == "DELETE":
                continue
            try:
                contents[name] = self._content(entry, before.get(name), places)
            except EarshotError as error:
                self._note(entry.line, name, error.problem())
        self._drop_shared_labels(block, contents)
        self._write(block, contents, before)

    def _frames(self, names: list[str]) -> dict[str, Any]:
        columns = FRAME.c.ID, FRAME.c.Name, FRAME.c.Content, FRAME.c.Digest
        query = select(*columns).where(FRAME.c.FrameSetID == self._set_id, FRAME.c.Name.in_(names))
        return {row.Name: row for row in self._connection.execute(query)}

    def _content(
        self, entry: _Entry, before: Any, places: Mapping[str, FramePlace]
    ) -> tuple[Content, FramePlace, list[Content]]:
        """Content, place and rows of labels of a frame after an entry. Raises EarshotError."""
        if entry.update_type == "MODIFY" and before is None:
            raise EarshotError(f"frame {entry.name!r}", "there is none of this id", "its update was dropped; add it")
        if self._rules.places is not None and entry.name not in places:
            fault, remedy = "the data set has no frame of this id", "add it to the data set first"
            raise EarshotError(f"frame {entry.name!r}", fault, remedy)
        for sensor in entry.content.get("sensor_data", ()):
            if sensor.pop("mirror_asset", False):
                place, mark, times = sensor["audio_url"].partition("#")
                sensor["audio_url"] = self._rules.mirror(place) + mark + times
        if entry.update_type == "MODIFY":
            content, problems = modified(before.Content, entry.content)
            for problem in problems:
                self._note(entry.line, entry.name, problem, is_lost=False)
        else:
            content = added(entry.content)
        place = places[entry.name] if self._rules.places is not None else place_of(content)
        return content, place, list(rows_of_labels(content, place, self._rules.labels))

    def _drop_shared_labels(self, block: Mapping[str, _Entry], contents: dict[str, Any]) -> None:
        """Leave out frames with a label that another frame of the set has."""
        names = sorted({row["Name"] for _, _, rows in contents.values() for row in rows})
        owners: dict[str, str] = {}
        for first in range(0, len(names), NAMES_A_QUERY):
            query = select(CROP.c.Name, FRAME.c.Name).join(FRAME, CROP.c.FrameID == FRAME.c.ID)
            query = query.where(
                CROP.c.FrameSetID == self._set_id, CROP.c.Name.in_(names[first : first + NAMES_A_QUERY])
            )
            owners |= dict(map(tuple, self._connection.execute(query)))  # type: ignore[arg-type]
        taken: dict[str, str] = {}
        done: set[str] = set()  # frames whose labels in the database are free for frames behind them
        for name, entry in block.items():
            label_ids = [row["Name"] for row in contents[name][2]] if name in contents else []
            holders = {each: taken.get(each) or owners.get(each, name) for each in label_ids}
            shared = next(
                (e for e, owner in holders.items() if owner != name and (e in taken or owner not in done)), ""
            )
            if shared or len(holders) < len(label_ids):
                fault = f"frame {holders[shared]!r} has it, too" if shared else "the frame has it twice"
                problem = Problem(
                    f"label {shared or label_ids[0]!r}", fault, "give each label of a set an id of its own"
                )
                self._note(entry.line, name, problem)
                del contents[name]
            elif name in contents or entry.update_type == "DELETE":
                done.add(name)
                taken |= dict.fromkeys(label_ids, name)

    def _write(self, block: Mapping[str, _Entry], contents: dict[str, Any], before: Mapping[str, Any]) -> None:
        deleted = [name for name, entry in block.items() if entry.update_type == "DELETE"]
        inserted, updated, embedded = [], [], []
        for name, (content, place, _) in list(contents.items()):
            entry, known = block[name], before.get(name)
            embeddings = {part: entry.content[part] for part in EMBEDDING_PARTS if entry.content.get(part)}
            is_change = entry.update_type == "MODIFY"  # which leaves embeddings there
            before_it = known.Digest if known is not None and is_change else None
            digest = digest_of([content, place, before_it, embeddings])
            if known is not None and (
                known.Digest == digest
                or (entry.update_type == "MODIFY" and not embeddings and known.Content == content)
            ):
                self.counts["Unchanged"] += 1
                del contents[name]
                continue
            self.counts["Added" if known is None else "Modified"] += 1
            row = {"Recording": place.recording, "StartTime": place.start_time, "EndTime": place.end_time}
            row |= {"Content": content, "Digest": digest, "UpdatedAt": utc_now(), "UploadVersionID": self._version_id}
            if known is None:
                inserted.append(row | {"FrameSetID": self._set_id, "Name": name})
            else:
                updated.append(row | {"id": known.ID})
            embedded.append(entry)
        self.counts["Deleted"] += len(before.keys() & set(deleted))
        self._execute(delete(CROP).where(CROP.c.FrameID == bindparam("id")), [{"id": row["id"]} for row in updated])
        self._execute(
            delete(FRAME).filter_by(ID=bindparam("id")), [{"id": before[n].ID} for n in deleted if n in before]
        )
        replaced = [entry.name for entry in embedded if entry.update_type == "ADD" and entry.name in before]
        kept = {entry.name for entry in embedded if entry.content.get("reuse_latest_embedding")}
        delete_embeddings(self._connection, self._set_id, [*deleted, *(name for name in replaced if name not in kept)])
        self._execute(insert(FRAME), inserted)
        self._execute(update(FRAME).filter_by(ID=bindparam("id")), updated)
        if contents:
            columns = FRAME.c.Name, FRAME.c.ID
            query = select(*columns).where(FRAME.c.FrameSetID == self._set_id, FRAME.c.Name.in_(list(contents)))
            ids = dict(map(tuple, self._connection.execute(query)))  # type: ignore[arg-type]
            rows = [
                row | {"FrameID": ids[name], "FrameSetID": self._set_id}
                for name, (_, _, crops) in contents.items()
                for row in crops
            ]
            self._execute(insert(CROP), rows)
        write_embeddings(self._connection, self._set_id, [entry.content for entry in embedded])

    def _execute(self, statement: Any, rows: list[Content]) -> None:
        if rows:
            self._connection.execute(statement, rows)


def note_error(
    connection: Connection, set_id: int, version_id: int | None, line: int, frame_id: str, problem: Problem
) -> None:
    """Keep what is wrong with a line of a stream. frame_id: "": unknown."""
    row = {"FrameSetID": set_id, "UploadVersionID": version_id, "Line": line, "At": utc_now()}
    row |= {"FrameName": printable(frame_id[:LONGEST_NAME]), "Remedy": problem.remedy}
    row |= {"Fault": printable(f"{problem.subject}: {problem.fault}"[:LONGEST_NAME])}
    connection.execute(insert(INGEST_ERROR), row)


def last_version(connection: Connection, set_id: int) -> str:
    """Name of the upload version of a set that was created last; "1" if there is none."""
    newest = select(func.max(UPLOAD_VERSION.c.ID)).where(UPLOAD_VERSION.c.FrameSetID == set_id).scalar_subquery()
    return connection.execute(select(UPLOAD_VERSION.c.Name).filter_by(ID=newest)).scalar() or "1"

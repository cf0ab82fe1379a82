"""The training database as an object: every table can be queried, filled, changed and emptied.

What the methods of a table do follows from its description in lib.training_data.training_tables. A row is a
SimpleNamespace with an attribute for each column, in lower case: `id`, `category_id`, `alt_name`, `filename`.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from sqlalchemy import Column, ColumnElement, Select, Table, case, delete, func, null, select

from lib.core.rows import Database, Filters, Rows, count_rows, delete_rows, get_rows, update_rows
from lib.training_data import training_tables as tables


def _operations(table: Table) -> tuple[Callable[..., int], Callable[..., None], Callable[..., int]]:
    """Methods that count, update and delete rows of a table."""
    return count_rows(table), update_rows(table), delete_rows(table)


class TrainingDatabase(Database):
    """A training database, to query, fill and change it; usable in a `with` block.

    Args:
        db_path: SQLite file. A file of another version is never replaced.
        create: make it if it is missing, with a category, a source and a spectrogram group called `default`.

    Each change is on disk when its method returns, or not made at all; many changes are much faster together, in a
    `with db.transaction():` block. The extract stage does not touch recordings that are inserted here, but it renumbers
    rows: after it, this object only raises EarshotError, and the database must be opened again. Raises EarshotError if
    the file cannot be opened.
    """

    def __init__(self, db_path: str | Path = "data/training.db", create: bool = True) -> None:
        super().__init__(db_path, tables.open_training_tables(db_path, create, replace=False))
        for table in (tables.category, tables.source, tables.spec_group) if create else ():
            if not self._rows(table, {"Name": tables.DEFAULT}):
                self._insert(table, Name=tables.DEFAULT)

    get_source = get_rows(tables.source)
    get_source_count, update_source, delete_source = _operations(tables.source)

    def insert_source(self, name: str) -> int:
        """Insert a source of recordings, such as `Xeno-Canto`; returns its ID."""
        return self._insert(tables.source, Name=name)

    get_category = get_rows(tables.category)
    get_category_count, update_category, _delete_category_rows = _operations(tables.category)

    def delete_category(self, filters: Filters = None) -> int:
        with self.transaction():
            for row in self.get_category(filters):
                self.delete_class({"CategoryID": row.id})
            return self._delete_category_rows(filters)

    delete_category.__doc__ = f"""{_delete_category_rows.__doc__}
        With the classes of a category go the segments that have no other class, see delete_class.
        """

    def insert_category(self, name: str) -> int:
        """Insert a category of classes, such as `bird`; returns its ID."""
        return self._insert(tables.category, Name=name)

    get_class = get_rows(tables.class_, order="Name")
    get_class_count, update_class, _delete_class_rows = _operations(tables.class_)

    def delete_class(self, filters: Filters = None) -> int:
        label = tables.segment_class.c
        with self.transaction():
            ids = [row.id for row in self.get_class(filters)]
            of_these = select(label.SegmentID).where(label.ClassID.in_(ids))
            of_others = select(label.SegmentID).where(label.ClassID.not_in(ids), label.Copied.is_(None))
            self._write(delete(tables.segment).where(tables.segment.c.ID.in_(of_these.except_(of_others))))
            return self._delete_class_rows(filters)

    delete_class.__doc__ = f"""{_delete_class_rows.__doc__}
        Segments that have no other class go, too: without a class, they would become background.
        """

    def insert_class(
        self,
        category_id: int,
        name: str,
        alt_name: str | None = None,
        code: str | None = None,
        alt_code: str | None = None,
    ) -> int:
        """Insert a class, such as `White-winged Crossbill`, alternative name `Two-barred Crossbill`, code `WWCR`;
        returns its ID."""
        values = {"CategoryID": category_id, "Name": name, "AltName": alt_name, "Code": code, "AltCode": alt_code}
        return self._insert(tables.class_, **values)

    get_soundtype = get_rows(tables.sound_type)
    get_soundtype_count, update_soundtype, delete_soundtype = _operations(tables.sound_type)

    def insert_soundtype(self, name: str) -> int:
        """Insert a type of sound, such as `song`; returns its ID."""
        return self._insert(tables.sound_type, Name=name)

    get_recording_count, update_recording, delete_recording = _operations(tables.recording)

    def get_recording(self, filters: Filters = None) -> Rows:
        return self._rows(tables.recording, filters, tables.recording, _only_class().label("ClassID"))

    get_recording.__doc__ = f"""{get_rows(tables.recording).__doc__}
        name: filename without suffix. class_id: besides, of the class that all segments have and no other, if there is
        one. key, digest and problems are written by the extract stage; key is None for recordings inserted by hand.
        """

    def insert_recording(self, source_id: int, filename: str, path: str, seconds: float = 0) -> int:
        """Insert a recording; returns its ID. Its name is the file name without suffix."""
        values = {"SourceID": source_id, "FileName": filename, "Path": str(path), "Name": Path(filename).stem}
        return self._insert(tables.recording, **values, Seconds=seconds)

    def get_recording_by_class(self, class_name: str) -> Rows:
        """Recordings with segments of a class, as get_recording returns them; class_id is that class."""
        labelled = _labelled(tables.segment.c.RecordingID, class_name).join(tables.segment)
        class_id = select(tables.class_.c.ID).where(tables.class_.c.Name == class_name).scalar_subquery()
        query = select(tables.recording, class_id.label("ClassID")).where(tables.recording.c.ID.in_(labelled))
        return self.select(query.order_by(tables.recording.c.ID))

    get_segment_count, update_segment, delete_segment = _operations(tables.segment)

    def get_segment(self, filters: Filters = None, include_audio: bool = False) -> Rows:
        return self._rows(tables.segment, filters, *_segment_columns(include_audio))

    get_segment.__doc__ = f"""{get_rows(tables.segment).__doc__}
        audio: compressed by lib.training_data.sound_codec, of sampling_rate (Hz); None unless it is stored and
        include_audio is True.
        """

    def insert_segment(
        self, recording_id: int, offset: float, audio: bytes | None = None, sampling_rate: int | None = None
    ) -> int:
        """Insert a segment; returns its ID. A recording has at most one segment at an offset.

        Args:
            recording_id: ID of its recording.
            offset: s from the start of the recording.
            audio: its sound, compressed by lib.training_data.sound_codec.encode_sound, if the database is to store it.
            sampling_rate: of that sound, Hz.
        """
        values = {"RecordingID": recording_id, "Offset": offset, "Audio": audio, "SamplingRate": sampling_rate}
        return self._insert(tables.segment, **values)

    def get_segment_by_class(self, class_name: str, include_audio: bool = False) -> Rows:
        """Segments of a class, as get_segment returns them, in the order of recording IDs and offsets."""
        labelled = _labelled(tables.segment_class.c.SegmentID, class_name)
        query = select(*_segment_columns(include_audio)).where(tables.segment.c.ID.in_(labelled))
        return self.select(query.order_by(tables.segment.c.RecordingID, tables.segment.c.Offset))

    def get_all_segment_counts(self) -> Rows:
        """A SimpleNamespace for each class, by name: class_name, and count, its number of segments."""
        class_, label = tables.class_.c, tables.segment_class.c
        counts = select(class_.Name.label("ClassName"), func.count(label.ID).label("Count"))
        joined = counts.join_from(tables.class_, tables.segment_class, isouter=True)
        return self.select(joined.group_by(class_.ID).order_by(class_.Name))

    def get_segment_counts_by_recording(self) -> Rows:
        """A SimpleNamespace for each class and recording with segments of it, by class name and file name: class_name,
        code, filename, and count, their number."""
        class_, recording, label = tables.class_.c, tables.recording.c, tables.segment_class.c
        columns = class_.Name.label("ClassName"), class_.Code, recording.FileName, func.count(label.ID).label("Count")
        joined = select(*columns).join_from(tables.segment_class, tables.class_).join(tables.segment)
        query = joined.join(tables.recording).group_by(class_.ID, recording.ID)
        return self.select(query.order_by(class_.Name, recording.FileName, recording.ID))

    get_segment_class = get_rows(tables.segment_class)
    get_segment_class_count, update_segment_class, delete_segment_class = _operations(tables.segment_class)

    def insert_segment_class(self, segment_id: int, class_id: int, soundtype_id: int | None = None) -> int:
        """Label a segment with a class; returns the ID of the row. A segment may have several classes."""
        values = {"SegmentID": segment_id, "ClassID": class_id, "SoundTypeID": soundtype_id}
        return self._insert(tables.segment_class, **values)

    get_specgroup = get_rows(tables.spec_group)
    get_specgroup_count, update_specgroup, delete_specgroup = _operations(tables.spec_group)

    def insert_specgroup(self, name: str, settings: str | None = None) -> int:
        """Insert a group of spectrograms with the same audio settings, see training_tables.settings_text; returns its
        ID."""
        return self._insert(tables.spec_group, Name=name, Settings=settings)

    get_specvalue = get_rows(tables.spec_value)
    get_specvalue_count, update_specvalue, delete_specvalue = _operations(tables.spec_value)

    def insert_specvalue(self, value: bytes, spec_group_id: int, segment_id: int) -> int:
        """Insert a spectrogram, compressed by lib.training_data.spectrogram_codec.encode; returns its ID. A segment has
        at most one in each group."""
        return self._insert(tables.spec_value, Value=value, SpecGroupID=spec_group_id, SegmentID=segment_id)

    def get_spectrogram_by_class(
        self,
        class_name: str,
        include_value: bool = True,
        include_embedding: bool = False,
        spec_group: str | None = tables.DEFAULT,
        limit: int | None = None,
    ) -> Rows:
        """The spectrograms of the segments of a class, by file name and offset.

        Args:
            class_name: name of the class.
            include_value: read the compressed spectrograms; else value is None.
            include_embedding: read the embeddings; else embedding is None.
            spec_group: name of their group; None: of all groups.
            limit: at most so many, evenly spread over all of them.

        Returns:
            A SimpleNamespace for each: segment_id, specvalue_id, value, embedding, recording_id, filename, offset.
        """
        value, segment, recording = tables.spec_value, tables.segment, tables.recording
        columns = [value.c.SegmentID, value.c.ID.label("SpecValueID"), segment.c.RecordingID]
        columns += [recording.c.FileName, segment.c.Offset]
        columns += [value.c.Value] * include_value + [value.c.Embedding] * include_embedding
        query = select(*columns).join_from(value, segment).join(recording)
        query = query.where(segment.c.ID.in_(_labelled(tables.segment_class.c.SegmentID, class_name)))
        if spec_group is not None:
            group = select(tables.spec_group.c.ID).where(tables.spec_group.c.Name == spec_group)
            query = query.where(value.c.SpecGroupID.in_(group))
        order = recording.c.FileName, segment.c.Offset, value.c.ID
        if limit is not None:
            place, total = func.row_number().over(order_by=order) - 1, func.count().over()
            is_chosen = (place * limit % total < limit).label("IsChosen")  # the first of each n / limit rows
            every = query.with_only_columns(value.c.ID, is_chosen).subquery()
            query = query.where(value.c.ID.in_(select(every.c.ID).where(every.c.IsChosen)))
        query = query.order_by(*order)
        absent = {"value": None, "embedding": None}
        return [SimpleNamespace(**absent | vars(row)) for row in self.select(query)]


def _segment_columns(include_audio: bool) -> list[ColumnElement]:
    columns = tables.segment.c
    audio = columns.Audio if include_audio else null().label("Audio")
    return [columns.ID, columns.RecordingID, columns.Offset, audio, columns.SamplingRate]


def _labelled(column: Column, class_name: str) -> Select:
    """Select a column of SegmentClass, or of a table that is joined to it, where the class has that name."""
    labels = select(column).select_from(tables.segment_class).join(tables.class_)
    return labels.where(tables.class_.c.Name == class_name)


def _only_class() -> ColumnElement:
    """ID of the class of a recording's segments, if there is only one."""
    label = tables.segment_class.c
    class_id = case((func.min(label.ClassID) == func.max(label.ClassID), func.min(label.ClassID)))
    labels = select(class_id).join_from(tables.segment, tables.segment_class)
    return labels.where(tables.segment.c.RecordingID == tables.recording.c.ID).scalar_subquery()

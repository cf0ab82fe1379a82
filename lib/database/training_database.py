"""The training database by hand: every table can be queried, filled, changed and emptied.

What the methods of a table do follows from its description in lib.database.schema. A result is a SimpleNamespace with
an attribute for each column, in lower case: `id`, `category_id`, `alt_name`, `filename`, `specgroup_id`.
"""

from pathlib import Path
from types import SimpleNamespace

from sqlalchemy import Column, ColumnElement, Select, case, func, null, select

from lib.database import schema
from lib.database.rows import Database, Filters, Rows, count_rows, delete_rows, get_rows, update_rows


class TrainingDatabase(Database):
    """A training database, to query it, to fill it and to change it; usable in a `with` block.

    db_path: SQLite file. create: make it where it is missing, with a category, a source and a spectrogram group that
    are called `default`. A file of another version is never replaced. Raises EarshotError if the file cannot be opened.

    Each change is on disk when its method returns, or none of it; `with db.transaction():` brings several together,
    which is much faster for many. A recording that is inserted here is left alone by the extract stage.
    """

    def __init__(self, db_path: str | Path = "data/training.db", create: bool = True) -> None:
        super().__init__(db_path, schema.connect(db_path, create, replace=False))
        for table in (schema.category, schema.source, schema.spec_group) if create else ():
            if not self._rows(table, {"Name": schema.DEFAULT}):
                self._insert(table, Name=schema.DEFAULT)

    get_source = get_rows(schema.source)
    get_source_count = count_rows(schema.source)
    update_source = update_rows(schema.source)
    delete_source = delete_rows(schema.source)

    def insert_source(self, name: str) -> int:
        """Insert where recordings come from, such as `Xeno-Canto`; returns its ID."""
        return self._insert(schema.source, Name=name)

    get_category = get_rows(schema.category)
    get_category_count = count_rows(schema.category)
    update_category = update_rows(schema.category)
    delete_category = delete_rows(schema.category)

    def insert_category(self, name: str) -> int:
        """Insert a category of classes, such as `bird`; returns its ID."""
        return self._insert(schema.category, Name=name)

    get_class = get_rows(schema.class_, order="Name")
    get_class_count = count_rows(schema.class_)
    update_class = update_rows(schema.class_)
    delete_class = delete_rows(schema.class_)

    def insert_class(
        self,
        category_id: int,
        name: str,
        alt_name: str | None = None,
        code: str | None = None,
        alt_code: str | None = None,
    ) -> int:
        """Insert a class; returns its ID.

        Args:
            category_id: ID of its category.
            name: such as `White-winged Crossbill`.
            alt_name: another name, such as `Two-barred Crossbill`.
            code: such as `WWCR`.
            alt_code: another code.
        """
        values = {"CategoryID": category_id, "Name": name, "AltName": alt_name, "Code": code, "AltCode": alt_code}
        return self._insert(schema.class_, **values)

    get_soundtype = get_rows(schema.sound_type)
    get_soundtype_count = count_rows(schema.sound_type)
    update_soundtype = update_rows(schema.sound_type)
    delete_soundtype = delete_rows(schema.sound_type)

    def insert_soundtype(self, name: str) -> int:
        """Insert a type of sound, such as `song`; returns its ID."""
        return self._insert(schema.sound_type, Name=name)

    get_recording_count = count_rows(schema.recording)
    update_recording = update_rows(schema.recording)
    delete_recording = delete_rows(schema.recording)

    def get_recording(self, filters: Filters = None) -> Rows:
        """Rows of the Recording table.

        Args:
            filters: values by the names of columns, all of which a row must have; None: all rows. Names are ID,
                SourceID, FileName, Path, Seconds, Name, Key, Digest, Problems, Source, SourceName (in any case).

        Returns:
            A SimpleNamespace for each row: id, source_id, filename, path, seconds, name (filename without suffix),
            class_id (of its segments, if they have one class and no other), and what the extract stage notes: key
            (None of a recording that was inserted by hand), digest, problems.

        Raises EarshotError for the name of a column that there is not.
        """
        return self._rows(schema.recording, filters, schema.recording, _only_class().label("ClassID"))

    def insert_recording(self, source_id: int, filename: str, path: str, seconds: float = 0) -> int:
        """Insert a recording; returns its ID.

        Args:
            source_id: ID of where it comes from.
            filename: such as `XC12345.mp3`; without its suffix, this is also the recording's name.
            path: the file.
            seconds: its duration.
        """
        values = {"SourceID": source_id, "FileName": filename, "Path": str(path), "Name": Path(filename).stem}
        return self._insert(schema.recording, **values, Seconds=seconds)

    def get_recording_by_class(self, class_name: str) -> Rows:
        """The recordings in which segments have that class: what get_recording returns, class_id being that class."""
        sounding = _labelled(schema.segment.c.RecordingID, class_name).join(schema.segment)
        class_id = select(schema.class_.c.ID).where(schema.class_.c.Name == class_name).scalar_subquery()
        query = select(schema.recording, class_id.label("ClassID")).where(schema.recording.c.ID.in_(sounding))
        return self.select(query.order_by(schema.recording.c.ID))

    get_segment_count = count_rows(schema.segment)
    update_segment = update_rows(schema.segment)
    delete_segment = delete_rows(schema.segment)

    def get_segment(self, filters: Filters = None, include_audio: bool = False) -> Rows:
        """Rows of the Segment table.

        Args:
            filters: values by the names of columns, all of which a row must have; None: all rows. Names are ID,
                RecordingID, Offset, SamplingRate, Recording, RecordingName, FileName, Path, Seconds (in any case).
            include_audio: read the raw audio, too.

        Returns:
            A SimpleNamespace for each row: id, recording_id, offset (s from the start of the recording), audio (None
            where there is none, or it was not asked for), sampling_rate (of the audio, Hz).

        Raises EarshotError for the name of a column that there is not.
        """
        return self._rows(schema.segment, filters, *_segment_columns(include_audio))

    def insert_segment(
        self, recording_id: int, offset: float, audio: bytes | None = None, sampling_rate: int | None = None
    ) -> int:
        """Insert a segment; returns its ID.

        Args:
            recording_id: ID of its recording, which has one segment at most at an offset.
            offset: where it starts, seconds from the start of the recording.
            audio: its raw audio, to keep it in the database.
            sampling_rate: of that audio, Hz.
        """
        values = {"RecordingID": recording_id, "Offset": offset, "Audio": audio, "SamplingRate": sampling_rate}
        return self._insert(schema.segment, **values)

    def get_segment_by_class(self, class_name: str, include_audio: bool = False) -> Rows:
        """The segments that have that class, by recording and offset: what get_segment returns."""
        labelled = _labelled(schema.segment_class.c.SegmentID, class_name)
        query = select(*_segment_columns(include_audio)).where(schema.segment.c.ID.in_(labelled))
        return self.select(query.order_by(schema.segment.c.RecordingID, schema.segment.c.Offset))

    def get_all_segment_counts(self) -> Rows:
        """A SimpleNamespace for each class, by name: class_name, and count, its number of segments, which may be 0."""
        class_, label = schema.class_.c, schema.segment_class.c
        counts = select(class_.Name.label("ClassName"), func.count(label.ID).label("Count"))
        joined = counts.join_from(schema.class_, schema.segment_class, isouter=True)
        return self.select(joined.group_by(class_.ID).order_by(class_.Name))

    def get_segment_counts_by_recording(self) -> Rows:
        """A SimpleNamespace for each class and recording in which it sounds, by class name and file name: class_name,
        code, filename, and count, the number of the recording's segments that have the class."""
        class_, recording, label = schema.class_.c, schema.recording.c, schema.segment_class.c
        columns = class_.Name.label("ClassName"), class_.Code, recording.FileName, func.count(label.ID).label("Count")
        joined = select(*columns).join_from(schema.segment_class, schema.class_).join(schema.segment)
        query = joined.join(schema.recording).group_by(class_.ID, recording.ID)
        return self.select(query.order_by(class_.Name, recording.FileName, recording.ID))

    get_segment_class = get_rows(schema.segment_class)
    get_segment_class_count = count_rows(schema.segment_class)
    update_segment_class = update_rows(schema.segment_class)
    delete_segment_class = delete_rows(schema.segment_class)

    def insert_segment_class(self, segment_id: int, class_id: int, soundtype_id: int | None = None) -> int:
        """Say that a class sounds in a segment, which may have several; returns the ID of the row."""
        values = {"SegmentID": segment_id, "ClassID": class_id, "SoundTypeID": soundtype_id}
        return self._insert(schema.segment_class, **values)

    get_specgroup = get_rows(schema.spec_group)
    get_specgroup_count = count_rows(schema.spec_group)
    update_specgroup = update_rows(schema.spec_group)
    delete_specgroup = delete_rows(schema.spec_group)

    def insert_specgroup(self, name: str, settings: str | None = None) -> int:
        """Insert a group of spectrograms that are made with the same settings; returns its ID.

        Args:
            name: such as `logscale`.
            settings: the audio settings, as lib.config.Audio writes them as JSON.
        """
        return self._insert(schema.spec_group, Name=name, Settings=settings)

    get_specvalue = get_rows(schema.spec_value)
    get_specvalue_count = count_rows(schema.spec_value)
    update_specvalue = update_rows(schema.spec_value)
    delete_specvalue = delete_rows(schema.spec_value)

    def insert_specvalue(self, value: bytes, spec_group_id: int, segment_id: int) -> int:
        """Insert a spectrogram; returns its ID. A segment has one at most in each group.

        Args:
            value: the spectrogram as lib.database.codec.encode compresses it.
            spec_group_id: ID of its group.
            segment_id: ID of its segment.
        """
        return self._insert(schema.spec_value, Value=value, SpecGroupID=spec_group_id, SegmentID=segment_id)

    def get_spectrogram_by_class(
        self,
        class_name: str,
        include_value: bool = True,
        include_embedding: bool = False,
        spec_group: str | None = schema.DEFAULT,
        limit: int | None = None,
    ) -> Rows:
        """The spectrograms of the segments that have a class, by file name and offset.

        Args:
            class_name: name of the class.
            include_value: read the compressed spectrograms; else value is None.
            include_embedding: read the embeddings; else embedding is None.
            spec_group: name of the group of spectrograms; None: of all groups.
            limit: at most so many.

        Returns:
            A SimpleNamespace for each: segment_id, specvalue_id, value, embedding, recording_id, filename, offset.
        """
        value, segment, recording = schema.spec_value, schema.segment, schema.recording
        columns = [value.c.SegmentID, value.c.ID.label("SpecValueID"), segment.c.RecordingID]
        columns += [recording.c.FileName, segment.c.Offset]
        columns += [value.c.Value] * include_value + [value.c.Embedding] * include_embedding
        query = select(*columns).join_from(value, segment).join(recording)
        query = query.where(segment.c.ID.in_(_labelled(schema.segment_class.c.SegmentID, class_name)))
        if spec_group is not None:
            group = select(schema.spec_group.c.ID).where(schema.spec_group.c.Name == spec_group)
            query = query.where(value.c.SpecGroupID.in_(group))
        query = query.order_by(recording.c.FileName, segment.c.Offset, value.c.ID).limit(limit)
        absent = {"value": None, "embedding": None}
        return [SimpleNamespace(**absent | vars(row)) for row in self.select(query)]


def _segment_columns(include_audio: bool) -> list[ColumnElement]:
    columns = schema.segment.c
    audio = columns.Audio if include_audio else null().label("Audio")
    return [columns.ID, columns.RecordingID, columns.Offset, audio, columns.SamplingRate]


def _labelled(column: Column, class_name: str) -> Select:
    """Select a column of the segment labels (or of what is joined to them) that name a class."""
    return (
        select(column).select_from(schema.segment_class).join(schema.class_).where(schema.class_.c.Name == class_name)
    )


def _only_class() -> ColumnElement:
    """ID of the class of a recording's segments, if there is just one."""
    label = schema.segment_class.c
    class_id = case((func.min(label.ClassID) == func.max(label.ClassID), func.min(label.ClassID)))
    labels = select(class_id).join_from(schema.segment, schema.segment_class)
    return labels.where(schema.segment.c.RecordingID == schema.recording.c.ID).scalar_subquery()

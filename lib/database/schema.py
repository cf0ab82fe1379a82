"""The tables of the training database, described once.

A Recording of a Source is cut into Segments (windows that start at Offset seconds). SegmentClass says which Classes,
each of a Category, sound in a segment; a segment without any is background. SpecValue holds a segment's spectrogram as
made with the settings of a SpecGroup.
"""

import json
from pathlib import Path

from sqlalchemy import (
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    text,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from lib.config import Audio
from lib.errors import EarshotError

VERSION = 2
APPLICATION = 0x45415254
"""SQLite's application_id of a training database: a file without it is somebody else's."""
DEFAULT = "default"
"""Name of the source, category and spectrogram group that are used where none is named."""

metadata = MetaData()


def _id() -> Column:
    return Column("ID", Integer, primary_key=True)


def _reference(name: str, table: str, index: bool = True) -> Column:
    return Column(name, ForeignKey(f"{table}.ID", ondelete="CASCADE"), nullable=False, index=index)


category = Table("Category", metadata, _id(), Column("Name", Text, nullable=False, unique=True))
source = Table("Source", metadata, _id(), Column("Name", Text, nullable=False, unique=True))
sound_type = Table("SoundType", metadata, _id(), Column("Name", Text, nullable=False, unique=True))
spec_group = Table(
    "SpecGroup",
    metadata,
    _id(),
    Column("Name", Text, nullable=False, unique=True),
    Column("Settings", Text),  # audio settings as JSON
)
class_ = Table(
    "Class",
    metadata,
    _id(),
    _reference("CategoryID", "Category"),
    Column("Name", Text, nullable=False, unique=True),
    Column("AltName", Text),
    Column("Code", Text),
    Column("AltCode", Text),
)
recording = Table(
    "Recording",
    metadata,
    _id(),
    _reference("SourceID", "Source"),
    Column("FileName", Text, nullable=False),
    Column("Path", Text, nullable=False),
    Column("Seconds", Float, nullable=False),
    Column("Name", Text, nullable=False, index=True),  # as in the annotation table
    Column("Key", Text),  # digest of all that its segments were made from; null: inserted by hand
    Column("Digest", Text),  # digest of its rows in the tables below
    Column("Problems", Text),  # what was odd about it, as JSON
)
segment = Table(
    "Segment",
    metadata,
    _id(),
    _reference("RecordingID", "Recording", index=False),
    Column("Offset", Float, nullable=False),
    Column("Audio", LargeBinary),
    Column("SamplingRate", Integer),
    Index("ix_Segment_RecordingID_Offset", "RecordingID", "Offset", unique=True),
)
segment_class = Table(
    "SegmentClass",
    metadata,
    _id(),
    _reference("SegmentID", "Segment", index=False),
    _reference("ClassID", "Class"),
    Column("SoundTypeID", ForeignKey("SoundType.ID", ondelete="SET NULL")),
    Index("ix_SegmentClass_SegmentID_ClassID", "SegmentID", "ClassID", unique=True),
)
spec_value = Table(
    "SpecValue",
    metadata,
    _id(),
    _reference("SegmentID", "Segment", index=False),
    _reference("SpecGroupID", "SpecGroup"),
    Column("Value", LargeBinary, nullable=False),
    Column("Embedding", LargeBinary),
    Index("ix_SpecValue_SegmentID_SpecGroupID", "SegmentID", "SpecGroupID", unique=True),
)


def settings_text(audio: Audio) -> str:
    """Audio settings as SpecGroup.Settings holds them; equal ones give equal texts."""
    return json.dumps(audio.model_dump(), sort_keys=True)


def connect(path: str | Path, create: bool = False, replace: bool = True) -> Engine:
    """An engine for the database file, whose connections enforce foreign keys.

    create: make the file and its tables where they are missing. replace: with create, make a file of another VERSION
    anew; without it, such a file is an error, since somebody may have filled it by hand.
    Raises EarshotError if the file is missing (without create) or is no training database of this version.
    """
    path = Path(path)
    if not create and not path.is_file():
        raise EarshotError(f"{path}: no such file; run the extract stage first")
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = _engine(path)
    try:
        with engine.connect() as connection:
            ours = connection.execute(text("PRAGMA application_id")).scalar() == APPLICATION
            version = connection.execute(text("PRAGMA user_version")).scalar()
            tables = connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar()
    except DatabaseError as error:
        action = "remove it and run the extract stage" if path.is_file() else "check that you may write there"
        raise EarshotError(f"{path}: cannot be opened ({error.orig}); {action}") from None
    if tables and not ours:
        raise EarshotError(f"{path}: is another database; give a file of its own")
    if version == VERSION:
        return engine
    if tables and not (create and replace):
        action = "run the extract stage to make it anew, or give another file"
        raise EarshotError(f"{path}: is a training database of another version; {action}")
    if not create:
        raise EarshotError(f"{path}: is an empty database; run the extract stage")
    if tables:
        engine.dispose()
        path.unlink()
        engine = _engine(path)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:  # one by one: create_all makes the indexes in an order that varies
            connection.execute(CreateTable(table))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index))
        connection.execute(text(f"PRAGMA application_id = {APPLICATION}"))
        connection.execute(text(f"PRAGMA user_version = {VERSION}"))
    return engine


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _configure(connection, _record) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -65536")

    return engine

"""The tables of the training database.

A Recording of a Source is cut into Segments (windows that start at Offset seconds). SegmentClass labels a segment with
Classes, each of a Category; a segment without any is background. SpecValue holds a segment's spectrogram, made with the
settings of a SpecGroup; Segment.Audio its sound, if that is stored, cut with the settings of the group DEFAULT.
"""

import json
from pathlib import Path

from sqlalchemy import Column, Engine, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.exc import DatabaseError

from lib.config.schema import AudioSettings
from lib.core.databases import Kind, engine_of, header_of, open_database, usable
from lib.core.errors import EarshotError

VERSION = 5
UPGRADES = {
    3: ('ALTER TABLE "SpecGroup" ADD COLUMN "Unfinished" INTEGER', 'ALTER TABLE "Recording" ADD COLUMN "Content" TEXT'),
    4: ('ALTER TABLE "SegmentClass" ADD COLUMN "Copied" INTEGER',),
}
"""By version: what makes a database of it one of the next version."""
DEFAULT = "default"
"""Name of the source, category and spectrogram group that are used if none is named."""

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
    Column("EmbeddedBy", Text),  # models that made the embeddings of its spectrograms, as JSON
    Column("Unfinished", Integer),  # 1: the extract stage was interrupted while it filled it
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
    Column("Key", Text),  # digest of all that its segments depend on; null: inserted by hand
    Column("Digest", Text),  # digest of its rows in the tables below
    Column("Problems", Text),  # as JSON
    Column("Content", Text),  # digest of the file's bytes; null: not known
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
    Column("Copied", Integer),  # 1: from the annotations to a segment inserted by hand, see hand_picked
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

ORDER = {
    "Category": "Name",
    "Source": "Name",
    "SoundType": "Name",
    "SpecGroup": "Name",
    "Class": "Name",
    "Recording": "Key IS NOT NULL DESC, Name, Path, ID",
    "Segment": "RecordingID, Offset",
    "SegmentClass": "SegmentID, ClassID",
    "SpecValue": "SegmentID, SpecGroupID",
}
"""In which rows are numbered in a file whose bytes depend on its content alone, see lib.core.databases.renumber."""

FILE = Kind("training database", metadata, 0x45415254, VERSION, "run the extract stage")


def settings_text(audio: AudioSettings) -> str:
    """Audio settings as SpecGroup.Settings holds them; equal ones give equal texts."""
    return json.dumps(audio.model_dump(), sort_keys=True)


def open_training_tables(path: str | Path, create: bool = False, replace: bool = True) -> Engine:
    """An engine for the database file, whose connections enforce foreign keys.

    Args:
        path: the file.
        create: make the file and its tables if they are missing.
        replace: with create, replace a file of another VERSION if all of it comes from the extract stage. Otherwise
            it is upgraded, if possible.

    Raises EarshotError if the file is missing (without create) or is not a training database of this version.
    """
    path = Path(path)
    if create and path.is_file():
        _upgrade(path, replace)
    return open_database(path, FILE, create)


def _upgrade(path: Path, replace: bool) -> None:
    """Remove or upgrade a database of another version.

    Raises EarshotError if it cannot be upgraded, and may hold what the extract stage cannot remake.
    """
    engine = engine_of(path)
    header = header_of(engine, path, FILE)
    if not header.tables or not header.is_of(FILE) or header.version == VERSION:
        return
    if replace and not _is_precious(engine):
        path.unlink()
    elif header.version in UPGRADES:
        with usable(path, FILE), engine.connect() as connection:
            connection.execute(text("BEGIN"))
            for version in range(header.version, VERSION):
                for statement in UPGRADES[version]:
                    connection.execute(text(statement))
            connection.execute(text(f"PRAGMA user_version = {VERSION}"))
            connection.commit()
    elif replace:
        fault = "is a training database of another version with recordings or spectrogram groups added by hand"
        raise EarshotError(path, fault, "give another file, or remove this one if you can do without it")


def _is_precious(engine: Engine) -> bool:
    """Whether a database may hold what the extract stage cannot remake."""
    by_hand = 'SELECT EXISTS (SELECT 1 FROM Recording WHERE "Key" IS NULL)'
    other_groups = f"EXISTS (SELECT 1 FROM SpecGroup WHERE Name <> '{DEFAULT}')"
    try:
        with engine.connect() as connection:
            return bool(connection.execute(text(f"{by_hand} OR {other_groups}")).scalar_one())
    except DatabaseError:  # it has other tables
        return True

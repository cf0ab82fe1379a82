"""The tables of a results store."""

import json
from collections.abc import Collection

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    TableValuedAlias,
    Text,
    func,
)

from lib.core.databases import Kind

_metadata = MetaData()
MANIFEST = Table("Manifest", _metadata, Column("Content", Text, nullable=False))  # the last row counts
RECORDING = Table(
    "Recording",
    _metadata,
    Column("Name", Text, primary_key=True),
    Column("Path", Text, nullable=False),
    Column("Seconds", Float),  # null: it failed
    Column("Problems", Text, nullable=False),  # why it failed, or what is unusual about it, as JSON
    Column("Windows", Integer, nullable=False),
    Column("Labels", Integer, nullable=False),
    Column("Occurrences", Text, nullable=False),  # why classes were kept or dropped, as JSON
    Column("Settings", Text, nullable=False),  # key of the manifest that it was analyzed by
    Column("Key", Text, nullable=False),  # digest of all that its results depend on; empty: it failed
    Column("LabelFiles", Text, nullable=False),  # digest of what they were made of; empty: missing, or being replaced
    sqlite_with_rowid=False,
)


def _of_recording() -> Column:
    return Column("Recording", ForeignKey("Recording.Name", ondelete="CASCADE"), primary_key=True)


SCORES = Table(
    "Scores",
    _metadata,
    _of_recording(),
    Column("First", Integer, primary_key=True),  # number of its first window
    Column("Windows", Integer, nullable=False),
    Column("Value", LargeBinary, nullable=False),  # see lib.results.results_store.pack_scores
    sqlite_with_rowid=False,
)
LABEL = Table(
    "Label",
    _metadata,
    _of_recording(),
    Column("Number", Integer, primary_key=True),
    Column("Class", Integer, nullable=False),  # index into the manifest's classes
    Column("StartTime", Float, nullable=False),
    Column("EndTime", Float, nullable=False),
    Column("Score", Float, nullable=False),
    # What labels of infer do not have: null takes a byte each.
    Column("LowFreq", Float),  # Hz
    Column("HighFreq", Float),
    Column("AnnotationId", Text),  # null: the number as text
    Column("ClassPdf", Text),  # JSON
    Column("Metadata", Text),  # JSON
    sqlite_with_rowid=False,
)
Index(
    "LabelByAnnotationId",
    LABEL.c.Recording,
    LABEL.c.AnnotationId,
    unique=True,
    sqlite_where=LABEL.c.AnnotationId.is_not(None),
)
LABEL_FILE = Table(
    "LabelFile",
    _metadata,
    Column("Path", Text, primary_key=True),  # in the store's folder
    Column("Digest", Text, nullable=False),  # of its content, as it was written
    sqlite_with_rowid=False,
)
FILE = Kind("results store", _metadata, 0x45415253, 2, "run the infer stage")


def json_values(values: Collection) -> TableValuedAlias:
    """A table of one column, `value`, that a statement takes as one parameter, however many values there are."""
    return func.json_each(json.dumps(list(values), ensure_ascii=False)).table_valued("value")

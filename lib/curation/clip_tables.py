"""The tables of a clip index, see lib.curation.clip_index."""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text

from lib.core.databases import Kind

_metadata = MetaData()
RECORDING = Table(
    "Recording",
    _metadata,
    Column("ID", Integer, primary_key=True),
    Column("Name", Text, nullable=False),  # in decisions
    Column("FoundName", Text),  # in the results store; null: it is not there
    Column("Path", Text, nullable=False),
    Column("IsOutside", Integer, nullable=False),  # 1: it is in no data set
    Column("Seconds", Float),  # null: unknown
    Column("DataSet", Text, nullable=False),  # test, train or empty
    Column("Site", Text, nullable=False),
    Column("Date", Text, nullable=False),  # in ISO 8601; empty: unknown
    Index("RecordingByName", "Name"),
)
CLIP = Table(
    "Clip",
    _metadata,
    Column("ID", Integer, primary_key=True),
    Column("RecordingID", ForeignKey("Recording.ID"), nullable=False),
    Column("Origin", Text, nullable=False),  # found or annotated
    Column("Class", Text, nullable=False),
    Column("StartTime", Float, nullable=False),
    Column("EndTime", Float, nullable=False),  # inf: to the end of the recording
    Column("LowFreq", Float),  # Hz
    Column("HighFreq", Float),
    Column("Score", Float),  # null: annotated
    Column("Outcome", Text, nullable=False),  # see lib.curation.sound_outcomes; empty: unknown
    Column("OtherClass", Text, nullable=False),  # that it is confused with
    Column("Decision", Text, nullable=False),  # empty: none
    Column("NewClass", Text, nullable=False),
    Index("ClipByPlace", "RecordingID", "Class", "StartTime"),
    Index("ClipByScore", "Origin", "Class", "Score"),
    Index("ClipByAnyScore", "Origin", "Score"),
)
CHANGE = Table(
    "Change",
    _metadata,
    Column("ClipID", ForeignKey("Clip.ID"), primary_key=True),
    Column("Serial", Integer, primary_key=True),  # counts up with each change of decisions
    Column("Before", Text, nullable=False),  # the clip's decision until then
)
FILE = Kind("index of clips", _metadata, 0x45415249, 1, "start the review page")

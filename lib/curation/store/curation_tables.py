"""The tables of the curation database, in SQLite or in any other database that SQLAlchemy knows.

A *set* is a data set or an inference set. An uploaded set has its frames here; a linked one (DataUrl) has them in
annotations or in a results store, and here only what belongs to it besides: issues, and embeddings that are uploaded.

Times of day are ISO 8601 texts in UTC. Issues, their elements and embeddings name frames and labels by their ids, not
by rows, since those of linked sets have none.
"""

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

from lib.core.databases import Kind

_metadata = MetaData()


def _number() -> Column:
    return Column("ID", Integer, primary_key=True)


def _owned_by(table: str, column: str = "", nullable: bool = False) -> Column:
    """A reference to the row that this one belongs to, and goes with."""
    return Column(
        column or f"{table}ID", ForeignKey(f"{table}.ID", ondelete="CASCADE"), nullable=nullable, index=not column
    )


def _text(name: str, **options: object) -> Column:
    return Column(name, Text, **({"nullable": False} | options))  # type: ignore[arg-type]


PROJECT = Table(
    "Project",
    _metadata,
    _number(),
    _text("Name", unique=True),
    Column("Content", JSON, nullable=False),  # what create_project was given
    Column("Metadata", JSON, nullable=False),
    _text("CreatedAt"),
    _text("UpdatedAt"),
)
FRAME_SET = Table(
    "FrameSet",
    _metadata,
    _number(),
    _owned_by("Project"),
    _owned_by("FrameSet", "BaseID", nullable=True),  # of an inference set: the data set that it is about
    Column("BaseKey", Integer, nullable=False),  # BaseID, or 0: names are unique among those of the same base
    _text("Name"),
    _text("Kind"),  # labeled, unlabeled or inferences
    _text("DataUrl", nullable=True),  # null: its frames are in this database
    Column("Archived", Integer, nullable=False),  # 0 or 1
    Column("Metadata", JSON, nullable=False),
    Column(
        "Content", JSON, nullable=False
    ),  # how it was created: pipeline mode, metric, models and store of embeddings
    Column("ObjectFields", JSON, nullable=False),  # the schema of labels' user metadata: [{"name":, "type":}]
    _text("CreatedAt"),
    _text("UpdatedAt"),
    Index("ix_FrameSet_Name", "ProjectID", "BaseKey", "Name", unique=True),
)
UPLOAD_VERSION = Table(
    "UploadVersion",
    _metadata,
    _number(),
    _owned_by("FrameSet"),
    _text("Name"),
    *(Column(name, Integer, nullable=False) for name in ("Added", "Modified", "Deleted", "Unchanged", "Failed")),
    _text("CreatedAt"),
    _text("UpdatedAt"),
    Index("ix_UploadVersion_Name", "FrameSetID", "Name", unique=True),
)
INGEST_ERROR = Table(
    "IngestError",
    _metadata,
    _number(),
    _owned_by("FrameSet"),
    _owned_by("UploadVersion", nullable=True),
    Column("Line", Integer),  # of the stream, from 1
    _text("FrameName"),  # "": unknown
    _text("Fault"),
    _text("Remedy"),
    _text("At"),
)
FRAME = Table(
    "Frame",
    _metadata,
    _number(),
    _owned_by("FrameSet", "FrameSetID"),
    Column("UploadVersionID", ForeignKey("UploadVersion.ID", ondelete="SET NULL"), index=True),  # that changed it last
    _text("Name"),  # frame_id
    _text("Recording"),  # name of the recording that it is, or is a window of; "": unknown
    Column("StartTime", Float, nullable=False),  # s
    Column("EndTime", Float),  # s; null: to the end of the recording
    Column("Content", JSON, nullable=False),  # to_dict of the frame, without embeddings
    _text("Digest"),  # of Content and embeddings
    _text("UpdatedAt"),
    Index("ix_Frame_Name", "FrameSetID", "Name", unique=True),
)
CROP = Table(  # what the labels in Content say, in columns
    "Crop",
    _metadata,
    _number(),
    _owned_by("Frame"),
    _owned_by("FrameSet", "FrameSetID"),
    _text("Name"),  # label_id; of a mask, with the number of the instance or class behind a slash
    _text("Kind"),  # one of lib.curation.frames.label_kinds
    _text("Class"),
    Column("StartTime", Float),  # s from the start of the recording; null: the frame's
    Column("EndTime", Float),
    Column("LowFreq", Float),  # Hz; null: all frequencies
    Column("HighFreq", Float),
    Column("Confidence", Float),  # 0..1
    Column("Attributes", JSON, nullable=False),  # user_attrs
    Index("ix_Crop_Name", "FrameSetID", "Name", unique=True),
)
EMBEDDING = Table(
    "Embedding",
    _metadata,
    _number(),
    _owned_by("FrameSet", "FrameSetID"),
    _text("FrameName"),
    _text("CropName"),  # "": of the frame
    _text("Model"),
    Column("Dimension", Integer, nullable=False),
    Column("Vector", LargeBinary, nullable=False),  # float32, little-endian
    Index("ix_Embedding_Name", "FrameSetID", "FrameName", "CropName", "Model", unique=True),
)
ISSUE = Table(
    "Issue",
    _metadata,
    _number(),
    _owned_by("Project"),
    _text("Uuid", unique=True),  # issue_id
    _text("Name"),
    _text("Type"),
    _text("State"),
    _text("ElementType"),  # frame or crop
    _text("Dataset"),
    _text("InferenceSet", nullable=True),
    _text("Reporter"),
    _text("Assignee", nullable=True),
    Column("BatchSize", Integer),  # of a work queue
    Column("Content", JSON, nullable=False),  # fields of templates, and whatever else a type needs
    _text("CreatedAt"),
    _text("UpdatedAt"),
)
WORK_BATCH = Table(
    "WorkBatch",
    _metadata,
    _number(),
    _owned_by("Issue"),
    _text("Name"),
    _text("Status"),  # queued, assigned or done
    _text("Assignee", nullable=True),
    _text("UpdatedAt"),
    Index("ix_WorkBatch_Name", "IssueID", "Name", unique=True),
)
ISSUE_ELEMENT = Table(
    "IssueElement",
    _metadata,
    _number(),
    _owned_by("Issue", "IssueID"),
    Column("WorkBatchID", ForeignKey("WorkBatch.ID", ondelete="SET NULL"), index=True),
    _text("Name"),  # element_id
    _text("ElementType"),
    _text("CropType", nullable=True),  # label or inference; null: a frame
    _text("Dataset"),
    _text("InferenceSet", nullable=True),
    _text("FrameName"),
    _text("CropName"),  # "": a frame
    _text("Status"),
    Column("Metadata", JSON, nullable=False),  # confidence, IoU, marks
    _text("UpdatedAt"),
    Index("ix_IssueElement_Name", "IssueID", "Name", unique=True),
)
COMMENT = Table(
    "Comment",
    _metadata,
    _number(),
    _owned_by("Issue"),
    _owned_by("IssueElement", nullable=True),  # null: about the issue
    _text("Author"),
    _text("Content"),
    _text("CreatedAt"),
)
FILE = Kind("curation database", _metadata, 0x45415243, 1, "create a project")

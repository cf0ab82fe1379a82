"""Registered models: versions in MLflow's registry, made from models that runs logged, found and changed by tags.

A model is known by the id of its logged model (`m-...`). All that is known about it stands in tags of its version, one
for each fact, so that processes which change different facts at once lose nothing:

- user tags, each a tag without a value;
- `earshot.status`, draft or published; `earshot.archived`, when it was archived; `earshot.comment`, `earshot.url`,
  `earshot.framework`, `earshot.task` (the run that made it), `earshot.connected` (the last run that it became an input
  of), `earshot.system_tags` (JSON), `earshot.sha256` (JSON, digests of its files);
- `earshot.metadata.KEY`: JSON with value and type, both texts;
- `earshot.history.NNNN-XXXX`: JSON with at, by and action. The last digits are random, for two writers at a time.

When a version is removed, its history goes to tags of the registered model. Configuration and labels, which may be
long, are in the model's artifact `earshot/model.json`.
"""

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.core.errors import EarshotError, store_fault

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

RESERVED = ("earshot.", "mlflow.")
"""How tags begin that are not user tags."""
STATUS, ARCHIVED, COMMENT, URL, FRAMEWORK, TASK, CONNECTED, SYSTEM_TAGS, METADATA, HISTORY, REMOVED = (
    f"earshot.{name}"
    for name in (
        "status",
        "archived",
        "comment",
        "url",
        "framework",
        "task",
        "connected",
        "system_tags",
        "metadata.",
        "history.",
        "removed.",
    )
)
SHA256 = "earshot.sha256"
"""Tag of a version: SHA-256 of its files by path, as JSON, if there is room."""
DRAFT, PUBLISHED = "draft", "published"
LONGEST_NAME, LONGEST_TEXT, LONGEST_VERSION_TAG = 256, 5000, 100_000
"""Characters of a registered model's name; of a description or a registered model's tag; of a version's tag: what
MLflow's tables hold in a database that keeps to their widths, such as PostgreSQL."""
LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]+)")
"""The source of a version that was made from a logged model."""


class ModelError(EarshotError, ValueError):
    """A registered model is missing, or cannot be used or changed in that way."""


class HistoryEntry(NamedTuple):
    """What someone did to a model: when (ISO time, UTC), who, and the action in words."""

    at: str
    by: str
    action: str


class MetadataEntry(NamedTuple):
    """The value of a metadata entry and the name of its type, both as text."""

    value: str
    type: str


class RegisteredModel(NamedTuple):
    """A registered model as it was when it was read.

    id: of its logged model.
    name, version: in the registry.
    tags: user tags, sorted.
    archived: when it was archived, ISO time; "": it is not.
    task: id of the run that made it, "" if none did.
    connected: id of the run that it became an input of last, "" if none.
    description: what MLflow's page shows, Markdown.
    updated: seconds since 1970 of the last change.
    """

    id: str
    name: str
    version: int
    tags: list[str]
    system_tags: list[str]
    is_published: bool
    archived: str
    comment: str
    url: str
    framework: str
    task: str
    connected: str
    metadata: dict[str, MetadataEntry]
    history: list[HistoryEntry]
    description: str
    updated: float

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


def read_version(version: "ModelVersion") -> RegisteredModel | None:
    """The model of a version; None if it was not made from a logged model."""
    source = LOGGED_MODEL.fullmatch(version.source or "")
    if source is None:
        return None
    tags = version.tags
    history = read_entries({key: value for key, value in tags.items() if key.startswith(HISTORY)})
    changed = datetime.fromisoformat(history[-1].at).timestamp() if history else 0.0
    return RegisteredModel(
        id=source[1],
        name=version.name,
        version=int(version.version),
        tags=sorted(tag for tag in tags if not tag.startswith(RESERVED)),
        system_tags=_system_tags(tags.get(SYSTEM_TAGS, "[]")) + (["archived"] if ARCHIVED in tags else []),
        is_published=tags.get(STATUS) == PUBLISHED,
        archived=tags.get(ARCHIVED, ""),
        comment=tags.get(COMMENT, ""),
        url=tags.get(URL, ""),
        framework=tags.get(FRAMEWORK, ""),
        task=tags.get(TASK) or version.run_id or "",
        connected=tags.get(CONNECTED, ""),
        metadata={
            key.removeprefix(METADATA): _metadata_entry(value)
            for key, value in sorted(tags.items())
            if key.startswith(METADATA)
        },
        history=history,
        description=version.description or "",
        updated=max(changed, (version.last_updated_timestamp or 0) / 1000),
    )


def check_name(name: str) -> None:
    """Raise ModelError if a registered model cannot have that name."""
    if fault := _refusal("_validate_model_name", name):
        raise ModelError(f"name = {name!r}", fault, "give another name")
    if len(name) > LONGEST_NAME:
        raise ModelError(f"name = {name!r}", f"has {len(name)} characters", f"give one of up to {LONGEST_NAME}")


def check_tags(tags: Collection[str]) -> None:
    """Raise ModelError if any of these cannot be a tag of a model."""
    for tag in tags:
        if tag.startswith(RESERVED):
            raise ModelError(f"tag {tag!r}", f"begins with {' or '.join(RESERVED)}, which are reserved")
        if tag.startswith(("-", "__$")):
            raise ModelError(f"tag {tag!r}", "begins as operators of tag filters do", "give another tag")
        if not can_be_version_tag(tag):
            remedy = "use up to 250 letters, digits, spaces and _ - . : /"
            raise ModelError(f"tag {tag!r}", "cannot be a tag in MLflow", remedy)


def can_be_version_tag(key: str, value: str = "") -> bool:
    """Whether MLflow takes a tag of a version."""
    return not _refusal("_validate_model_version_tag", key, value)


def check_comment(comment: str) -> None:
    """Raise ModelError if a text is longer than a comment or a description can be."""
    if len(comment) > LONGEST_TEXT:
        fault = f"has {len(comment):,} characters; MLflow's databases hold {LONGEST_TEXT:,}"
        raise ModelError("comment", fault, "shorten it")


def digests_tag(digests: Mapping[str, str]) -> dict[str, str]:
    """The tag SHA256 of files by path; none if it would be too long."""
    text = json.dumps(dict(digests), ensure_ascii=False)
    return {SHA256: text} if len(text) <= LONGEST_VERSION_TAG else {}


def read_entries(tags: Mapping[str, str]) -> list[HistoryEntry]:
    """Entries of a history in the order in which they were made; what is none is skipped."""
    texts = [(key, _texts(value, HistoryEntry._fields)) for key, value in tags.items()]
    entries = [(key, HistoryEntry(**content)) for key, content in texts if content and _is_time(content["at"])]
    return [entry for _, entry in sorted(entries, key=lambda pair: (pair[1].at, pair[0]))]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _refusal(validator: str, *values: str) -> str:
    """Why MLflow would refuse values, "" if it takes them. It has no public function that tells before all is sent."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils import validation

    try:
        getattr(validation, validator)(*values)
    except MlflowException as error:
        return store_fault(error)
    return ""


def _texts(tag: str, keys: Collection[str]) -> dict[str, str] | None:
    """The texts that a tag's JSON holds by these keys; None if it is no such JSON, as after an edit by hand."""
    content = _parsed(tag)
    if not isinstance(content, dict) or content.keys() != {*keys}:
        return None
    return content if all(isinstance(value, str) for value in content.values()) else None


def _metadata_entry(tag: str) -> MetadataEntry:
    """The entry in a tag, which is plain text if people wrote it in MLflow's page."""
    return MetadataEntry(**(_texts(tag, MetadataEntry._fields) or {"value": tag, "type": "str"}))


def _system_tags(text: str) -> list[str]:
    content = _parsed(text)
    return [tag for tag in content if isinstance(tag, str)] if isinstance(content, list) else []


def _parsed(text: str) -> Any:
    """The value of a JSON text, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return False
    return True

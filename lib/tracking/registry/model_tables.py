"""Registered models as tables and plain data, for people and programs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lib.core.errors import EarshotError
from lib.tracking.registry.model_card import ModelCard
from lib.tracking.registry.model_queries import aliases_of, project_of
from lib.tracking.registry.registered_models import HistoryEntry, MetadataEntry, RegisteredModel
from lib.tracking.registry.registration import stored_card

if TYPE_CHECKING:
    from mlflow import MlflowClient


def listed_models(client: "MlflowClient", models: Sequence[RegisteredModel]) -> list[dict[str, Any]]:
    """What a list says of each model."""
    aliases = {name: aliases_of(client, name) for name in {model.name for model in models}}
    return [_facts(model, aliases[model.name].get(model.version, [])) for model in models]


def models_table(facts: Sequence[Mapping[str, Any]]) -> dict[str, list]:
    """The columns of a list of models, as listed_models gives them."""
    return {
        "model": [f"{each['name']}/{each['version']}" for each in facts],
        "aliases": [", ".join(each["aliases"]) or None for each in facts],
        "status": [each["status"] + (", archived" if each["archived"] else "") for each in facts],
        "tags": [", ".join(each["tags"]) or None for each in facts],
        "framework": [each["framework"] or None for each in facts],
        "changed": [each["changed"][:16].replace("T", " ") for each in facts],
        "id": [each["id"] for each in facts],
    }


def card_of(client: "MlflowClient", model_id: str) -> ModelCard | None:
    """The card of a model; None if it has none, as many imported ones, or one that cannot be read."""
    try:
        return stored_card(client, model_id)
    except (EarshotError, ValueError, OSError):
        return None


def all_facts(client: "MlflowClient", model: RegisteredModel) -> dict[str, Any]:
    """All that the registry says about a model."""
    aliases = aliases_of(client, model.name).get(model.version, [])
    return _facts(model, aliases) | {
        "project": project_of(client, model.id),
        "system_tags": model.system_tags,
        "comment": model.comment,
        "url": model.url,
        "task": model.connected or model.task,
        "original_task": model.task,
        "metadata": {key: entry._asdict() for key, entry in model.metadata.items()},
        "description": model.description,
    }


def facts_text(facts: Mapping[str, Any], card: ModelCard | None = None) -> str:
    """All facts about a model, as all_facts gives them: a line each, and below them its card, else its description.

    The description is the card as well, but shortened to what MLflow's databases hold.
    """
    texts = {key: value for key, value in facts.items() if key not in ("metadata", "description")}
    texts |= {f"metadata {key}": entry["value"] for key, entry in facts["metadata"].items()}
    lines = [f"{key:<16}{', '.join(value) if isinstance(value, list) else value}" for key, value in texts.items()]
    text = "\n".join(line for line, value in zip(lines, texts.values(), strict=True) if value not in ("", []))
    if card:
        return f"{text}\n\n{card.markdown()}"
    return f"{text}\n\n{facts['description']}" if facts["description"] not in ("", facts["comment"]) else text


def metadata_table(entries: Mapping[str, MetadataEntry]) -> dict[str, list]:
    """The columns of a model's metadata."""
    return {
        "key": list(entries),
        "value": [entry.value for entry in entries.values()],
        "type": [entry.type for entry in entries.values()],
    }


def history_table(history: Sequence[HistoryEntry]) -> dict[str, list]:
    """The columns of a history."""
    return {
        "at (UTC)": [entry.at[:19].replace("T", " ") for entry in history],
        "by": [entry.by for entry in history],
        "action": [entry.action for entry in history],
    }


def _facts(model: RegisteredModel, aliases: list[str]) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "version": model.version,
        "aliases": aliases,
        "status": "published" if model.is_published else "draft",
        "archived": model.archived,
        "tags": model.tags,
        "framework": model.framework,
        "changed": datetime.fromtimestamp(model.updated, UTC).isoformat(timespec="seconds"),
    }

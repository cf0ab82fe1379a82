"""Registered models found by their weights."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lib.config.schema import TrackingSettings
from lib.core.databases import database_of
from lib.core.errors import EarshotError
from lib.tracking.mlflow_store import existing_store, store_uri
from lib.tracking.registry.model_queries import PAGE, pages
from lib.tracking.registry.model_weights import stored_digests
from lib.tracking.registry.registered_models import SHA256, read_version

if TYPE_CHECKING:
    from mlflow import MlflowClient


def id_by_weights(tracking: TrackingSettings, checkpoints: Mapping[str, str]) -> str | None:
    """The id of the registered model that consists of these checkpoints; None if none does, or there is no registry.

    Of several it is the one that was changed last. Archived models count. Files are only looked at of models without
    a tag SHA256, such as those of other software.

    Args:
        tracking: where the registry is.
        checkpoints: digest of each, as lib.core.digests.digest_file gives it, by file name.

    Raises EarshotError if the registry cannot be reached.
    """
    database = database_of(store_uri(tracking))
    if database is not None and not database.is_file():
        return None
    client = existing_store(tracking)
    versions = pages(client.search_model_versions, "", PAGE)
    models = [(model, version.tags.get(SHA256)) for version in versions if (model := read_version(version))]
    wanted = sorted(checkpoints.values())
    for model, tag in sorted(models, key=lambda pair: pair[0].updated, reverse=True):
        files = _tagged_digests(tag) or _stored_digests(client, model.id)
        digests = sorted(digest for path, digest in files.items() if path.endswith(".pt"))
        # digest_file gives the beginning of the SHA-256 digest
        if len(digests) == len(wanted) and all(map(str.startswith, digests, wanted)):
            return model.id
    return None


def _tagged_digests(tag: str | None) -> dict[str, str]:
    """SHA-256 by file as a version's tag has it; empty if there is none, or people have edited it."""
    try:
        content = json.loads(tag or "{}")
    except ValueError:
        return {}
    is_usable = isinstance(content, dict) and all(isinstance(digest, str) for digest in content.values())
    return content if is_usable else {}


def _stored_digests(client: "MlflowClient", model_id: str) -> dict[str, str]:
    """SHA-256 by file as the store has it; empty if other software stored the model."""
    try:
        return stored_digests(client, model_id)
    except EarshotError:
        return {}

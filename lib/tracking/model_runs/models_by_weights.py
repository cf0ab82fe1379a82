"""Registered models found by their weights."""

from collections.abc import Mapping

from lib.config.schema import TrackingSettings
from lib.core.databases import database_of
from lib.core.errors import EarshotError
from lib.tracking.mlflow_store import open_registry, store_uri
from lib.tracking.registry.model_queries import find_models
from lib.tracking.registry.model_weights import stored_digests


def id_by_weights(tracking: TrackingSettings, checkpoints: Mapping[str, str]) -> str | None:
    """The id of the registered model that consists of these checkpoints; None if none does, or there is no registry.

    Of several it is the one that was changed last. Archived models count.

    Args:
        tracking: where the registry is.
        checkpoints: digest of each, as lib.core.digests.digest_file gives it, by file name.

    Raises EarshotError if the registry cannot be reached.
    """
    database = database_of(store_uri(tracking))
    if database is not None and not database.is_file():
        return None
    client, _ = open_registry(tracking)
    wanted = sorted(checkpoints.values())
    for model in find_models(client, include_archived=True):
        try:
            files = stored_digests(client, model.id)
        except EarshotError:  # it was stored by other software
            continue
        digests = [digest for path, digest in files.items() if path.endswith(".pt")]
        # digest_file gives the beginning of the SHA-256 digest
        if len(digests) == len(wanted) and all(map(str.startswith, sorted(digests), wanted)):
            return model.id
    return None

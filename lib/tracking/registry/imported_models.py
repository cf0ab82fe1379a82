"""Import models into the registry from a file, a folder or a URL; each source is imported once."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from lib.core.digests import digest_of
from lib.core.errors import EarshotError
from lib.core.files import project_root, read_text, without_password
from lib.core.locks import sole_writer
from lib.core.urls import url_without_query
from lib.tracking.registry.imported_cards import add_card
from lib.tracking.registry.model_card import LONGEST
from lib.tracking.registry.model_design import ModelDesign
from lib.tracking.registry.model_queries import find_models, versions_of
from lib.tracking.registry.model_versions import create_version, undo_registration
from lib.tracking.registry.model_weights import FILES, collected_weights, holds_file, store_model
from lib.tracking.registry.registered_models import (
    COMMENT,
    FRAMEWORK,
    URL,
    RegisteredModel,
    check_comment,
    check_name,
    check_tags,
    digests_tag,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

PACKAGE = "package"
"""System tag of a model that consists of several files."""
FRAMEWORKS = {
    ".ckpt": "PyTorch",
    ".h5": "Keras",
    ".keras": "Keras",
    ".onnx": "ONNX",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".tflite": "TensorFlow Lite",
}
"""Default frameworks by the suffix of a file of weights."""
STORED = re.compile(r"/models/(m-[0-9a-f]+)/artifacts$")
"""End of the locations at which MLflow stores a model's files."""
LOCKS = Path(".cache/imports")


class Imported(NamedTuple):
    """A model of the registry, and whether it is new there."""

    model: RegisteredModel
    is_new: bool


def import_weights(
    client: "MlflowClient",
    experiment_id: str,
    weights_url: str,
    design: ModelDesign,
    name: str | None = None,
    tags: Sequence[str] = (),
    comment: str | None = None,
    is_package: bool = False,
    is_published: bool = False,
    framework: Any = None,
    sha256: str | None = None,
    allow_private: bool = False,
) -> Imported:
    """Register weights as a model, unless their URL was imported before.

    Args:
        client: of the store.
        experiment_id: MLflow experiment of the model.
        weights_url: path or URL of a file or folder.
        design: configuration and labels; without labels, those of the card.
        name: of the registered model; default: that of the file or folder, without suffixes.
        tags: the user's.
        comment: about the model, up to LONGEST_TEXT characters.
        is_package: the weights are several files, which may be in an archive.
        is_published: publish the model; otherwise it is a draft.
        framework: a name, or an enum member whose value is one; default: by the file's suffix, if known.
        sha256: expected SHA-256 digest of the file, 64 hex digits; None: not checked.
        allow_private: whether the URL may lead to a private address, see tracking.allow_private_addresses.

    Raises EarshotError, and registers nothing, if the weights cannot be fetched or an argument is invalid.
    """
    url = url_of(weights_url)
    # Two processes must not both import it, however long it takes.
    with sole_writer(project_root() / LOCKS / digest_of(url), seconds=-1):
        if known := model_of_url(client, url, include_archived=True):
            if sha256 is not None and not holds_file(client, known.id, sha256):
                fault = f"is in the registry as {known}, which holds no file of that SHA-256 digest"
                raise EarshotError(url, fault, "check the digest, or remove that model to import it again")
            return Imported(known, is_new=False)
        name = name or _name_in(url)
        check_name(name)
        check_tags(tags)
        check_comment(comment or "")
        with collected_weights(weights_url, is_package, sha256=sha256, allow_private=allow_private) as folder:
            card = add_card(folder, name)
            if card and not design.labels:
                design = design._replace(labels={each.name: number for number, each in enumerate(card.classes)})
            design.write(folder)
            model_id = store_model(client, experiment_id, name, folder)
            digests = digests_tag(json.loads(read_text(folder / FILES)))
        facts = {
            URL: url,
            COMMENT: comment or "",
            FRAMEWORK: str(getattr(framework, "value", framework) or FRAMEWORKS.get(_suffix(url), "")),
        }
        facts |= digests | (card.tags() if card else {})
        description = card.markdown(LONGEST) if card else comment
        try:
            model = create_version(
                client,
                name,
                model_id,
                f"imported from {url}" + (" and published" if is_published else ""),
                tags,
                [PACKAGE] if is_package else [],
                is_published,
                facts,
                description,
            )
        except BaseException:
            undo_registration(client, model_id)
            raise
    return Imported(model, is_new=True)


def model_of_url(client: "MlflowClient", weights_url: str, include_archived: bool = False) -> RegisteredModel | None:
    """The model that was imported from a path or URL, or that MLflow stores there; None if there is none."""
    url = url_of(weights_url)
    found = find_models(client, url=url, include_archived=include_archived, max_results=1)
    if not found and (stored := STORED.search(url)):
        versions = [each for each in versions_of(client, stored[1]) if include_archived or not each.archived]
        found = [each for each in versions if url_of(client.get_logged_model(each.id).artifact_location) == url]
    return max(found, key=lambda model: model.updated, default=None)


def url_of(weights_url: str) -> str:
    """The URL that identifies weights: a file:// URL for a path; passwords and queries are dropped.

    URLs whose queries differ in more than access tokens stay different, see lib.core.urls.

    >>> url_of("https://me:secret@example.org/frogs.pt")
    'https://me:***@example.org/frogs.pt'
    >>> url_of("file:///models/../models/frogs.pt") == url_of("/models/frogs.pt")
    True
    """
    scheme = re.match(r"([\w+.-]+)://", weights_url)
    if scheme and scheme[1].lower() != "file":
        return url_without_query(without_password(weights_url)).replace('"', "%22")
    path = url2pathname(urlsplit(weights_url).path) if scheme else weights_url
    return Path(path).expanduser().resolve().as_uri()


def file_name_in(url: str) -> str:
    """The name of the file or folder that a URL ends with.

    >>> file_name_in("https://example.org/pond/tree%20frogs.pt?version=3")
    'tree frogs.pt'
    """
    return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]


def _suffix(url: str) -> str:
    return Path(file_name_in(url)).suffix.lower()


def _name_in(url: str) -> str:
    stem = Path(file_name_in(url)).stem
    return re.sub("[/:]", "-", Path(stem).stem if stem.endswith(".tar") else stem) or "model"

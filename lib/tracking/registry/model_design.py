"""The configuration and the labels of a registered model, in its artifact `earshot/model.json`."""

import json
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import yaml

from lib.core.files import write_json
from lib.tracking.registry.logged_models import artifacts_of
from lib.tracking.registry.registered_models import ModelError

if TYPE_CHECKING:
    from mlflow import MlflowClient

DESIGN = "earshot/model.json"


class ModelDesign(NamedTuple):
    """What people say about how a model is built.

    config_text: its configuration, in any notation.
    labels: number of each label.
    """

    config_text: str
    labels: dict[str, int]

    @classmethod
    def of(
        cls,
        config_text: str | None = None,
        config_dict: Mapping[str, Any] | None = None,
        labels: Mapping[str, int] | None = None,
    ) -> Self:
        """A design with its configuration as a text or a dict, not both. Raises ModelError."""
        if config_text is not None and config_dict is not None:
            raise ModelError("config_text and config_dict", "are both given", "give one of them")
        for label, number in (labels or {}).items():
            if not isinstance(label, str) or not isinstance(number, Integral) or isinstance(number, bool):
                raise ModelError(f"label_enumeration: {label!r} = {number!r}", "must be a name and a whole number")
        try:
            text = json.dumps(config_dict, indent=2, ensure_ascii=False) if config_dict is not None else config_text
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError("config_dict", f"cannot be stored ({error})", "give config_text") from None
        return cls(text or "", {label: int(number) for label, number in (labels or {}).items()})

    @property
    def config_dict(self) -> dict[str, Any]:
        """The configuration as a dict. Raises ModelError if the text is not a mapping in YAML or JSON."""
        try:
            content = yaml.safe_load(self.config_text) if self.config_text.strip() else {}
        except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that there is not
            content = None
        if not isinstance(content, dict):
            raise ModelError("config_text", "is not a mapping in YAML or JSON", "read config_text instead")
        return content

    def write(self, folder: Path) -> None:
        """Write the design into a model's folder, unless there is nothing to write."""
        if self.config_text or self.labels:
            write_json(folder / DESIGN, self._asdict())


def read_design(client: "MlflowClient", model_id: str) -> ModelDesign:
    """The design of a registered model; empty if it was registered without one."""
    artifacts = artifacts_of(client, model_id)
    folder, _, _ = DESIGN.rpartition("/")
    if all(file.path != DESIGN for file in artifacts.list_artifacts(folder)):
        return ModelDesign.of()
    with TemporaryDirectory() as scratch:
        content = json.loads(Path(artifacts.download_artifacts(DESIGN, scratch)).read_text(encoding="utf-8"))
    return ModelDesign(content.get("config_text", ""), content.get("labels", {}))

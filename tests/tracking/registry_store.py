"""A registry in a real MLflow store, with models that are small files."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import save

from lib.config.schema import TrackingSettings
from lib.tracking.mlflow_store import ensure_store, mlflow_client
from lib.tracking.registry.model_versions import create_version
from lib.tracking.registry.registered_models import TASK, RegisteredModel


class RegistryStore:
    """An experiment of its own in a store that tests share, which InputModel finds by params.yaml in the folder."""

    def __init__(self, uri: str, experiment: str, folder: Path) -> None:
        experiment = re.sub(r"\W+", "_", experiment)
        self.uri, self.experiment, self.folder = uri, experiment, folder
        self.tracking = TrackingSettings(uri=uri, experiment=experiment)
        (folder / "params.yaml").write_text(yaml.safe_dump({"tracking": {"uri": uri, "experiment": experiment}}))
        self.experiment_id = ensure_store(uri, experiment)
        self.client = mlflow_client(uri)

    def name(self, name: str) -> str:
        """A model's name that no other test uses."""
        return f"{name} of {self.experiment}"

    def logged_model(self, run_id: str | None = None, files: dict[str, bytes] | None = None) -> str:
        """The id of a new logged model with some files."""
        model = self.client.create_logged_model(self.experiment_id, name="model", source_run_id=run_id)
        folder = self.folder / model.model_id
        for name, content in (files or {"weights/model.bin": b"weights"}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        self.client.log_model_artifacts(model.model_id, str(folder))
        self.client.finalize_logged_model(model.model_id, "READY")
        return model.model_id

    def add(self, name: str = "frogs", *tags: str, run_id: str | None = None, **options) -> RegisteredModel:
        """Register a new model."""
        model_id = self.logged_model(run_id, options.pop("files", None))
        facts = options.pop("facts", {}) | ({TASK: run_id} if run_id else {})
        return create_version(self.client, self.name(name), model_id, "registered", tags, facts=facts, **options)


def write_tensors(path: Path) -> Path:
    """A small file of weights; its format is safetensors whatever it is called, but for archives, which hold one."""
    content = save({"weight": np.arange(4, dtype=np.float32)})
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path, "w:gz") as archive:
            for name in ("weights.safetensors", "notes/read me.txt"):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    else:
        path.write_bytes(content)
    return path

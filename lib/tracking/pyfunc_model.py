"""A model that MLflow itself loads: recordings in, labels out.

    >>> import mlflow  # doctest: +SKIP
    >>> mlflow.pyfunc.load_model("models:/frogs@champion").predict(["dawn.wav"])  # doctest: +SKIP

MLflow imports this module, which its file MLmodel names, and calls _load_pyfunc; nothing is pickled. The process needs
this project on its path, and MLflow needs to know the store, as by MLFLOW_TRACKING_URI.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.config.schema import InferSettings, Settings, TrainSettings
from lib.core.files import write_json

if TYPE_CHECKING:
    import pandas as pd


INFER = "earshot/infer.json"
"""The settings of inference, and the classes that are left out, in a model's folder."""
OF_PROJECT = {"model", "exclude", "recordings_table", "region", "latitude", "longitude", "week"}
"""Settings that mean files or data of the project that a model was made in, which it does not take with it."""
COLUMNS = {"recording": "string", "name": "string", "start_time": "double", "end_time": "double", "score": "double"}
"""Of the labels, with MLflow's types."""
EXAMPLE = ["recording.wav"]
EXAMPLE_FILE, REQUEST_FILE = "input_example.json", "serving_input_example.json"
"""What MLflow shows as an input, and as a request to its server."""


class PyfuncRecognizer:
    """The models of a folder, as MLflow asks for them.

    Args:
        weights: folder of the checkpoints.
        settings: of which infer is used.
        excluded: names of classes that get no labels.
    """

    def __init__(self, weights: Path, settings: Settings, excluded: Iterable[str]) -> None:
        from lib.inference.predictor import Predictor

        self.predictor: Predictor = Predictor(weights, settings.infer.device, settings)
        self.excluded = frozenset(excluded)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Labels of recordings, as the infer stage makes them.

        Args:
            model_input: a path, a list of paths, or a table whose first column holds paths.
            params: none.

        Returns the labels table: recording (file name without suffix), name, start_time, end_time (s) and score (0..1),
        in the order of the recordings, by start time. Raises AudioError if a recording cannot be read.
        """
        import pandas as pd

        rows = [(Path(path).stem, *label) for path in _paths(model_input) for label in self._labels(path)]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        return table.astype({name: float for name, kind in COLUMNS.items() if kind == "double"})

    def _labels(self, path: str) -> list[Any]:
        import numpy as np

        from lib.inference.findings import find_sounds
        from lib.inference.streams import stream_windows, window_reader

        description, infer = self.predictor.description, self.predictor.cfg.infer
        windows = window_reader(description.audio, infer, len(self.predictor), description.takes)
        options = windows.start, windows.offsets
        batches = stream_windows(path, windows.audio, windows.hop, windows.batch, *options, takes=windows.takes)
        names = self.predictor.class_names
        parts = find_sounds(
            self.predictor, batches, np.ones(len(names), np.float32), np.isin(names, list(self.excluded))
        )
        return sorted(
            (label for part in parts for label in part.labels), key=lambda label: (label.start_time, label.name)
        )


def write_pyfunc(folder: Path, weights: str, settings: Settings, excluded: Iterable[str]) -> None:
    """Make a folder one that MLflow loads as a model: add MLmodel with a signature and an input example.

    Args:
        folder: of the model.
        weights: folder of the checkpoints, in it.
        settings: with which labels are made.
        excluded: names of classes that get no labels.
    """
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    infer = settings.infer.model_dump(mode="json", exclude=OF_PROJECT)
    write_json(folder / INFER, {"infer": infer, "sed_fps": settings.train.sed_fps, "excluded": sorted(excluded)})
    outputs = Schema([ColSpec(kind, name) for name, kind in COLUMNS.items()])
    write_json(folder / EXAMPLE_FILE, EXAMPLE)
    write_json(folder / REQUEST_FILE, {"inputs": EXAMPLE})
    example = {"artifact_path": EXAMPLE_FILE, "type": "json_object", "serving_input_path": REQUEST_FILE}
    model = Model(signature=ModelSignature(Schema([ColSpec("string")]), outputs), saved_input_example_info=example)
    pyfunc.add_to_model(model, loader_module=__name__, data=weights)
    model.save(str(folder / "MLmodel"))


def _load_pyfunc(path: str) -> PyfuncRecognizer:
    """What MLflow calls with the folder of the checkpoints in a model's folder."""
    weights = Path(path)
    content = json.loads((weights.parent / INFER).read_text(encoding="utf-8"))
    settings = Settings(
        infer=InferSettings.model_validate(content["infer"]), train=TrainSettings(sed_fps=content["sed_fps"])
    )
    return PyfuncRecognizer(weights, settings, content["excluded"])


def _paths(model_input: Any) -> list[str]:
    """The paths in what MLflow passes on: a text, a table, or a list of texts."""
    import pandas as pd

    if isinstance(model_input, str | Path):
        return [str(model_input)]
    if isinstance(model_input, pd.DataFrame):
        model_input = model_input.iloc[:, 0]
    return [path for each in model_input for path in _paths(each)]

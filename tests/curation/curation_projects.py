"""Projects of the curation database whose data sets and inference sets are files of annotations and results."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from lib.config.schema import DataSettings
from lib.curation.client.client import Client
from lib.curation.issues.issue import IssueElement
from tests.evaluation.example import write_results

PROJECT, TRUTH, FOUND = "field", "test", "model"
SECONDS = 12.0
ANNOTATIONS = [("r1", "a", 0, 3), ("r1", "b", 3, 6), ("r1", "a", 6, 9), ("r2", "b", 0, 3), ("r3", "a", 3, 6)]
LABELS = {
    "r1": [("a", 0.0, 3.0), ("a", 3.0, 6.0), ("b", 9.0, 12.0)],
    "r2": [("b", 0.0, 3.0)],
    "r3": [],
}


def write_linked(folder: Path, annotations=ANNOTATIONS, labels=LABELS) -> None:
    """A data set and results of a model in a folder: test and labels."""
    (folder / "test/recordings").mkdir(parents=True)
    for name in labels:
        soundfile.write(folder / f"test/recordings/{name}.wav", np.zeros(round(SECONDS * 1000)), 1000)
    table = pd.DataFrame(annotations, columns=["recording", "class", "start_time", "end_time"])
    table.to_csv(folder / "test/annotations.csv", index=False)
    with write_results(folder / "labels", dict.fromkeys(labels, SECONDS), labels=labels) as store:
        store.finish(pack=True)


def make_client(folder: Path, url: str | None = None, content: dict | None = None, window: float = 0) -> Client:
    """A client of a new database, with the project that has what write_linked has written there."""
    data = DataSettings(decisions=str(folder / "decisions.csv"), scenarios=str(folder / "scenarios"))
    client = Client(api_endpoint=url or f"sqlite:///{folder / 'curation.db'}", data=data)
    client.catalog.create_project(PROJECT, content or {"label_class_map": []}, {})
    project = client.catalog.project(PROJECT)
    options = f"?window={window:g}" if window else ""
    with client.database.writing() as connection:
        url = f"{folder / 'test'}{options}"
        base = client.catalog.ensure_set(connection, project, None, TRUTH, Kind="labeled", DataUrl=url)
        url = str(folder / "labels")
        client.catalog.ensure_set(connection, project, base, FOUND, Kind="inferences", DataUrl=url)
    return client


def frame(name: str) -> IssueElement:
    return IssueElement(name, name, "frame", TRUTH)


def crop(name: str, label: str, crop_type: str = "label") -> IssueElement:
    return IssueElement(label, name, "crop", TRUTH, crop_type, inference_set=FOUND if crop_type != "label" else None)

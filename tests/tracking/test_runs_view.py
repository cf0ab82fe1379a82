import base64
import json
import zlib

from lib.evaluation.figures import COMPARED
from lib.tracking.runs_view import KEY, runs_address, view_tags


def test_the_view_that_the_address_names_shows_the_figures_that_are_compared():
    view = json.loads(view_tags()[f"mlflow.sharedViewState.{KEY}"])
    state = json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))
    assert state["selectedColumns"] == [f"metrics.`test/{name}`" for name in COMPARED]
    assert f"viewStateShareKey={KEY}" in runs_address("7") and "/experiments/7/runs" in runs_address("7")

"""Each report_* call that the reference documents, read back from MLflow: metrics, and figures from their artifacts."""

import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from lib.tracking.registry.input_model import InputModel
from lib.tracking.registry.logged_models import artifacts_of
from lib.tracking.registry.registered_models import ModelError


@pytest.fixture
def model(store) -> InputModel:
    return InputModel(store.add().id)


def array_or_dict(content: dict):
    """An array, as Plotly writes it into a page."""
    if "bdata" not in content:
        return content
    values = np.frombuffer(base64.b64decode(content["bdata"]), content["dtype"])
    return values.reshape([int(n) for n in content["shape"].split(",")]) if "shape" in content else values


@pytest.fixture
def figure(store, model, tmp_path):
    """A function that reads a figure from its page among the model's artifacts."""

    def read(path: str):
        text = Path(artifacts_of(store.client, model.id).download_artifacts(f"reports/{path}")).read_text()
        decoder, parts = json.JSONDecoder(object_hook=array_or_dict), []
        position = text.rindex("Plotly.newPlot(") + len("Plotly.newPlot(")
        for _ in range(3):  # the element's name, the data, the layout
            position = re.compile(r"[\s,]*").match(text, position).end()
            part, position = decoder.raw_decode(text, position)
            parts.append(part)
        return go.Figure(parts[1], parts[2])

    return read


def metrics(store, model) -> dict[str, list[tuple[int, float]]]:
    (run,) = store.client.search_runs([store.experiment_id], f"tags.`earshot.reports_of` = '{model.id}'")
    histories = {name: store.client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return {name: [(point.step, point.value) for point in points] for name, points in histories.items()}


def test_scalars_are_metrics_of_a_finished_run_and_of_the_model(store, model):
    for iteration, value in ((1, 0.5), (2, 0.75)):
        model.report_scalar("loss", "val: pond?", value, iteration)
    model.report_single_value("mAP", 0.9)
    assert metrics(store, model) == {"loss/val: pond_": [(1, 0.5), (2, 0.75)], "mAP": [(0, 0.9)]}
    logged = {metric.key: metric.value for metric in store.client.get_logged_model(model.id).metrics}
    assert logged == {"loss/val: pond_": 0.75, "mAP": 0.9}
    assert InputModel.remove(model)


@pytest.mark.parametrize("call", ["report_matrix", "report_confusion_matrix"])
def test_a_matrix_is_a_heatmap(model, figure, call):
    matrix = np.arange(6).reshape(2, 3)
    texts = {"xaxis": "found", "yaxis": "true", "xlabels": ["a", "b", "c"], "ylabels": ["d", "e"]}
    getattr(model, call)("errors", "test", iteration=4, matrix=matrix, **texts, extra_layout={"height": 600})
    shown = figure("errors/test-000004.html")
    (trace,) = shown.data
    assert trace.type == "heatmap" and np.array_equal(trace.z, matrix)
    assert list(trace.x) == ["a", "b", "c"] and list(trace.y) == ["d", "e"]
    layout = shown.layout
    assert (layout.title.text, layout.xaxis.title.text, layout.yaxis.title.text) == ("errors", "found", "true")
    assert layout.height == 600 and layout.yaxis.autorange is None


def test_a_confusion_matrix_has_a_comment_and_may_begin_at_the_top(model, figure):
    model.report_confusion_matrix("errors", "test", np.eye(2), yaxis_reversed=True, comment="of May")
    layout = figure("errors/test-000000.html").layout
    assert layout.title.subtitle.text == "of May" and layout.yaxis.autorange == "reversed"


@pytest.mark.parametrize(("call", "mode"), [("report_histogram", "group"), ("report_vector", "stack")])
def test_values_are_the_heights_of_bars(model, figure, call, mode):
    values = np.arange(10).reshape(2, 5)
    texts = {"labels": ["A", "B"], "xlabels": list("vwxyz"), "xaxis": "X", "yaxis": "Y"}
    getattr(model, call)("bars", "both", values, iteration=1, **texts, extra_layout={"showlegend": False})
    shown = figure("bars/both-000001.html")
    assert [(trace.type, trace.name, list(trace.x)) for trace in shown.data] == [
        ("bar", "A", list("vwxyz")),
        ("bar", "B", list("vwxyz")),
    ]
    assert np.array_equal([trace.y for trace in shown.data], values) and shown.layout.barmode == mode
    assert (shown.layout.xaxis.title.text, shown.layout.showlegend) == ("X", False)
    getattr(model, call)("bars", "one", [1, 2.5], mode="relative")
    shown = figure("bars/one-000000.html")
    assert (shown.layout.barmode, shown.data[0].name, list(shown.data[0].y)) == ("relative", "one", [1, 2.5])


def test_bars_may_lie(model, figure):
    model.report_histogram("bars", "s", [1, 2], data_args={"orientation": "h", "marker": {"color": "blue"}})
    (trace,) = figure("bars/s-000000.html").data
    assert (trace.orientation, trace.marker.color, list(trace.x)) == ("h", "blue", [1, 2])


def test_lines_are_drawn_with_their_names(model, figure):
    line = [(0, 1), (1, 3)]
    series = [{"name": "a", "data": line}, np.array(line), SimpleNamespace(name="c", data=line, labels=["p", "q"])]
    model.report_line_plot(
        "lines", series, "X", "Y", mode="lines+markers", iteration=2, reverse_xaxis=True, comment="!"
    )
    shown = figure("lines/lines-000002.html")
    assert [(trace.name, trace.mode) for trace in shown.data] == [(name, "lines+markers") for name in "a1c"]
    assert list(shown.data[0].x) == [0, 1] and list(shown.data[0].y) == [1, 3] and shown.data[2].text == ("p", "q")
    assert shown.layout.xaxis.autorange == "reversed" and shown.layout.title.subtitle.text == "!"


def test_points_of_several_series_share_a_figure(model, figure):
    first, second = np.array([(0, 1), (2, 3)]), [(4, 5)]
    model.report_scatter2d("points", "a", first, iteration=1, xaxis="X", labels=["p", "q"], comment="both")
    model.report_scatter2d("points", "b/c", second, iteration=1, xaxis="X", mode="markers")
    model.report_scatter2d("points", "a", first + 1, iteration=2)
    shown = figure("points/000001.html")
    assert [(trace.name, trace.mode) for trace in shown.data] == [("a", "lines"), ("b/c", "markers")]
    assert list(shown.data[0].y) == [1, 3] and shown.data[0].text == ("p", "q")
    assert shown.layout.xaxis.title.text == "X" and len(figure("points/000002.html").data) == 1


def test_points_in_space_have_three_axes(model, figure):
    points = [(0, 1, 2), (3, 4, 5)]
    axes = {"xaxis": "X", "yaxis": "Y", "zaxis": "Z"}
    model.report_scatter3d("space", "one", points, iteration=1, labels=["p", "q"], fill=True, comment="c", **axes)
    shown = figure("space/one-000001.html")
    (trace,) = shown.data
    assert (trace.type, trace.mode, trace.surfaceaxis, trace.text) == ("scatter3d", "markers", 2, ("p", "q"))
    scene = shown.layout.scene
    assert [scene.xaxis.title.text, scene.yaxis.title.text, scene.zaxis.title.text] == ["X", "Y", "Z"]
    model.report_scatter3d("space", "many", [points, points[:1]], mode="lines")
    traces = figure("space/many-000000.html").data
    assert [(trace.name, len(trace.z)) for trace in traces] == [("many 0", 2), ("many 1", 1)]


def test_a_surface_is_seen_from_the_camera(model, figure):
    matrix = np.arange(4.0).reshape(2, 2)
    model.report_surface("hills", "s", matrix, xlabels=["a", "b"], zaxis="Z", camera=[1, 2, 3], comment="c")
    shown = figure("hills/s-000000.html")
    assert shown.data[0].type == "surface" and np.array_equal(shown.data[0].z, matrix)
    eye = shown.layout.scene.camera.eye
    assert (eye.x, eye.y, eye.z) == (1, 2, 3) and shown.layout.scene.zaxis.title.text == "Z"
    model.report_surface("hills", "default", matrix)
    eye = figure("hills/default-000000.html").layout.scene.camera.eye
    assert (eye.x, eye.y, eye.z) == (1, 1, 1)


def test_a_table_comes_from_a_frame_rows_a_file_or_a_url(model, figure, tmp_path):
    frame = pd.DataFrame({"legs": [2, 4], "wings": [2, 0]}, index=["falcon", "dog"])
    frame.to_csv(tmp_path / "animals.csv", index_label="animal")
    sources = {
        "frame": {"table_plot": frame},
        "rows": {"table_plot": [["", "legs", "wings"], ["falcon", 2, 2], ["dog", 4, 0]]},
        "csv": {"csv": str(tmp_path / "animals.csv")},
        "url": {"url": (tmp_path / "animals.csv").as_uri()},
    }
    for name, source in sources.items():
        model.report_table("tables", name, iteration=0, **source, extra_layout={"height": 300})
        shown = figure(f"tables/{name}-000000.html")
        (table,) = shown.data
        assert list(table.header.values)[1:] == ["legs", "wings"]
        assert [list(column) for column in table.cells.values] == [["falcon", "dog"], [2, 4], [2, 0]]
        assert shown.layout.height == 300
    model.report_table(
        "tables", "numbers", table_plot=pd.DataFrame({"n": [1], "f1": [1 / 3], "class": ["frog"], "ap": [np.nan]})
    )
    (table,) = figure("tables/numbers-000000.html").data
    assert [list(column) for column in table.cells.values] == [[1], ["0.333333"], ["frog"], [""]]
    for wrong in ({}, {"csv": "a.csv", "url": "file:///a.csv"}):
        with pytest.raises(ModelError, match="needs one of table_plot, csv and url"):
            model.report_table("tables", "s", **wrong)
    for rows in ([], [["a", "b"], [1, 2, 3]]):
        with pytest.raises(ModelError, match="report_table: cannot be drawn"):
            model.report_table("tables", "s", table_plot=rows)
    with pytest.raises(ModelError, match="is not a CSV file that can be read"):
        model.report_table("tables", "s", csv="none.csv")
    with pytest.raises(ModelError, match="is not a CSV file that can be read"):
        model.report_table("tables", "s", csv=(tmp_path / "animals.csv").as_uri())  # which pandas would open


def test_a_page_needs_nothing_from_the_internet(store, model):
    model.report_matrix("errors", "test", np.eye(2))
    text = Path(artifacts_of(store.client, model.id).download_artifacts("reports/errors/test-000000.html")).read_text()
    assert re.findall(r"<(?:script|link)[^>]*(?:src|href)=", text) == [] and len(text) > 10**6


def test_any_title_is_a_file(store, model):
    for title in ("a/b", "a_b", "..", 300 * "ä"):
        model.report_matrix(title, "s: 1", np.eye(2))
    assert len(artifacts_of(store.client, model.id).list_artifacts("reports")) == 4


@pytest.mark.parametrize(
    ("call", "arguments", "fault"),
    [
        ("report_matrix", {"matrix": [1, 2]}, "matrix: has 1 dimensions"),
        ("report_matrix", {"matrix": np.eye(2), "xlabels": ["a"]}, "xlabels: are 1 for 2 values"),
        ("report_matrix", {"matrix": np.eye(2), "extra_layout": {"hight": 3}}, "t: cannot be drawn .*hight"),
        ("report_histogram", {"values": [1], "mode": "pile"}, "mode = 'pile': must be one of group, stack, relative"),
        ("report_scatter2d", {"scatter": [(1, 2, 3)]}, "points must have two coordinates"),
        ("report_scatter3d", {"scatter": [(1, 2)]}, "points must have three coordinates"),
        ("report_surface", {"matrix": np.eye(2), "camera": [1]}, "camera = .* must be three numbers"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_of_a_line(store, model, call, arguments, fault):
    with pytest.raises(ModelError, match=fault) as error:
        getattr(model, call)("t", "s", **arguments)
    assert "\n" not in str(error.value)
    assert artifacts_of(store.client, model.id).list_artifacts("reports") == []


def test_an_empty_model_has_no_reports():
    with pytest.raises(ModelError, match="is not registered"):
        InputModel.empty().report_single_value("mAP", 1.0)

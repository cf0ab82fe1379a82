"""Interactive figures about models: matrices, histograms, lines, points, surfaces and tables, drawn by Plotly.

Each function returns a figure. What Plotly does not take, in `extra_layout` for example, becomes a ModelError.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.tracking.registry.registered_models import ModelError

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

Layout = Mapping[str, Any]
"""Settings of a figure's layout in Plotly's terms."""
MODES = ("lines", "markers", "lines+markers")
MOST_TEXTS = 400
"""Cells of a heatmap whose values are written into them."""
NARROW = {"l": 20, "r": 20}
"""Margins of a figure that has no axes at its sides, px."""
CUBE = {"aspectmode": "manual", "aspectratio": dict.fromkeys("xyz", 0.7)}
"""Size of what is drawn in space: seen from (1, 1, 1), corners of Plotly's own are cut off."""
ROW = 28
"""Height of a table's row, px; Plotly's own cuts off the lower ends of letters."""
BAR_MODES = ("group", "stack", "relative")


def matrix_figure(
    matrix: np.ndarray,
    xlabels: Sequence[str] | None = None,
    ylabels: Sequence[str] | None = None,
    yaxis_reversed: bool = False,
) -> "Figure":
    """A heatmap of a matrix (rows, columns), whose first row is at the bottom, or at the top if reversed."""
    import plotly.graph_objects as go

    values = _matrix(matrix, xlabels, ylabels)
    texts = "%{z:.3~g}" if values.size <= MOST_TEXTS else None
    figure = go.Figure(go.Heatmap(z=values, x=_listed(xlabels), y=_listed(ylabels), texttemplate=texts))
    return figure.update_yaxes(autorange="reversed") if yaxis_reversed else figure


def surface_figure(
    matrix: np.ndarray,
    xlabels: Sequence[str] | None = None,
    ylabels: Sequence[str] | None = None,
    camera: Sequence[float] | None = None,
) -> "Figure":
    """A matrix (rows, columns) as a surface, seen from the point camera (x, y, z); default: (1, 1, 1)."""
    import plotly.graph_objects as go

    values, eye = _matrix(matrix, xlabels, ylabels), list(camera if camera is not None else (1, 1, 1))
    if len(eye) != 3:
        raise ModelError(f"camera = {eye}", "must be three numbers: x, y and z")
    figure = go.Figure(go.Surface(z=values, x=_listed(xlabels), y=_listed(ylabels)))
    return figure.update_layout(scene_camera_eye=dict(zip("xyz", eye, strict=True)))


def bar_figure(
    values: Sequence[float] | np.ndarray,
    series: str,
    labels: Sequence[str] | None = None,
    xlabels: Sequence[str] | None = None,
    mode: str = "group",
    data_args: Mapping[str, Any] | None = None,
) -> "Figure":
    """Bars of the heights `values` (bars,), or (groups, bars).

    Args:
        values: heights.
        series: name of the only group.
        labels: name of each group.
        xlabels: name of each bar of a group.
        mode: how groups stand: group (side by side), stack or relative.
        data_args: settings of the bars in Plotly's terms.
    """
    import plotly.graph_objects as go

    _check_choice("mode", mode, BAR_MODES)
    heights = np.atleast_2d(np.asarray(values, dtype=float))
    if heights.ndim != 2:
        raise ModelError("values", f"have {heights.ndim} dimensions", "give a list of numbers, or a list of such lists")
    names = [series] if len(heights) == 1 else [str(index) for index in range(len(heights))]
    names = _labels("labels", labels, len(heights)) or names
    bars = _labels("xlabels", xlabels, heights.shape[1]) or [str(index) for index in range(heights.shape[1])]
    is_horizontal = (data_args or {}).get("orientation") == "h"
    figure = go.Figure()
    for name, row in zip(names, heights, strict=True):
        figure.add_bar(name=name, **({"x": row, "y": bars} if is_horizontal else {"x": bars, "y": row}))
    return figure.update_layout(barmode=mode).update_traces(dict(data_args or {}))


def line_figure(series: Sequence[Any], mode: str = "lines", reverse_xaxis: bool = False) -> "Figure":
    """Lines, each of them an array (points, 2), or an object or dict with `data`, `name` and perhaps `labels`."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for index, line in enumerate(series):
        if isinstance(line, np.ndarray | Sequence):
            line = {"data": line}
        fields = line if isinstance(line, Mapping) else vars(line)
        name = str(fields.get("name", index))
        figure.add_trace(points_trace(name, fields["data"], fields.get("labels"), mode))
    return figure.update_xaxes(autorange="reversed") if reverse_xaxis else figure


def points_trace(name: str, points: Any, labels: Sequence[str] | None, mode: str) -> Any:
    """Points (n, 2) or (n, 3) with a label each, as lines, markers or both."""
    import plotly.graph_objects as go

    mode = "lines" if mode == "line" else mode
    _check_choice("mode", mode, MODES)
    places = np.asarray(points, dtype=float)
    if places.ndim != 2 or places.shape[1] not in (2, 3):
        raise ModelError(name, f"points have the shape {places.shape}", "give a list of (x, y) or (x, y, z)")
    texts = _labels("labels", labels, len(places))
    shown = {"name": name, "mode": mode, "text": texts, "x": places[:, 0], "y": places[:, 1]}
    return go.Scatter(**shown) if places.shape[1] == 2 else go.Scatter3d(**shown, z=places[:, 2])


def point_cloud_figure(
    scatter: Any, series: str, labels: Sequence[Any] | None = None, mode: str = "markers", fill: bool = False
) -> "Figure":
    """Points (n, 3) in space, or a list of such arrays, each with a trace of its own.

    Args:
        scatter: the points.
        series: name of the trace; of several, a number follows.
        labels: of each point; where there are several arrays, a list for each.
        mode: lines, markers or lines+markers.
        fill: fill the area below each curve.
    """
    import plotly.graph_objects as go

    is_one = np.ndim(scatter[0]) == 1
    clouds = [scatter] if is_one else list(scatter)
    texts = [labels] if is_one else list(labels or [None] * len(clouds))
    figure = go.Figure()
    for index, (cloud, text) in enumerate(zip(clouds, texts, strict=True)):
        trace = points_trace(series if is_one else f"{series} {index}", cloud, text, mode)
        if trace.type != "scatter3d":
            raise ModelError(series, "points must have three coordinates", "give a list of (x, y, z)")
        figure.add_trace(trace.update(surfaceaxis=2) if fill else trace)
    return figure


def table_figure(table: "pd.DataFrame") -> "Figure":
    """The rows of a table, with its index unless that only counts."""
    import pandas as pd
    import plotly.graph_objects as go

    shown = table if isinstance(table.index, pd.RangeIndex) else table.reset_index(names=table.index.name or "")
    header = {"values": [str(column) for column in shown.columns], "align": "left"}
    columns = [_cells(shown.iloc[:, index]) for index in range(shown.shape[1])]
    cells = {"values": columns, "align": "left", "height": ROW}
    return go.Figure(go.Table(header=header | {"height": ROW}, cells=cells)).update_layout(margin=NARROW)


def _cells(column: "pd.Series") -> list[Any]:
    """The cells of a column; numbers that are not whole are shortened, and missing ones left empty."""
    import pandas as pd

    if not pd.api.types.is_float_dtype(column):
        return column.tolist()
    return ["" if pd.isna(value) else f"{value:.6g}" for value in column]


def titled(
    figure: "Figure",
    title: str,
    comment: str | None = None,
    extra_layout: Layout | None = None,
    **axes: str | None,
) -> "Figure":
    """The figure with its title, a comment below it, titles of its axes (xaxis, yaxis, zaxis), and more layout."""
    with plotly_faults(title):
        figure.update_layout(title={"text": title, "subtitle": {"text": comment}} if comment else {"text": title})
        names = {axis: {"title": {"text": text}} for axis, text in axes.items() if text is not None}
        is_spatial = any(trace.type in ("scatter3d", "surface") for trace in figure.data)
        figure.update_layout({"scene": names | CUBE, "margin": NARROW} if is_spatial else names)
        return figure.update_layout(dict(extra_layout or {}))


@contextmanager
def plotly_faults(title: str) -> Iterator[None]:
    """What Plotly says about a figure's arguments becomes a ModelError of a line."""
    try:
        yield
    except ModelError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split("\n\n")[0].split())[:300]
        raise ModelError(title, f"cannot be drawn ({reason})", "see plotly.com/javascript/reference") from None


def figure_page(figure: "Figure") -> str:
    """A figure as an HTML page that needs nothing else, not even the internet. It is 5 MB long."""
    page: str = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    return page


def _matrix(matrix: Any, xlabels: Sequence[str] | None, ylabels: Sequence[str] | None) -> np.ndarray:
    values = np.asarray(matrix)
    if values.ndim != 2:
        raise ModelError("matrix", f"has {values.ndim} dimensions", "give one of two")
    _labels("ylabels", ylabels, values.shape[0])
    _labels("xlabels", xlabels, values.shape[1])
    return values


def _labels(what: str, labels: Sequence[str] | None, n: int) -> list[str] | None:
    if labels is None:
        return None
    if len(labels) != n:
        raise ModelError(what, f"are {len(labels)} for {n} values", "give one for each")
    return [str(label) for label in labels]


def _listed(labels: Sequence[str] | None) -> list[str] | None:
    return None if labels is None else [str(label) for label in labels]


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ModelError(f"{name} = {value!r}", f"must be one of {', '.join(choices)}")

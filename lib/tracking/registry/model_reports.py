"""What people report about a registered model: numbers as MLflow metrics, figures as pages among its artifacts.

Numbers are metrics of a run that belongs to the model, and of the model itself. A figure is an HTML page that opens in
MLflow's artifact viewer, `reports/TITLE/SERIES-ITERATION.html`. Points in two dimensions share a page with those of
other series, `reports/TITLE/ITERATION.html`; beside it are the points of each series, as JSON.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.core.digests import digest_of
from lib.core.files import fitting_name
from lib.tracking.mlflow_store import store_errors
from lib.tracking.registry import model_figures as figures
from lib.tracking.registry.logged_models import artifacts_of
from lib.tracking.registry.model_figures import Layout
from lib.tracking.registry.registered_models import ModelError, RegisteredModel
from lib.tracking.run_contents import log_batch

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from plotly.graph_objects import Figure

REPORTS = "reports"
REPORTS_OF = "earshot.reports_of"
"""Tag of the run that holds the numbers that were reported about a model: its id."""


LARGEST_TABLE = 10**8
"""Bytes of a table that is fetched to be shown."""


class ModelReports:
    """The report_* calls about a registered model. Each raises ModelError if what it is given cannot be drawn.

    In all of them, `title` is that of the figure, `series` the name of what it shows, `iteration` the step that it is
    of (default: 0), `xaxis`, `yaxis` and `zaxis` are titles of axes, `comment` is a line below the title, and
    `extra_layout` more of the layout in Plotly's terms.
    """

    def __init__(self, client: "MlflowClient", model: RegisteredModel) -> None:
        self._client, self._model = client, model

    def report_scalar(self, title: str, series: str, value: float, iteration: int) -> None:
        """Add a point to the metric `title/series`."""
        self._log({f"{title}/{series}": value}, iteration)

    def report_single_value(self, name: str, value: float) -> None:
        """Set a metric that has a single value."""
        self._log({name: value}, 0)

    def report_matrix(
        self,
        title: str,
        series: str,
        matrix: np.ndarray,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        xlabels: Sequence[str] | None = None,
        ylabels: Sequence[str] | None = None,
        yaxis_reversed: bool = False,
        extra_layout: Layout | None = None,
    ) -> None:
        """The same as report_confusion_matrix, without a comment."""
        self.report_confusion_matrix(
            title, series, matrix, iteration, xaxis, yaxis, xlabels, ylabels, yaxis_reversed, None, extra_layout
        )

    def report_confusion_matrix(
        self,
        title: str,
        series: str,
        matrix: np.ndarray,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        xlabels: Sequence[str] | None = None,
        ylabels: Sequence[str] | None = None,
        yaxis_reversed: bool = False,
        comment: str | None = None,
        extra_layout: Layout | None = None,
    ) -> None:
        """Draw a matrix (rows, columns) as a heatmap.

        xlabels, ylabels: of its columns and rows. yaxis_reversed: put the first row at the top.
        """
        axes = {"xaxis": xaxis, "yaxis": yaxis}
        self._draw(
            title,
            series,
            iteration,
            lambda: figures.matrix_figure(matrix, xlabels, ylabels, yaxis_reversed),
            comment,
            extra_layout,
            axes,
        )

    def report_surface(
        self,
        title: str,
        series: str,
        matrix: np.ndarray,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        zaxis: str | None = None,
        xlabels: Sequence[str] | None = None,
        ylabels: Sequence[str] | None = None,
        camera: Sequence[float] | None = None,
        comment: str | None = None,
        extra_layout: Layout | None = None,
    ) -> None:
        """Draw a matrix (rows, columns) as a surface.

        xlabels, ylabels: of its columns and rows. camera: where it is seen from, x, y, z; default: (1, 1, 1).
        """
        axes = {"xaxis": xaxis, "yaxis": yaxis, "zaxis": zaxis}
        self._draw(
            title,
            series,
            iteration,
            lambda: figures.surface_figure(matrix, xlabels, ylabels, camera),
            comment,
            extra_layout,
            axes,
        )

    def report_histogram(
        self,
        title: str,
        series: str,
        values: Sequence[float] | np.ndarray,
        iteration: int | None = None,
        labels: Sequence[str] | None = None,
        xlabels: Sequence[str] | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        mode: str | None = None,
        data_args: Mapping[str, Any] | None = None,
        extra_layout: Layout | None = None,
    ) -> None:
        """Draw bars of given heights (bars,) or (groups, bars); nothing is counted.

        Args:
            title, series, iteration, xaxis, yaxis, extra_layout: see the class.
            values: heights.
            labels: of the groups, in the legend.
            xlabels: of the bars.
            mode: group (default), stack or relative.
            data_args: settings of the bars in Plotly's terms.
        """
        self._draw(
            title,
            series,
            iteration,
            lambda: figures.bar_figure(values, series, labels, xlabels, mode or "group", data_args),
            None,
            extra_layout,
            {"xaxis": xaxis, "yaxis": yaxis},
        )

    def report_vector(
        self,
        title: str,
        series: str,
        values: Sequence[float] | np.ndarray,
        iteration: int | None = None,
        labels: Sequence[str] | None = None,
        xlabels: Sequence[str] | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        mode: str | None = None,
        extra_layout: Layout | None = None,
    ) -> None:
        """The same as report_histogram, but bars of a place are stacked unless mode says otherwise."""
        self.report_histogram(
            title,
            series,
            values,
            iteration,
            labels,
            xlabels,
            xaxis,
            yaxis,
            mode or "stack",
            extra_layout=extra_layout,
        )

    def report_line_plot(
        self,
        title: str,
        series: Sequence[Any],
        xaxis: str,
        yaxis: str,
        mode: str = "lines",
        iteration: int | None = None,
        reverse_xaxis: bool = False,
        comment: str | None = None,
        extra_layout: Layout | None = None,
    ) -> None:
        """Draw lines.

        Args:
            title, xaxis, yaxis, iteration, comment, extra_layout: see the class.
            series: each line: an array (points, 2), or an object or dict with `data`, `name` and perhaps `labels`.
            mode: lines, markers or lines+markers.
            reverse_xaxis: from high to low.
        """
        self._draw(
            title,
            "lines",
            iteration,
            lambda: figures.line_figure(series, mode, reverse_xaxis),
            comment,
            extra_layout,
            {"xaxis": xaxis, "yaxis": yaxis},
        )

    def report_scatter2d(
        self,
        title: str,
        series: str,
        scatter: Sequence[Sequence[float]] | np.ndarray,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        labels: Sequence[str] | None = None,
        mode: str = "line",
        comment: str | None = None,
        extra_layout: Layout | None = None,
    ) -> None:
        """Draw points (n, 2), together with those of other series of the same title and iteration.

        labels: of the points. mode: lines, markers or lines+markers.
        """
        import plotly.graph_objects as go
        from plotly.io import from_json

        with figures.plotly_faults(title):
            trace = figures.points_trace(series, scatter, labels, mode)
            if trace.type != "scatter":
                raise ModelError(series, "points must have two coordinates", "give a list of (x, y)")
            own = figures.titled(go.Figure(trace), title, comment, extra_layout, xaxis=xaxis, yaxis=yaxis)
        folder, step = f"{REPORTS}/{_file_name(title)}", _step(iteration)
        self._store(own.to_json(), f"{folder}/{step}", f"{_file_name(series)}.json")
        traces = [trace for text in self._stored(f"{folder}/{step}") for trace in from_json(text).data]
        self._store(figures.figure_page(go.Figure(traces, own.layout)), folder, f"{step}.html")

    def report_scatter3d(
        self,
        title: str,
        series: str,
        scatter: Any,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        zaxis: str | None = None,
        labels: Sequence[str] | None = None,
        mode: str = "markers",
        fill: bool = False,
        comment: str | None = None,
        extra_layout: Layout | None = None,
    ) -> None:
        """Draw points (n, 3) in space, or a list of such arrays.

        labels: of the points. mode: lines, markers or lines+markers. fill: fill the area below each curve.
        """
        self._draw(
            title,
            series,
            iteration,
            lambda: figures.point_cloud_figure(scatter, series, labels, mode, fill),
            comment,
            extra_layout,
            {"xaxis": xaxis, "yaxis": yaxis, "zaxis": zaxis},
        )

    def report_table(
        self,
        title: str,
        series: str,
        iteration: int | None = None,
        table_plot: "pd.DataFrame | Sequence[Sequence[Any]] | None" = None,
        csv: str | None = None,
        url: str | None = None,
        extra_layout: Layout | None = None,
    ) -> None:
        """Show a table: give one of table_plot (a DataFrame, or rows of which the first holds the names of columns),
        csv (path of a CSV file on this machine) and url (of one; where it may lead, see lib.core.downloads.fetch)."""
        table = _table(table_plot, csv, url)
        self._draw(title, series, iteration, lambda: figures.table_figure(table), None, extra_layout, {})

    def _draw(
        self,
        title: str,
        series: str,
        iteration: int | None,
        draw: "Callable[[], Figure]",
        comment: str | None,
        extra_layout: Layout | None,
        axes: Mapping[str, str | None],
    ) -> None:
        """Store a figure as a page."""
        with figures.plotly_faults(title):
            figure = figures.titled(draw(), title, comment, extra_layout, **axes)
        file = fitting_name(_file_name(series), f"-{_step(iteration)}.html")
        self._store(figures.figure_page(figure), f"{REPORTS}/{_file_name(title)}", file)

    @store_errors()
    def _store(self, text: str, folder: str, name: str) -> None:
        """Store a text as an artifact of the model."""
        with TemporaryDirectory() as scratch:
            file = Path(scratch, name)
            file.write_text(text, encoding="utf-8")
            self._client.log_model_artifact(self._model.id, str(file), folder)

    @store_errors()
    def _stored(self, folder: str) -> list[str]:
        """The texts of the artifacts in a folder."""
        with TemporaryDirectory() as scratch:
            copy = Path(artifacts_of(self._client, self._model.id).download_artifacts(folder, scratch))
            return [file.read_text(encoding="utf-8") for file in sorted(copy.glob("*.json"))]

    @store_errors()
    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics of the model and of the run that belongs to it."""
        log_batch(self._client, _reports_run(self._client, self._model), metrics, step, model_id=self._model.id)


def _reports_run(client: "MlflowClient", model: RegisteredModel) -> str:
    """The run of the numbers about a model. Of two that are made at the same moment, both processes take the older."""
    experiment = client.get_logged_model(model.id).experiment_id

    def runs() -> list[str]:
        found = client.search_runs([experiment], f"tags.`{REPORTS_OF}` = '{model.id}'")
        return [run.info.run_id for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))]

    existing = runs()
    if not existing:
        created = client.create_run(experiment, run_name=f"reports on {model}", tags={REPORTS_OF: model.id}).info.run_id
        client.set_terminated(created)
        existing = runs()
        if existing[0] != created:
            client.delete_run(created)
    return existing[0]


def _table(table_plot: Any, csv: str | None, url: str | None) -> "pd.DataFrame":
    """The table that one of the arguments of report_table gives. Raises ModelError."""
    import pandas as pd

    from lib.core.urls import shown_url

    if sum(source is not None for source in (table_plot, csv, url)) != 1:
        raise ModelError("report_table", "needs one of table_plot, csv and url")
    if isinstance(table_plot, pd.DataFrame):
        return table_plot
    if table_plot is not None:
        with figures.plotly_faults("report_table"):
            header, *rows = [list(row) for row in table_plot]
            return pd.DataFrame(rows, columns=header)
    with TemporaryDirectory() as scratch:
        try:  # pandas would open a URL by itself, and go where fetch does not
            path = csv if csv is not None else _fetched(str(url), Path(scratch))
            with open(path, encoding="utf-8-sig") as file:  # as Excel writes it
                return pd.read_csv(file)
        except (OSError, ValueError) as error:
            raise ModelError(csv or shown_url(str(url)), f"is not a CSV file that can be read ({error})") from None


def _fetched(url: str, folder: Path) -> Path:
    """The file of a URL, in a folder. Raises EarshotError."""
    from lib.config.load import get_config
    from lib.core.downloads import fetch
    from lib.core.http_transfers import TransferLimits

    limits = TransferLimits(largest=LARGEST_TABLE)
    return fetch(url, folder, allow_private=get_config().tracking.allow_private_addresses, limits=limits)


def _step(iteration: int | None) -> str:
    return f"{iteration or 0:06d}"


def _file_name(text: str) -> str:
    """A file name for a title: what MLflow or a file system does not take is left out, and a digest tells it apart."""
    name = re.sub(r"[^\w.\- ]", "_", text).strip(". ")
    if name == text:
        return fitting_name(name, "", more=20)
    return f"{fitting_name(name, '', more=30)}~{digest_of(text)[:6]}"

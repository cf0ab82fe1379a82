"""Reports of a search: two CSV files, a table for the terminal, a picture, arguments for `dvc exp run`."""

import json
import math
import shlex
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from lib.config.schema import Parameter
from lib.core.console import table_text
from lib.core.csv_files import write_table
from lib.tuning.search_space import Values, setting_key, shown, values_of
from lib.tuning.studies import Trial
from lib.tuning.tuning_metrics import AREAS, area_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {area: area_title(area) for area in AREAS}
SHOWN_TRIALS = 20
SHOWN_PARAMETERS = 8
DPI = 150


def write_reports(folder: Path, trials: Sequence[Trial], space: Sequence[Parameter], metric: str) -> list[Path]:
    """Write metrics-summary.csv, metrics-details.csv and tuning.png; returns their paths.

    The summary has a row for each trial, with mean and standard deviation over its runs; the details, for each run.
    """
    import pandas as pd

    trials = sorted(trials, key=lambda trial: trial.number)
    details = pd.DataFrame(
        {"Trial #": trial.number, "Run #": number} | {title: figures[name] for name, title in TITLES.items()}
        for trial in trials
        for number, figures in enumerate(trial.figures, 1)
    )
    runs = details.groupby("Trial #")[list(TITLES.values())]
    summary = runs.mean().join(runs.std(ddof=0), suffixes=(" (mean)", " (stdev)"))
    summary = summary[[f"{title} ({kind})" for title in TITLES.values() for kind in ("mean", "stdev")]].reset_index()
    summary.insert(1, "Params", [str(trial.values) if trial.values else "" for trial in trials])
    files = [folder / name for name in ("metrics-summary.csv", "metrics-details.csv", "tuning.png")]
    for file, table in zip(files, (summary, details), strict=False):
        write_table(file, table, "%.4f")
    plot_tuning(files[-1], trials, space, metric)
    return files


def trial_line(trial: Trial, metric: str) -> str:
    """A trial as a line of text."""
    return f"trial {trial.number}: {metric} {_score(trial, metric)}, {shown(trial.values)}"


def trial_table(trials: Sequence[Trial], metric: str) -> str:
    """Trials as lines of text, the best first: mean and standard deviation of the score, time, values."""
    ranked = sorted(trials, key=lambda trial: (-trial.score(metric), trial.number))
    best = ranked[:SHOWN_TRIALS]
    columns: dict[str, list] = {"trial": [trial.number for trial in best]}
    columns[metric] = [_score(trial, metric) for trial in best]
    columns["time"] = [_duration(trial.seconds) for trial in best]
    columns |= {name: [_text(trial.values[name]) for trial in best] for name in ranked[0].values}
    rest = len(ranked) - len(best)
    return table_text(columns) + (f"\n... and {rest} more in metrics-summary.csv" if rest else "")


def arguments(values: Values) -> str:
    """Values as arguments of `dvc exp run`, which sets them in params.yaml."""
    settings = {setting_key(name): value for name, value in values.items()}
    return " ".join(f"-S {shlex.quote(f'{key}={_text(value)}')}" for key, value in settings.items())


def plot_tuning(file: Path, trials: Sequence[Trial], space: Sequence[Parameter], metric: str) -> None:
    """A picture of the search: scores in the order of the plan with the best so far, and scores over each parameter."""
    from matplotlib.figure import Figure

    varied = [parameter for parameter in space if len(values_of(parameter)) > 1][:SHOWN_PARAMETERS]
    columns = min(3, 1 + len(varied))
    rows = math.ceil((1 + len(varied)) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    _draw_history(axes[0], trials, metric)
    for number, parameter in enumerate(varied, 1):
        _draw_parameter(axes[number], trials, parameter, metric)
    for empty in axes[1 + len(varied) :]:
        empty.set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DPI, metadata={"Software": None})


def _draw_history(axes: "Axes", trials: Sequence[Trial], metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = [trial.number for trial in trials]
    scores = [trial.score(metric) for trial in trials]
    deviations = [trial.deviation(metric) for trial in trials]
    axes.errorbar(numbers, scores, yerr=deviations, fmt="o", color="#0072B2", ecolor="#BBBBBB", markersize=4)
    axes.step(numbers, list(accumulate(scores, max)), where="post", color="#D55E00", linewidth=1, label="best so far")
    axes.set(xlabel="Trial", ylabel=metric, title="Trials")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right", frameon=False)


def _draw_parameter(axes: "Axes", trials: Sequence[Trial], parameter: Parameter, metric: str) -> None:
    """A dot for each trial over its value, and a line through the means of the values."""
    values = [value for value in values_of(parameter) if any(trial.values[parameter.name] == value for trial in trials)]
    is_numeric = parameter.type != "categorical"
    positions = values if is_numeric else list(range(len(values)))
    means = []
    for position, value in zip(positions, values, strict=True):
        scores = [trial.score(metric) for trial in trials if trial.values[parameter.name] == value]
        axes.plot([position] * len(scores), scores, "o", color="#0072B2", alpha=0.5, markersize=4)
        means.append(fmean(scores))
    axes.plot(positions, means, "-" if is_numeric else "_", color="#D55E00", linewidth=1, markersize=24)
    if not is_numeric:
        axes.set_xticks(positions, [_text(value)[:24] for value in values])
        axes.margins(x=0.3)
    axes.set(xlabel=parameter.name, title=f"means differ by {max(means) - min(means):.3f}")


def _score(trial: Trial, metric: str) -> str:
    spread = f" ± {trial.deviation(metric):.4f}" if len(trial.figures) > 1 else ""
    return f"{trial.score(metric):.4f}{spread}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""The description of an MLflow run: what differs from the run before it, and its result, as Markdown."""

from collections.abc import Iterator, Mapping
from typing import Any

from lib.evaluation.figures import COMPARED, interval

LIST_SEPARATOR = ", "


def description(
    figures: Mapping[str, float],
    made_from: Mapping[str, str],
    before: Mapping[str, str] | None,
    name_before: str = "",
) -> str:
    """The text of a run.

    Args:
        figures: of the evaluation, with the bounds of their intervals as `<name>_low` and `<name>_high`.
        made_from: settings, data versions and commit of the run, by name.
        before: those of the run before it; None: there is none.
        name_before: of that run.
    """
    differences = list(_differences(made_from, before or {}))
    if before is None:
        first = "The first run."
    else:
        first = f"Compared with {name_before}:" if differences else f"Made from the same as {name_before}."
    table = ["| test | value | 95 % interval |", "| --- | --- | --- |"]
    table += [f"| {name} | {figures[name]:.3f} | {interval(name, figures)} |" for name in COMPARED if name in figures]
    return "\n".join([first, *differences, "", *table])  # MLflow's page shows the first lines only


def _differences(now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    """What both runs know, and differ in: an evaluation by hand knows little of what its model was made from."""
    for name in sorted(now.keys() & before.keys()):
        then, here = before[name], now[name]
        if then != here:
            are_lists = LIST_SEPARATOR in str(then) and LIST_SEPARATOR in str(here)
            change = _list_change(then, here) if are_lists else f"{_shown(then)} → {_shown(here)}"
            yield f"- {name}: {change}"


def _list_change(then: str, here: str) -> str:
    """What a list has and had not, and the other way round."""
    before, now = then.split(LIST_SEPARATOR), here.split(LIST_SEPARATOR)
    changes = [f"with {each}" for each in now if each not in before]
    changes += [f"without {each}" for each in before if each not in now]
    return _shown(LIST_SEPARATOR.join(changes) or f"in the order {here}")


def _shown(value: Any) -> str:
    text = str(value) if value not in (None, "", "null") else "none"
    return text if len(text) <= 60 else f"{text[:57]}..."

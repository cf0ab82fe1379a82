import pytest

from lib.evaluation.matches_store import store_matches
from lib.evaluation.run_matching import BY_CLASS
from lib.evaluation.scenario_metrics import measure_scenarios, scenario_figures, scenario_table
from lib.sound.scenario_tables import Scenario, ScenarioStretch
from tests.evaluation.example import make_data_set, write_results

INF = float("inf")


@pytest.fixture
def measured(tmp_path):
    """A function that scores scenarios of three recordings: in r1 an a is found and a b missed, and an a is there that
    is none; in r2 b is found; an owl is a class that the model does not have."""
    rows = [("r1", "a", 0, 3), ("r1", "b", 3, 6), ("r1", "owl", 6, 9), ("r2", "b", 0, 3), ("r2", "a", 9, INF)]
    data_set = make_data_set(rows, ["r1", "r2", "r3"])
    labels = {"r1": [("a", 0, 3), ("a", 9, 12)], "r2": [("b", 0, 3), ("a", 3, 6)]}
    with write_results(tmp_path / "labels", {"r1": 12, "r2": 12}, labels=labels) as store:
        store_matches(data_set, store, tmp_path, BY_CLASS)
        yield lambda *scenarios: measure_scenarios(scenarios, data_set, store, tmp_path)


def scenario(*stretches, name="s", is_regression=False) -> Scenario:
    return Scenario(name, tuple(ScenarioStretch(*each) for each in stretches), is_regression)


@pytest.mark.parametrize(
    "stretches, counts",
    [
        ([("r1", 0, INF)], (2, 2, 1)),
        ([("r1", 0, 3)], (1, 1, 1)),
        ([("r1", 3, 6)], (1, 0, 0)),  # what only touches it is no part of it
        ([("r1", 0, INF, "a")], (1, 2, 1)),
        ([("r1", 0, INF, "B")], (1, 0, 0)),  # a code
        ([("r1", 0, INF, "owl")], (0, 0, 0)),
        ([("r1", 0, 2), ("r1", 1, 4)], (2, 1, 1)),  # an event in two stretches counts once
        ([("r2", 0, INF)], (1, 1, 1)),  # an a without an end leaves those of its class out, as everywhere
        ([("r1", 0, INF), ("r2", 0, INF)], (3, 3, 2)),
    ],
)
def test_events_in_the_stretches_are_counted(measured, stretches, counts):
    ((_, *found, _),), problems = measured(scenario(*stretches))
    assert tuple(found) == counts and problems == []


def test_figures_are_precision_recall_and_f1(measured):
    results, _ = measured(scenario(("r1", 0, INF)), scenario(("r1", 3, 6), name="missed"), scenario(name="empty"))
    figures = scenario_figures(results)["scenarios"]
    assert figures["s"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert figures["missed"] == {"recall": 0.0, "f1": 0.0} and figures["empty"] == {}
    assert scenario_figures([]) == {}
    assert scenario_table(results)["scenario"].tolist() == ["s", "missed", "empty"]


def test_a_regression_test_with_faults_fails_and_lists_them(measured):
    results, problems = measured(
        scenario(("r1", 0, INF), name="hard", is_regression=True),
        scenario(("r1", 0, 3), name="easy", is_regression=True),
    )
    assert list(map(str, problems)) == [
        "regression test hard: fails: 2 faults (r1 at 3.0 s: b, r1 at 9.0 s: a); see scenarios.csv in the report"
    ]
    table = scenario_table(results)
    faults = table[table["recording"].notna()]
    assert faults[["kind", "recording", "start_time", "class"]].values.tolist() == [
        ["missed", "r1", 3.0, "b"],
        ["found", "r1", 9.0, "a"],
    ]


def test_recordings_that_were_not_analyzed_are_named(measured):
    results, problems = measured(scenario(("r2", 0, 3), ("r3", 0, 3), ("gone", 0, 3)))
    assert results[0].annotated == 1
    assert "scenario s: 2 recordings of it were not analyzed (gone, r3)" in str(problems[0])

import numpy as np
import pytest

from lib.core.errors import DataSetError
from lib.evaluation.comparison import METRICS, compare_runs
from lib.evaluation.event_metrics import measure_events
from tests.evaluation.example import make_data_set, write_results

SECONDS = {"r": 30, "s": 30}
ANNOTATIONS = [("r", "a", 0, 4), ("r", "a", 10, 12), ("r", "b", 20, 22), ("s", "a", 5, 10), ("s", "b", 20, 22)]
FIRST = {"r": [("a", 0, 4), ("a", 10, 12), ("a", 25, 26)], "s": [("a", 5, 10)]}
SECOND = {"r": [("a", 0, 4), ("b", 20, 22)], "s": [("a", 5.4, 9.6), ("b", 5, 10)]}


def compared(
    folder, first, second, annotations=ANNOTATIONS, seconds=(SECONDS, SECONDS), classes=(("a", "b"),) * 2, **more
):
    data_set = make_data_set(annotations, sorted(seconds[0].keys() | seconds[1].keys()))
    stores = [
        write_results(folder / name, durations, labels=labels, classes=known)
        for name, labels, durations, known in zip("12", (first, second), seconds, classes, strict=True)
    ]
    with stores[0], stores[1]:
        return compare_runs(data_set, *stores, **more)


def test_a_comparison_by_hand(tmp_path):
    result = compared(tmp_path, FIRST, SECOND)
    found_by = result.sounds.sort_values(["recording", "start_time"])["found_by"].tolist()
    assert found_by == ["both", "only first", "only second", "both", "neither"]
    table = result.classes.set_index("class")
    counts = ["annotated", "both", "only_first", "only_second", "neither", "false_first", "false_second"]
    assert table.loc["a", counts].tolist() == [3, 2, 1, 0, 0, 1, 0]
    assert table.loc["b", counts].tolist() == [2, 0, 0, 1, 1, 0, 1]
    recall = ["recall_first", "recall_second", "recall_difference"]
    assert table.loc["a", recall].tolist() == pytest.approx([1, 2 / 3, -1 / 3])
    assert table.loc["b", recall].tolist() == pytest.approx([0, 1 / 2, 1 / 2])
    assert table.loc["a", ["precision_first", "precision_second"]].tolist() == pytest.approx([3 / 4, 1])
    figures = result.figures
    assert (figures["recordings"], figures["sounds"], figures["both"], figures["neither"]) == (2, 5, 2, 1)
    assert figures["recall_first"] == figures["recall_second"] == 0.6 and figures["recall_difference"] == 0
    assert figures["macro_recall_difference"] == pytest.approx(1 / 12, abs=1e-6)
    assert figures["precision_second"] == 0.75 and figures["f1_first"] == pytest.approx(2 / 3, abs=1e-6)
    assert result.problems == []


def test_a_run_compared_with_itself_differs_in_nothing(tmp_path):
    result = compared(tmp_path, FIRST, FIRST)
    assert set(result.sounds["found_by"]) == {"both", "neither"}
    for metric in METRICS:
        for bound in ("", "_low", "_high"):
            assert result.figures[f"{metric}_difference{bound}"] == 0
            assert (result.classes[f"{metric}_difference{bound}"].dropna() == 0).all()


def test_each_side_has_the_event_figures_of_its_run(tmp_path):
    result, data_set = compared(tmp_path, FIRST, SECOND), make_data_set(ANNOTATIONS, list(SECONDS))
    for side, labels in (("first", FIRST), ("second", SECOND)):
        with write_results(tmp_path / side, SECONDS, labels=labels) as store:
            figures = measure_events(data_set, store, sorted(SECONDS))[0].figures
        for metric in METRICS:
            for bound in ("", "_low", "_high"):
                assert result.figures[f"{metric}_{side}{bound}"] == figures[f"event_{metric}{bound}"]


def test_swapping_the_runs_negates_the_differences(tmp_path):
    one, other = compared(tmp_path / "1", FIRST, SECOND).classes, compared(tmp_path / "2", SECOND, FIRST).classes
    for metric in METRICS:
        np.testing.assert_allclose(one[f"{metric}_difference"], -other[f"{metric}_difference"])
        np.testing.assert_allclose(one[f"{metric}_difference_low"], -other[f"{metric}_difference_high"])


def test_intervals_of_differences_are_of_paired_resampling(tmp_path):
    """The first run finds one sound more in each recording than the second, be it easy or hard."""
    seconds = {f"{i:02}": 100 for i in range(20)}
    annotations = [(name, "a", 9 * i, 9 * i + 3) for name in seconds for i in range(10)]
    easy = {name: np.random.default_rng(int(name)).integers(1, 10) for name in seconds}
    first = {name: [("a", 9 * i, 9 * i + 3) for i in range(n)] for name, n in easy.items()}
    second = {name: labels[:-1] for name, labels in first.items()}
    figures = compared(tmp_path, first, second, annotations, (seconds, seconds)).figures
    assert figures["recall_difference_low"] == figures["recall_difference_high"] == pytest.approx(-0.1)
    assert figures["recall_first_high"] - figures["recall_first_low"] > 0.1


def test_runs_may_know_other_classes_by_other_names(tmp_path):
    annotations = [*ANNOTATIONS, ("s", "zebra", 1, 2)]
    first, second = {"r": [("a", 0, 4)]}, {"r": [("b", 20, 22)], "s": [("c", 5, 10)]}
    result = compared(tmp_path, first, second, annotations, classes=(("a",), ("b", "c")))
    table = result.classes.set_index("class")
    assert table.index.tolist() == ["a", "b", "c"]
    assert table.loc["a", ["only_first", "only_second", "neither"]].tolist() == [1, 0, 2]
    assert table.loc["b", ["only_first", "only_second", "neither"]].tolist() == [0, 1, 1]
    assert table.loc["c", ["annotated", "false_second"]].tolist() == [0, 1]
    assert [str(each) for each in result.problems] == [
        "test set: has classes that neither run knows: zebra; they take no part"
    ]


def test_only_recordings_of_both_runs_take_part(tmp_path):
    result = compared(tmp_path, {"r": FIRST["r"]}, SECOND, seconds=({"r": 30}, SECONDS))
    assert set(result.sounds["recording"]) == {"r"} and result.figures["recordings"] == 1
    assert str(result.problems[0]) == (
        f"s in {tmp_path / '1'}: is in the test set but was not analyzed; check the file, and "
        "run the infer stage (`dvc repro infer`)"
    )
    assert "recall_difference" in result.figures and "recall_difference_low" not in result.figures
    with pytest.raises(DataSetError, match=r"no recording that both .*none/1 and .*none/2 have analyzed"):
        compared(tmp_path / "none", {}, {}, seconds=({"r": 30}, {"s": 30}))
    with pytest.raises(DataSetError, match=r"empty/2: has analyzed none of the test recordings; check"):
        compared(tmp_path / "empty", {}, {}, seconds=({"r": 30}, {}))


def test_a_data_set_without_sounds_is_compared_by_its_false_labels(tmp_path):
    result = compared(tmp_path, FIRST, SECOND, annotations=[])
    assert len(result.sounds) == 0 and result.figures["false_first"] == 4 and "recall_first" not in result.figures
    assert result.classes["false_second"].tolist() == [2, 2]

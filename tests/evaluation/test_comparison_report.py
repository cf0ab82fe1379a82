from lib.evaluation.comparison_report import LISTED_CLASSES, comparison_text
from tests.evaluation.test_comparison import FIRST, SECOND, compared


def test_the_text_tells_what_each_run_finds_and_how_sure_the_difference_is(tmp_path):
    result = compared(tmp_path, FIRST, SECOND)
    lines = [line.split() for line in comparison_text(result).splitlines()]
    text = comparison_text(result)
    assert text.startswith("5 sounds in 2 recordings, found by: both 2, only first 1, only second 1, neither 1\n")
    assert "1 labels" not in text and "labels that match no sound: first 1, second 1" in text
    low, high = (f"{result.figures[f'recall_difference_{bound}']:.3f}" for bound in ("low", "high"))
    assert ["recall", "0.60", "0.60", "0.00", low, "to", high] in lines
    assert any(line[:7] == ["b", "2", "0", "0", "1", "1", "0.50"] for line in lines)


def test_the_text_of_many_classes_lists_those_that_differ_most(tmp_path):
    names = tuple(f"class {i:02}" for i in range(30))
    annotations = [("r", name, 0, 4) for name in names]
    second = {"r": [(names[17], 0, 4)]}
    text = comparison_text(compared(tmp_path, {}, second, annotations, classes=(names, names)))
    lines = text.splitlines()
    assert sum(line.startswith("class ") for line in lines) == LISTED_CLASSES + 1  # and the header
    assert next(line for line in lines if line.startswith("class 1")).startswith("class 17")
    assert lines[-1] == "the 20 of 30 classes that differ most; classes.csv has all"


def test_the_text_of_a_data_set_without_sounds_has_no_rates(tmp_path):
    text = comparison_text(compared(tmp_path, FIRST, SECOND, annotations=[]))
    assert text.startswith("0 sounds in 2 recordings") and "recall  " not in text.split("class")[0]

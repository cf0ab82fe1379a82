import numpy as np

from lib.curation.sound_outcomes import OUTCOMES, SoundStretches, outcomes


def sounds(*rows: tuple[int, float, float]) -> SoundStretches:
    classes, starts, ends = zip(*rows, strict=True) if rows else ((), (), ())
    return SoundStretches(np.array(classes, np.int64), np.array(starts, float), np.array(ends, float))


def kinds(found: SoundStretches, annotated: SoundStretches, min_seconds: float = 0.3) -> tuple[list, list]:
    return tuple(
        [(OUTCOMES[kind], other) for kind, other in zip(*(each.tolist() for each in side), strict=True)]
        for side in outcomes(found, annotated, min_seconds)
    )


def test_a_window_is_right_where_enough_of_its_class_is_in_it():
    found = sounds((0, 0, 3), (0, 3, 6))
    assert kinds(found, sounds((0, 2.5, 3.1)))[0] == [("correct", -1), ("false positive", -1)]
    assert kinds(found, sounds((0, 2.5, 3.4)))[0] == [("correct", -1), ("correct", -1)]


def test_a_short_call_need_only_be_there_as_a_whole():
    assert kinds(sounds((0, 0, 3)), sounds((0, 1.0, 1.1)))[0] == [("correct", -1)]


def test_what_no_label_of_its_class_tells_is_confused_with_what_is_found_there():
    found, annotated = kinds(sounds((0, 0, 3), (1, 5, 8)), sounds((2, 1, 2), (3, 1, 1.5), (1, 6, 7), (3, 10, 11)))
    assert found == [("confused", 2), ("correct", -1)]  # with the one that shares more
    assert annotated == [("confused", 0), ("confused", 0), ("correct", -1), ("missed", -1)]


def test_a_false_label_beside_a_right_one_is_not_confused_with_it():
    found, annotated = kinds(sounds((0, 0, 3), (1, 0, 3)), sounds((0, 1, 2)))
    assert found == [("correct", -1), ("false positive", -1)]
    assert annotated == [("correct", -1)]


def test_annotations_without_an_end_and_empty_sides():
    assert kinds(sounds((0, 40, 43)), sounds((0, 0, np.inf))) == ([("correct", -1)], [("correct", -1)])
    assert kinds(sounds(), sounds((0, 0, 1))) == ([], [("missed", -1)])
    assert kinds(sounds((0, 0, 1)), sounds()) == ([("false positive", -1)], [])

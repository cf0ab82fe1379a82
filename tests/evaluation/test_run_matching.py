import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.errors import SettingsError
from lib.evaluation.event_metrics import measure_events
from lib.evaluation.run_matching import BY_CLASS, NONE, MatchingRules, RunMatching, rules_of
from tests.evaluation.example import make_data_set, write_results

SECONDS = {"r": 30, "s": 30}


def matched(folder, annotations, labels, payload=None, seconds=SECONDS):
    """(recording, annotation, label, iou) of each match. labels: recording -> class, start, end."""
    data_set = make_data_set(annotations, list(seconds))
    names = sorted(seconds)
    with write_results(folder, seconds, labels=labels) as store:
        rows = []
        for matches in RunMatching(data_set, store, names, rules_of(payload)).matches():
            for recording, annotation, label, iou, *_ in zip(*map(np.ndarray.tolist, matches), strict=True):
                iou = None if iou != iou else round(iou, 6)
                rows.append((names[recording], *(None if n == NONE else n for n in (annotation, label)), iou))
    return rows


ANNOTATIONS = [("r", "a", 0, 4), ("r", "b", 10, 12), ("s", "zebra", 12, 14)]
LABELS = {"r": [("a", 0, 5), ("a", 10, 12), ("b", 20, 21)], "s": [("b", 12, 14)]}


def test_any_two_classes_match_by_default(tmp_path):
    assert matched(tmp_path, ANNOTATIONS, LABELS) == [
        ("r", 0, 0, 0.8),
        ("r", 1, 1, 1.0),
        ("r", None, 2, None),
        ("s", 0, 0, 1.0),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        {"class_agnostic": False},
        {"allowed_label_matches": []},  # is specified, so that class_agnostic is assumed to be False
        {"class_agnostic": True, "allowed_label_matches": []},
    ],
)
def test_only_the_same_class_matches_if_matching_is_not_class_agnostic(tmp_path, payload):
    assert rules_of(payload) == BY_CLASS
    assert matched(tmp_path, ANNOTATIONS, LABELS, payload) == [
        ("r", 0, 0, 0.8),
        ("r", 1, None, None),
        ("r", None, 1, None),
        ("r", None, 2, None),
        ("s", 0, None, None),
        ("s", None, 0, None),
    ]


def test_a_key_of_a_payload_that_is_none_has_its_default():
    assert rules_of({"class_agnostic": None, "allowed_label_matches": None, "iou": None}) == rules_of(None)
    assert rules_of(None) == MatchingRules(class_agnostic=True, allowed_label_matches=(), iou=0.5)


@pytest.mark.parametrize("agnostic", [{}, {"class_agnostic": True}, {"class_agnostic": False}])
def test_allowed_matches_are_those_of_the_same_class_and_those_listed(tmp_path, agnostic):
    allowed = [{"ground_truth_label": "zebra", "model_prediction_label": "B"}]  # a code
    rows = matched(tmp_path, ANNOTATIONS, LABELS, agnostic | {"allowed_label_matches": allowed})
    assert [row[:3] for row in rows if None not in row] == [("r", 0, 0), ("s", 0, 0)]
    turned = [{"ground_truth_label": "b", "model_prediction_label": "a"}]
    rows = matched(tmp_path / "turned", ANNOTATIONS, LABELS, {"allowed_label_matches": turned})
    assert [row[:3] for row in rows if None not in row] == [("r", 0, 0), ("r", 1, 1)]


@pytest.mark.parametrize(("iou", "n"), [(0.8, 1), (0.81, 0)])
def test_the_threshold_is_that_of_the_payload(tmp_path, iou, n):
    rows = matched(tmp_path, [("r", "a", 0, 4)], {"r": [("a", 0, 5)]}, {"iou": iou})
    assert sum(None not in row for row in rows) == n


def test_each_event_is_in_one_pair_and_as_many_pairs_as_possible_are_taken(tmp_path):
    annotations, labels = [("r", "a", 0, 4), ("r", "a", 3, 7)], {"r": [("a", 2, 5), ("a", 0, 3)]}
    rows = matched(tmp_path, annotations, labels, {"iou": 0.2})
    assert [row[:3] for row in rows] == [("r", 0, 1), ("r", 1, 0)]  # though 0 and 0 share most of their time, too


def test_labels_that_may_match_an_annotation_without_an_end_take_no_part(tmp_path):
    annotations = [("r", "a", 0, np.inf), ("r", "b", 0, 3), ("s", "a", 0, 3)]
    labels = {"r": [("a", 3, 6), ("b", 0, 3), ("b", 9, 12)], "s": [("a", 0, 3)]}
    kept = [("r", 1, 1, 1.0), ("r", None, 2, None), ("s", 0, 0, 1.0)]
    for name, payload in (("agnostic", None), ("by class", {"class_agnostic": False})):
        assert matched(tmp_path / name, annotations, labels, payload) == kept
    allowed = {"allowed_label_matches": [{"ground_truth_label": "a", "model_prediction_label": "b"}]}
    assert matched(tmp_path / "allowed", annotations, labels, allowed) == [("r", 1, None, None), ("s", 0, 0, 1.0)]


def test_an_allowed_class_of_the_model_need_not_be_annotated(tmp_path):
    allowed = {"allowed_label_matches": [{"ground_truth_label": "b", "model_prediction_label": "a"}]}
    assert matched(tmp_path, [("r", "a", 0, 4)], {"r": [("a", 0, 4)]}, allowed) == [("r", 0, 0, 1.0)]


def test_events_end_with_their_recording(tmp_path):
    rows = matched(tmp_path, [("r", "a", 28, 35), ("s", "a", 40, 41)], {"r": [("a", 28, 31)]}, {"iou": 1})
    assert rows == [("r", 0, 0, 1.0)]


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ({"iou": 0}, r"payload\.iou: .*greater than 0"),
        ({"iou": 1.1}, r"payload\.iou: .*less than or equal to 1"),
        ({"threshold": 0.5}, r"payload\.threshold: "),
        ({"class_agnostic": "yes"}, r"payload\.class_agnostic: "),
        ([], "payload: "),
        ({"allowed_label_matches": [{"ground_truth_label": "a"}]}, r"0\.model_prediction_label: "),
        (
            {"allowed_label_matches": [{"ground_truth_label": "x", "model_prediction_label": "a"}]},
            "'x' is not a class of the",
        ),
        (
            {"allowed_label_matches": [{"ground_truth_label": "a", "model_prediction_label": "x"}]},
            "'x' is not a class of the",
        ),
    ],
)
def test_an_invalid_payload_gives_one_line(tmp_path, payload, fault):
    with pytest.raises(SettingsError, match=fault) as error:
        matched(tmp_path, ANNOTATIONS, LABELS, payload)
    assert "\n" not in str(error.value)


EVENTS = st.lists(
    st.tuples(st.sampled_from("rs"), st.sampled_from("ab"), st.integers(0, 28), st.integers(1, 6)), max_size=12
)
RULES = st.fixed_dictionaries(
    {"iou": st.sampled_from([0.1, 0.5, 0.9]), "class_agnostic": st.booleans()},
    optional={"allowed_label_matches": st.just([{"ground_truth_label": "a", "model_prediction_label": "b"}])},
)


@settings(deadline=None, max_examples=60)
@given(EVENTS, EVENTS, RULES)
def test_every_event_is_once_among_the_matches_and_each_pair_keeps_the_rules(
    tmp_path_factory, annotated, found, payload
):
    annotations = sorted({(r, c, start, start + n) for r, c, start, n in annotated})
    labels = {name: [(c, s, s + n) for r, c, s, n in found if r == name] for name in SECONDS}
    rows = matched(tmp_path_factory.mktemp("run"), annotations, labels, payload)
    by_recording = {name: [row for row in annotations if row[0] == name] for name in SECONDS}
    assert sorted(row[:2] for row in rows if row[1] is not None) == [
        (name, i) for name in sorted(SECONDS) for i in range(len(by_recording[name]))
    ]
    assert sorted((row[0], row[2]) for row in rows if row[2] is not None) == [
        (name, i) for name in sorted(SECONDS) for i in range(len(labels[name]))
    ]
    rules = rules_of(payload)
    for name, annotation, label, iou in rows:
        assert (iou is None) == (annotation is None or label is None)
        if iou is not None:
            (_, kind, start, end), (other, begin, stop) = by_recording[name][annotation], labels[name][label]
            shared = min(end, 30, stop) - max(start, begin)
            union = max(min(end, 30), min(stop, 30)) - min(start, begin)
            assert (
                iou == pytest.approx(min(shared, 30 - max(start, begin)) / union, abs=1e-5) and iou >= rules.iou - 1e-5
            )
            assert (
                rules.class_agnostic or kind == other or (rules.allowed_label_matches and (kind, other) == ("a", "b"))
            )


@settings(deadline=None, max_examples=25)
@given(EVENTS, EVENTS)
def test_matches_by_class_are_as_many_as_the_event_figures_count(tmp_path_factory, annotated, found):
    folder = tmp_path_factory.mktemp("run")
    annotations = sorted({(r, c, start, start + n) for r, c, start, n in annotated})
    labels = {name: [(c, s, s + n) for r, c, s, n in found if r == name] for name in SECONDS}
    rows = matched(folder / "matches", annotations, labels, {"class_agnostic": False})
    with write_results(folder / "figures", SECONDS, labels=labels) as store:
        table = measure_events(make_data_set(annotations, list(SECONDS)), store, sorted(SECONDS), resamples=0)[0].table
    counted = table[np.isclose(table["value"], 0.5) & (table["criterion"] == "iou")].iloc[0]
    numbers = [sum(row[i] is not None for row in rows) for i in (1, 2, 3)]
    assert counted[["annotated", "found", "tp"]].tolist() == numbers

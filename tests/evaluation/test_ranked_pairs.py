import re
import resource
import signal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from lib.evaluation import metrics, ranked_pairs
from lib.evaluation.ranked_pairs import RankedPairs


def areas(truth, scores):
    """Of pairs in memory, which must be those of ranked pairs."""
    truth, scores = np.array(truth, dtype=bool), np.array(scores, dtype=np.float32)
    (result, _) = ranked(truth[:, None], scores[:, None], np.zeros(len(truth), np.int64)).areas(2, np.ones((1, 1)))
    in_memory = metrics.areas(truth, scores)
    np.testing.assert_allclose((result.pr_auc[0], result.roc_auc[0]), in_memory, rtol=1e-12)
    return in_memory


def ranked(truth, scores, recording, n_blocks=1, **options):
    pairs = RankedPairs(**options)
    for rows in np.array_split(np.arange(len(truth)), n_blocks):
        pairs.add(truth[rows], scores[rows], recording[rows], pooled=True)
    return pairs


def random_pairs(n, n_classes, n_recordings, seed=0, digits=2):
    rng = np.random.default_rng(seed)
    truth = rng.random((n, n_classes)) < 0.2
    scores = np.round(np.clip(rng.random((n, n_classes)) - 0.3 + 0.2 * truth, 0, 1), digits).astype(np.float32)
    return truth, scores, np.sort(rng.integers(0, n_recordings, n))


def test_areas_of_a_small_case_worked_out_by_hand():
    # by falling score: +, -, +, -: precision 1 at recall 1/2 and 2/3 at recall 1; 3 of 4 pairs are in order
    assert areas([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx((1 / 2 + 2 / 3 / 2, 3 / 4))


def test_tied_scores_are_one_point():
    assert areas([1, 0, 0, 1], [0.5, 0.5, 0.5, 0.5]) == pytest.approx((0.5, 0.5))


def test_areas_are_undefined_without_positives_or_negatives():
    assert np.isnan(areas([0, 0], [0.1, 0.2])).all()
    assert np.isnan(areas([1, 1], [0.1, 0.2])).all()
    assert np.isnan(areas([], [])).all()


cases = st.integers(2, 60).flatmap(
    lambda size: st.tuples(
        st.lists(st.booleans(), min_size=size, max_size=size),
        st.lists(st.integers(0, 8).map(lambda step: step / 8), min_size=size, max_size=size),
        st.lists(st.integers(0, 3), min_size=size, max_size=size),
        st.lists(st.integers(0, 3), min_size=4, max_size=4),
    )
)


@given(cases)
@settings(max_examples=100, deadline=None)
def test_areas_equal_scikit_learn_with_ties_and_weights(case):
    truth, scores, recording, weights = (np.array(part) for part in case)
    pairs = ranked(truth[:, None], scores[:, None].astype(np.float32), recording)
    ((precision_recall, receiver, _), pooled) = pairs.areas(2, weights[None].astype(np.float32))
    weight = weights[recording].astype(float)
    positive, negative = weight[truth].sum(), weight[~truth].sum()
    if positive and negative:
        assert precision_recall[0] == pytest.approx(average_precision_score(truth, scores, sample_weight=weight))
        assert receiver[0] == pytest.approx(roc_auc_score(truth, scores, sample_weight=weight))
    else:
        assert np.isnan(precision_recall[0]) and np.isnan(receiver[0])
    np.testing.assert_array_equal((pooled.pr_auc, pooled.roc_auc), (precision_recall, receiver))


@pytest.mark.parametrize("digits", [1, 2, 7])
def test_pairs_that_do_not_fit_into_memory_have_the_areas_of_those_that_do(monkeypatch, tmp_path, digits):
    truth, scores, recording = random_pairs(4000, 5, 7, digits=digits)
    weights = np.random.default_rng(1).integers(0, 3, (20, 7)).astype(np.float32)
    weights[0] = 1
    expected = ranked(truth, scores, recording).areas(6, weights, 100)
    for name, value in (("ENTRIES_AT_ONCE", 500), ("SAMPLE_STEP", 16), ("CELLS", 3000)):
        monkeypatch.setattr(ranked_pairs, name, value)
    pairs = ranked(truth, scores, recording, n_blocks=13, scratch=tmp_path / "scratch")
    result = pairs.areas(6, weights, 100)
    for group, (one, other) in enumerate(zip(result, expected, strict=True)):
        np.testing.assert_allclose(one[:2], other[:2], rtol=1e-12)
        flat = (truth.ravel(), scores.ravel()) if group == 5 else (truth[:, group], scores[:, group])
        assert one.pr_auc[0] == pytest.approx(average_precision_score(*flat))
        assert one.roc_auc[0] == pytest.approx(roc_auc_score(*flat))
    sizes = [len(block) for block in pairs.blocks()]
    assert len(sizes) > 1 and max(sizes) < 3000
    assert list((tmp_path / "scratch").iterdir()) == []


def test_entries_come_back_sorted_and_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(ranked_pairs, "ENTRIES_AT_ONCE", 300)
    monkeypatch.setattr(ranked_pairs, "SAMPLE_STEP", 7)
    truth, scores, recording = random_pairs(1000, 3, 5)
    blocks = list(ranked(truth, scores, recording, n_blocks=10, scratch=tmp_path).blocks())
    for before, after in pairwise(blocks):
        assert before["key"][-1] < after["key"][0]
    entries = np.concatenate(blocks)
    assert (np.diff(entries["key"]) >= 0).all()
    assert entries["positives"].sum() == 2 * truth.sum() and entries["negatives"].sum() == 2 * (~truth).sum()


def test_a_full_disk_is_told_with_the_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(ranked_pairs, "ENTRIES_AT_ONCE", 10)
    resource_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource_limit[1]))
        with pytest.raises(OSError, match=re.escape(str(tmp_path))):
            ranked(*random_pairs(1000, 3, 5), scratch=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, resource_limit)
        signal.signal(signal.SIGXFSZ, handler)


def test_points_of_a_long_curve_are_thinned_evenly_and_end_with_the_last():
    truth, scores, recording = random_pairs(5000, 1, 3, digits=7)
    (result, _) = ranked(truth, scores, recording).areas(2, np.ones((1, 3)), 100)
    threshold, tp, fp = result.points
    assert len(tp) == 100 and (tp[-1], fp[-1]) == (truth.sum(), (~truth).sum())
    assert (np.diff(threshold) < 0).all() and (np.diff(tp) >= 0).all() and (np.diff(fp) >= 0).all()
    found = [((scores >= each) & truth).sum() for each in threshold.astype(np.float32)]
    assert found == tp.tolist()

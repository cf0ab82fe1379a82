from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.config.schema import EvaluateSettings
from lib.core.errors import EarshotError, SettingsError
from lib.evaluation.segment_metrics import measure
from lib.evaluation.units import Units
from lib.tuning import ensembles
from lib.tuning.model_scores import ModelScores


def models_of(n_models=4, n_recordings=6, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    n = 10 * n_recordings
    truth = rng.random((n, n_classes)) < 0.4
    units = Units(
        classes=[f"class {k}" for k in range(n_classes)],
        recordings=[f"{k}" for k in range(n_recordings)],
        recording=np.repeat(np.arange(n_recordings), 10),
        start_time=np.tile(np.arange(10.0), n_recordings),
        end_time=np.tile(np.arange(10.0), n_recordings) + 3,
        truth=truth,
        scores=np.zeros((n, n_classes), np.float32),
        others=np.zeros(n_recordings, bool),
    )
    scores = [np.clip(truth * 0.3 + rng.random(truth.shape), 0, 1).astype(np.float32) for _ in range(n_models)]
    return ModelScores([f"{k}.pt" for k in range(n_models)], units, scores)


@pytest.mark.parametrize("metric", [name for name in ensembles.ENSEMBLE_METRICS if name != "accuracy"])
def test_the_score_is_the_figure_of_the_evaluation_for_mean_scores(metric):
    models = models_of()
    score = ensembles.evaluate_ensemble(models, [0, 2], metric, threshold=0.5)
    mean = (models.scores[0] + models.scores[2]) / np.float32(2)
    figures = measure(replace(models.units, scores=mean), 0.5, resamples=0).figures
    assert score == pytest.approx(figures[metric], abs=1e-6)


def test_a_metric_that_is_undefined_is_one_clear_error():
    with pytest.raises(EarshotError, match="not defined on this test set"):
        ensembles.evaluate_ensemble(models_of(), [0], "accuracy")  # a recording holds several classes


def test_metrics_go_by_either_name():
    assert ensembles.metric_name("macro_pr") == ensembles.metric_name("macro_pr_auc") == "macro_pr"
    with pytest.raises(SettingsError, match="must be one of macro_pr"):
        ensembles.metric_name("loss")


def additive(weights):
    return lambda models: float(sum(weights[model] for model in models))


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 40), st.integers(0, 9))
@settings(deadline=None)
def test_each_ensemble_is_tried_once_and_as_many_as_wanted(n_models, size, trials, seed):
    size = min(size, n_models)
    weights = np.random.default_rng(seed).random(n_models)
    tried = list(ensembles.search_ensembles(n_models, [size], trials, additive(weights), seed))
    assert tried == list(ensembles.search_ensembles(n_models, [size], trials, additive(weights), seed))
    assert len({entry.models for entry in tried}) == len(tried)
    assert len(tried) <= ensembles.n_trials(n_models, [size], trials) + sum(len(e.models) < size for e in tried)
    assert all(entry.models == tuple(sorted(set(entry.models))) for entry in tried)
    assert sum(len(entry.models) == size for entry in tried) >= min(trials, comb(n_models, size))
    if comb(n_models, size) <= trials:
        assert {entry.found_by for entry in tried} == {"all"}
    # where models help independently, the best ensemble is that of the best models, whatever the way to it
    best = ensembles.ranked(entry for entry in tried if len(entry.models) == size)[0]
    assert set(best.models) == set(np.argsort(-weights)[:size].tolist())


def test_exchanging_finds_what_adding_one_by_one_misses():
    def score(models):  # 0 is best alone, and in the way
        return {(0,): 1.0, (1, 2): 5.0, (0, 1): 3.0}.get(models, 0.5 * (1 in models) + 0.5 * (2 in models))

    tried = list(ensembles.search_ensembles(20, [2], 60, score))
    assert ensembles.ranked(tried)[0][:3] == ((1, 2), 5.0, "swap")
    assert {entry.found_by for entry in tried} == {"greedy", "swap", "random"}


def test_the_best_of_each_size_have_intervals():
    models, settings = models_of(), EvaluateSettings(bootstrap=20)
    tried = ensembles.find_ensembles(models, range(1, 3), "macro_pr", 10, settings)
    assert len(tried) == 4 + 6 and tried == ensembles.ranked(tried)
    for size in (1, 2):
        best, *others = [entry for entry in tried if len(entry.models) == size]
        mean = np.mean([models.scores[index] for index in best.models], axis=0)
        figures = measure(replace(models.units, scores=mean), 0.5, settings.bootstrap, settings.seed).figures
        bounds = figures["macro_pr_low"], figures["macro_pr_high"]
        assert (best.low, best.high) == pytest.approx(bounds, abs=1e-6) and best.low < best.score < best.high
        assert np.isnan([entry.low for entry in others]).all()
    table = ensembles.ensemble_table(tried, models.names)
    assert list(table) == ["size", "score", "low", "high", "found_by", "checkpoints"]
    assert table["low"].notna().sum() == 2 and table.at[0, "score"] == tried[0].score
    assert table["checkpoints"].tolist()[-1] == "; ".join(f"{index}.pt" for index in tried[-1].models)


def test_equals_are_ranked_by_size_and_order():
    entries = [ensembles.Ensemble(models, 0.5, "all") for models in ((1, 2), (0, 1), (2,))]
    assert [entry.models for entry in ensembles.ranked(entries)] == [(2,), (0, 1), (1, 2)]


def test_copies_keep_apart_what_has_the_same_name(tmp_path):
    for fold in "ab":
        (tmp_path / fold).mkdir()
        for suffix in (".pt", ".json"):
            (tmp_path / fold / f"model{suffix}").write_text(fold + suffix)
    models = [tmp_path / "a/model.pt", tmp_path / "b/model.pt"]
    ensembles.copy_models(models, tmp_path / "best")
    assert {path.name: path.read_text() for path in (tmp_path / "best").iterdir()} == {
        f"{fold}-model{suffix}": fold + suffix for fold in "ab" for suffix in (".pt", ".json")
    }
    with pytest.raises(EarshotError, match="holds models already"):
        ensembles.check_output(tmp_path / "best")
    ensembles.check_output(Path(tmp_path / "new"))

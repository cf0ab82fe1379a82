"""What the settings of a training can ask for beside the usual, each also killed and taken up again."""

import json
import shutil

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from scipy import stats
from sklearn.metrics import precision_score

from lib.database.stored_windows import StoredWindows
from lib.digests import digest_file
from lib.errors import EarshotError, SettingsError
from lib.models.checkpoint import load_checkpoint, save_checkpoint
from lib.training.averaging import average_weights
from lib.training.loop import Learner
from lib.training.state import epochs_done, remove_state
from lib.training.trainer import make_tasks, save_models, train
from lib.training.validation import window_logits
from tests.database.builders import AUDIO, extract_folder
from tests.models.builders import save_random_model
from tests.training.builders import assert_same, kill_after, with_settings

EVERYTHING = {
    "head": "sed",
    "num_folds": 2,
    "epochs": 3,
    "save_last_n": 2,
    "average_last_n": 2,
    "threshold_precision": 0.8,
    "class_weight_exponent": 0.5,
    "pos_label_smoothing": 0.1,
    "neg_label_smoothing": 0.02,
    "noise_class": "low",
}


def trained(windows, path, **changes):
    return train(windows, with_settings(**changes), path / "state", "a")


@pytest.fixture(scope="module")
def everything(windows, tmp_path_factory):
    return trained(windows, tmp_path_factory.mktemp("everything"), **EVERYTHING)


def test_sed_head_learns_tones_and_gives_frames(windows, tmp_path):
    outcome = trained(windows, tmp_path, head="sed", sed_fps=20.0)
    assert outcome.metrics["val_macro_pr_auc"] > 0.95
    assert (outcome.description.head, outcome.description.sed_fps) == ("sed", 20.0)
    x = torch.from_numpy(windows.spectrograms(np.arange(5))).float() / 255
    assert outcome.model.forward_frames(x)[1].shape == (5, 3, 10)


def test_metrics_are_those_of_the_last_epoch_with_the_number_of_windows(windows, tmp_path):
    outcome = trained(windows, tmp_path, epochs=2)
    assert outcome.metrics == outcome.epochs[-1] | {"windows": outcome.description.training["windows"]}


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_killed_training_with_every_option_ends_like_an_undisturbed_one(windows, everything, tmp_path, step):
    settings = with_settings(**EVERYTHING)
    kill_after(windows, tmp_path / "state", "a", step, settings)
    assert epochs_done(tmp_path / "state", "a") == step
    assert_same(everything, train(windows, settings, tmp_path / "state", "a"))
    remove_state(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_training_with_every_option_can_be_repeated_to_the_byte(windows, everything, tmp_path):
    again = trained(windows, tmp_path, **EVERYTHING)
    for folder, outcome in (("a", everything), ("b", again)):
        save_models(tmp_path / folder / "model.pt", outcome)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()} for folder in "ab")
    assert first == second
    assert sorted(name for name in first if name.endswith("pt")) == [
        "model-f1-e2.pt",
        "model-f1.pt",
        "model-f2-e2.pt",
        "model-f2.pt",
    ]


def test_folds_are_trained_on_other_recordings_and_told_apart(windows, everything):
    assert [(row["fold"], row["epoch"]) for row in everything.epochs] == [(f, e) for f in (1, 2) for e in (1, 2, 3)]
    models = everything.models
    assert [models[f"-f{fold}"].description.training["fold"] for fold in (1, 2)] == [1, 2]
    a, b = (models[name].head.classifier.weight for name in ("-f1", "-f2"))
    assert not torch.equal(a, b)


def test_steps_of_epochs_are_counted_over_all_folds(windows, tmp_path):
    told = []
    settings = with_settings(num_folds=3, epochs=1, epoch_windows=0)
    train(windows, settings, tmp_path / "state", "a", lambda step, row: told.append((step, row["fold"], row["epoch"])))
    assert told == [(1, 1, 1), (2, 2, 1), (3, 3, 1)]


def test_metrics_of_folds_are_their_mean_deviation_and_interval(windows, tmp_path):
    outcome = trained(windows, tmp_path, num_folds=3, epochs=1, epoch_windows=0)
    values = [row["val_loss"] for row in outcome.epochs]
    metrics = outcome.metrics
    assert metrics["folds"] == 3
    assert metrics["val_loss"] == pytest.approx(np.mean(values), abs=2e-6)
    assert metrics["val_loss_std"] == pytest.approx(np.std(values, ddof=1), abs=2e-6)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (metrics["val_loss_low"], metrics["val_loss_high"]) == pytest.approx((low, high), abs=5e-6)
    assert json.dumps(metrics)


def test_more_folds_than_recordings_are_refused(windows, tmp_path):
    with pytest.raises(SettingsError, match=r"train\.num_folds = 13: there are only 12 recordings"):
        trained(windows, tmp_path, num_folds=13)


def test_last_epochs_are_kept_as_models_of_their_own(windows, tmp_path):
    kept = trained(windows, tmp_path, epochs=3, save_last_n=2)
    assert list(kept.models) == ["-e2", ""]
    assert [model.description.training["epochs"] for model in kept.models.values()] == [2, 3]
    alone = trained(windows, tmp_path / "alone", epochs=3)
    assert torch.equal(kept.model.head.classifier.weight, alone.model.head.classifier.weight)
    assert not torch.equal(kept.models["-e2"].head.classifier.weight, alone.model.head.classifier.weight)


def test_more_epochs_than_there_are_cannot_be_kept(windows, tmp_path):
    assert list(trained(windows, tmp_path, epochs=2, epoch_windows=0, save_last_n=5).models) == ["-e1", ""]


def test_averaged_model_is_the_mean_of_its_epochs_with_statistics_of_its_own(windows, tmp_path):
    single = trained(windows, tmp_path / "single", epochs=3, save_last_n=2)
    averaged = trained(windows, tmp_path / "averaged", epochs=3, average_last_n=2)
    assert single.epochs == averaged.epochs
    first, second = (model.state_dict() for model in single.models.values())
    for name, tensor in averaged.model.named_parameters():
        torch.testing.assert_close(tensor.detach(), (first[name] + second[name]) / 2)
    means = {name: (first[name] + second[name]) / 2 for name in first if name.endswith("running_mean")}
    state = averaged.model.state_dict()
    assert any(not torch.allclose(state[name], mean, rtol=1e-3) for name, mean in means.items())
    assert averaged.metrics["val_macro_pr_auc"] > 0.9
    assert averaged.metrics["val_loss"] != averaged.epochs[-1]["val_loss"]


def test_average_of_weights_is_their_mean_and_counters_are_the_last():
    a = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)}
    b = {"w": torch.tensor([2.0, 6.0]), "n": torch.tensor(5)}
    assert average_weights([a, b])["w"].tolist() == [1.5, 4.0]
    assert average_weights([a, b])["n"] == 5


def test_thresholds_have_the_wanted_precision_on_the_windows_that_validated(windows, tmp_path):
    settings = with_settings(epochs=1, threshold_precision=0.9, val_fraction=0.4)
    outcome = train(windows, settings, tmp_path / "state", "a")
    thresholds = outcome.description.calibration.thresholds
    task = make_tasks(windows, settings)[0][0]
    fabric = Fabric(accelerator="cpu", devices=1)
    scores = window_logits(fabric, outcome.model, windows, task.validating, settings).sigmoid().numpy()
    unreached = {problem.subject for problem in outcome.problems}
    assert set(thresholds) | unreached == {"high", "low", "mid"}
    assert thresholds
    for name, threshold in thresholds.items():
        column = outcome.description.class_names.index(name)
        assert threshold in scores[:, column].tolist()
        assert precision_score(task.truth[:, column], scores[:, column] >= threshold) >= 0.9


def test_folds_share_the_thresholds_of_all_their_windows(everything):
    calibrations = [model.description.calibration for model in everything.models.values()]
    assert calibrations[0].thresholds
    assert all(calibration == calibrations[0] for calibration in calibrations)


def test_thresholds_without_windows_that_validate_are_refused_before_any_epoch(windows):
    with pytest.raises(SettingsError, match=r"train\.threshold_precision = 0\.9: no window validates"):
        make_tasks(windows, with_settings(val_fraction=0.0, threshold_precision=0.9))


def test_fold_that_validates_nothing_is_a_problem(folder, tmp_path):
    """Two recordings with the same class, and two that are the only ones with theirs."""
    shutil.copytree(folder / "recordings", tmp_path / "set/recordings")
    rows = "r00,low,0,3\nr01,low,0,3\nr02,mid,0,3\nr03,high,0,3\n"
    (tmp_path / "set/annotations.csv").write_text(f"recording,class,start_time,end_time\n{rows}")
    extract_folder(tmp_path / "set", tmp_path / "few.db")
    tasks, problems = make_tasks(StoredWindows(tmp_path / "few.db"), with_settings(num_folds=4))
    expected = {f"fold {task.fold}" for task in tasks if not len(task.validating)}
    assert expected
    assert {problem.subject for problem in problems} == expected | {"mid", "high"}


def test_noise_class_is_background_and_not_recognized(windows, everything):
    settings = with_settings(noise_class="low", val_fraction=0.0)
    [task], _ = make_tasks(windows, settings)
    column = list(windows.classes["name"]).index("low")
    alone = windows.labels[:, column] & (windows.labels.sum(axis=1) == 1)
    assert np.array_equal(task.noise, alone) and alone.any()
    assert set(np.flatnonzero(alone)) <= set(task.background)
    assert task.describe(1).class_names == ["high", "mid"]
    assert everything.description.class_names == ["high", "mid"]


def test_windows_of_noise_never_get_labels_of_others(windows):
    settings = with_settings(noise_class="low", mixup=1.0)
    [task], _ = make_tasks(windows, settings)
    learner = Learner(task)
    n_noise = n_mixed = 0
    for batch, (_, y) in zip(task.order(0), learner.batches(0), strict=True):
        n_noise += task.noise[batch].sum()
        assert not y[torch.from_numpy(task.noise[batch])].any()
        n_mixed += int((y.sum(dim=1) > 1).sum())
    assert n_noise and n_mixed


def test_unknown_noise_class_names_close_ones(windows, tmp_path):
    with pytest.raises(SettingsError, match=r"train\.noise_class = 'lo': .* no such class; low"):
        trained(windows, tmp_path, noise_class="lo")


def pulls(windows, **changes) -> torch.Tensor:
    """How strongly, and which way, the first batch pulls at the scores of each class: gradients of the biases."""
    learner = learner_of(windows, **changes)
    x, y = next(learner.batches(0))
    learner.step(x, y, 0.0)
    return learner.model.module.head.classifier.bias.grad


def test_rare_classes_pull_as_much_more_as_they_are_rarer(windows):
    [task], _ = make_tasks(windows, with_settings())
    counts = torch.from_numpy(task.windows.labels[task.training].sum(axis=0))
    assert counts.unique().numel() > 1
    ratios = pulls(windows, class_weight_exponent=1.0) / pulls(windows)
    torch.testing.assert_close(ratios, counts.float().mean() / counts, rtol=1e-4, atol=0)


def test_smoothing_pulls_scores_of_present_classes_down_and_of_absent_ones_up(windows, tmp_path):
    assert (pulls(windows, pos_label_smoothing=0.2) > pulls(windows)).all()
    assert (pulls(windows, neg_label_smoothing=0.2) < pulls(windows)).all()
    every = np.arange(len(windows.labels))
    settings, fabric = with_settings(), Fabric(accelerator="cpu", devices=1)
    means = {}
    for name in ("no", "pos", "neg"):
        changes = {} if name == "no" else {f"{name}_label_smoothing": 0.3}
        model = trained(windows, tmp_path / name, **changes).model
        scores = window_logits(fabric, model, windows, every, settings).sigmoid().numpy()
        means[name] = scores[windows.labels].mean(), scores[~windows.labels].mean()
    assert means["pos"][0] < means["no"][0] - 0.1
    assert means["neg"][1] > means["no"][1] + 0.1


@pytest.fixture
def known(tmp_path):
    """A model of other classes, two of which the windows have."""
    path = tmp_path / "known.pt"
    return path, save_random_model(path, AUDIO, ["mid", "none", "high"])


def learner_of(windows, **changes):
    return Learner(make_tasks(windows, with_settings(**changes))[0][0])


def test_training_starts_from_backbone_and_shared_classes_of_another_model(windows, known):
    path, model = known
    started = learner_of(windows, load_checkpoint=str(path)).model.module
    for name, tensor in model.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(started.state_dict()[name], tensor)
    for row, other in ((0, 2), (2, 0)):  # high, mid of: high, low, mid
        assert torch.equal(started.head.classifier.weight[row], model.head.classifier.weight[other])
        assert torch.equal(started.head.classifier.bias[row], model.head.classifier.bias[other])
    assert not any(torch.equal(started.head.classifier.weight[1], row) for row in model.head.classifier.weight)


def test_description_tells_which_model_the_training_started_from(windows, known):
    [task], _ = make_tasks(windows, with_settings(load_checkpoint=str(known[0])))
    assert task.describe(1).training["load_checkpoint"] == digest_file(known[0])


def test_another_head_takes_over_the_backbone_alone(windows, known):
    path, model = known
    started = learner_of(windows, load_checkpoint=str(path), head="sed").model.module
    assert torch.equal(started.state_dict()["backbone.stem.0.weight"], model.state_dict()["backbone.stem.0.weight"])
    assert not torch.equal(started.head.classifier.weight[0], model.head.classifier.weight[2])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"audio": AUDIO.model_copy(update={"top_db": 60.0})}, r"takes other spectrograms \(top_db 60.0 instead"),
        ({"backbone": "mobilenetv3_small_050"}, "its backbone is mobilenetv3_small_050; set train.backbone"),
    ],
)
def test_model_that_does_not_fit_is_refused_in_one_line(windows, tmp_path, changes, match):
    path = tmp_path / "other.pt"
    audio = changes.pop("audio", AUDIO)
    save_random_model(path, audio, **changes)
    with pytest.raises(SettingsError, match=match) as caught:
        learner_of(windows, load_checkpoint=str(path))
    assert "\n" not in str(caught.value)


def test_missing_model_to_start_from_is_named(windows, tmp_path):
    with pytest.raises(EarshotError, match=r"train\.load_checkpoint = '.*none\.pt': no such file"):
        learner_of(windows, load_checkpoint=str(tmp_path / "none.pt"))


def test_frozen_backbone_keeps_its_weights_and_statistics(windows, known, tmp_path):
    path, model = known
    outcome = trained(windows, tmp_path, epochs=2, average_last_n=2, load_checkpoint=str(path), freeze_backbone=True)
    state = outcome.model.state_dict()
    for name, tensor in model.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(state[name], tensor), name
    assert not torch.equal(state["head.classifier.weight"][0], model.head.classifier.weight[2])


def test_random_backbone_is_not_frozen(windows, tmp_path):
    with pytest.raises(SettingsError, match=r"train\.freeze_backbone = True: .*set train\.load_checkpoint"):
        trained(windows, tmp_path, freeze_backbone=True)


def test_saved_models_replace_those_of_an_earlier_training_and_nothing_else(everything, windows, tmp_path):
    path = tmp_path / "models/model.pt"
    save_models(path, everything)
    mine = save_random_model(path.with_name("model-mine.pt"), AUDIO)
    outcome = trained(windows, tmp_path, epochs=1, epoch_windows=0)
    assert save_models(path, outcome) == [path]
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "model-mine.json",
        "model-mine.pt",
        "model.json",
        "model.pt",
    ]
    assert load_checkpoint(path)[1] == outcome.description
    save_checkpoint(path, mine, mine.description)


def test_training_computes_with_the_precision_that_is_set(windows):
    (task,), _ = make_tasks(windows, with_settings(precision="bf16"))
    learner, seen = Learner(task), []
    learner.model.module.backbone.register_forward_hook(lambda module, x, features: seen.append(features.dtype))
    x, y = next(learner.batches(0))
    learner.step(x, y, 0.001)
    assert seen == [torch.bfloat16]


def test_models_are_kept_on_the_cpu(windows, tmp_path):
    """Where there is a GPU, they are trained there."""
    outcome = trained(windows, tmp_path, epochs=2, epoch_windows=0, save_last_n=2, device="auto")
    devices = {tensor.device.type for model in outcome.models.values() for tensor in model.state_dict().values()}
    assert devices == {"cpu"}

"""Trainings as a whole: each also interrupted, repeated, and with all options at once."""

import math
import shutil

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from sklearn.metrics import precision_score

from lib import Predictor, Trainer, get_config, load_from_checkpoint
from lib.core.devices import compute_threads
from lib.core.errors import EarshotError, SettingsError
from lib.models.checkpoints import load_checkpoint
from lib.models.score_scaling import SAME_SCORE
from lib.training.trainer import save_models, train_models
from lib.training.training_state import epochs_done, remove_state
from lib.training.training_tasks import make_tasks
from lib.training.validation import over_folds, window_logits
from lib.training_data.stored_windows import StoredWindows
from tests.models.builders import save_random_model
from tests.training.builders import QUICK, Killed, assert_same, kill_after, trained, with_settings
from tests.training_data.builders import AUDIO, extract_folder, write_data_set

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


@pytest.fixture(scope="module")
def outcome(windows, tmp_path_factory):
    return trained(windows, tmp_path_factory.mktemp("outcome"))


@pytest.fixture(scope="module")
def everything(windows, tmp_path_factory):
    return trained(windows, tmp_path_factory.mktemp("everything"), **EVERYTHING)


def weights(outcome):
    return outcome.model.head.classifier.weight


def test_tones_of_different_pitch_are_learnt(outcome):
    assert outcome.epochs[-1]["val_macro_pr_auc"] > 0.97
    assert outcome.epochs[-1]["val_loss"] < outcome.epochs[0]["val_loss"]
    assert [row["epoch"] for row in outcome.epochs] == [1, 2, 3, 4]
    assert outcome.metrics == outcome.epochs[-1] | {"windows": outcome.description.training["windows"]}
    assert outcome.problems == []


def test_a_model_depends_on_its_setting_of_threads_and_on_no_other_state_of_the_process(windows, tmp_path):
    outcomes = []
    for threads in (1, 3):
        with compute_threads(threads):
            torch.manual_seed(threads)
            state, before = torch.get_rng_state(), torch.get_num_threads()
            (tmp_path / str(threads)).mkdir()
            outcomes.append(trained(windows, tmp_path / str(threads), epochs=1))
            assert torch.get_num_threads() == before and torch.equal(torch.get_rng_state(), state)
    for outcome in outcomes[1:]:
        assert_same(outcomes[0], outcome)


def test_sed_head_learns_tones_and_gives_frames(windows, tmp_path):
    outcome = trained(windows, tmp_path, head="sed", sed_fps=20.0)
    assert outcome.metrics["val_macro_pr_auc"] > 0.95
    assert (outcome.description.head, outcome.description.sed_fps) == ("sed", 20.0)
    x = torch.from_numpy(windows.spectrograms(np.arange(5))).float() / 255
    assert outcome.model.forward_frames(x)[1].shape == (5, 3, 10)


def test_single_label_training_learns_without_background(windows, tmp_path):
    single = trained(windows, tmp_path, multi_label=False)
    assert single.epochs[-1]["val_macro_pr_auc"] > 0.97
    assert not single.description.multi_label
    counts = single.description.training
    assert counts["windows"] + counts["validation_windows"] == windows.labels.any(axis=1).sum()


def test_training_without_validation_and_with_one_window_works(folder, tmp_path):
    shutil.copytree(folder / "recordings", tmp_path / "set/recordings")
    (tmp_path / "set/annotations.csv").write_text("recording,class,start_time,end_time\nr00,low,1.0,1.2\n")
    extract_folder(tmp_path / "set", tmp_path / "one.db", background=0.0)
    outcome = trained(StoredWindows(tmp_path / "one.db"), tmp_path, epochs=1, val_fraction=0.0, epoch_windows=0)
    assert "val_loss" not in outcome.epochs[0]
    assert math.isfinite(outcome.epochs[0]["train_loss"])


def test_one_class_is_validated_too(tmp_path):
    extract_folder(write_data_set(tmp_path / "set", 4, classes=("low",)), tmp_path / "one.db")
    outcome = trained(StoredWindows(tmp_path / "one.db"), tmp_path, epochs=1)
    assert 0 <= outcome.epochs[0]["val_macro_pr_auc"] <= 1


def test_same_seed_gives_the_same_weights_and_workers_do_not_matter(windows, outcome, tmp_path):
    assert_same(outcome, trained(windows, tmp_path, workers=1))


def test_other_seed_gives_other_weights(windows, outcome, tmp_path):
    assert not torch.equal(weights(trained(windows, tmp_path, seed=2, epochs=1)), weights(outcome))


def test_interrupted_training_resumes_where_it_was_and_ends_the_same(windows, outcome, tmp_path):
    state = tmp_path / "state"
    kill_after(windows, state, "a", 2)
    assert epochs_done(state, "a") == 2
    content = torch.load(state, weights_only=True)
    content["epochs"][0]["train_loss"] = 123.0  # to see that these epochs are not repeated
    torch.save(content, state)
    reported = []
    resumed = train_models(windows, QUICK, state, "a", lambda epoch, row: reported.append((epoch, row["train_loss"])))
    assert reported[0] == (1, 123.0)
    assert [epoch for epoch, _ in reported] == [1, 2, 3, 4]
    resumed.epochs[0]["train_loss"] = outcome.epochs[0]["train_loss"]
    assert_same(outcome, resumed)


def test_training_does_not_resume_from_a_state_of_other_data_or_settings(windows, outcome, tmp_path):
    kill_after(windows, tmp_path / "state", "others", 1, with_settings(seed=5))
    assert epochs_done(tmp_path / "state", "a") == 0
    assert_same(outcome, trained(windows, tmp_path))


@pytest.mark.parametrize("step", [1, 4, 6])
def test_interrupted_training_with_every_option_ends_the_same(windows, everything, tmp_path, step):
    kill_after(windows, tmp_path / "state", "a", step, with_settings(**EVERYTHING))
    assert epochs_done(tmp_path / "state", "a") == step
    assert_same(everything, trained(windows, tmp_path, **EVERYTHING))
    remove_state(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_training_with_every_option_can_be_repeated_to_the_byte(windows, everything, tmp_path):
    again = trained(windows, tmp_path, **EVERYTHING)
    for folder, outcome in (("a", everything), ("b", again)):
        save_models(tmp_path / folder / "model.pt", outcome)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()} for folder in "ab")
    assert first == second
    assert {f"model{suffix}.pt" for suffix in ("-f1-e2", "-f1", "-f2-e2", "-f2")} < first.keys()


def test_folds_are_trained_on_other_recordings_and_told_apart(everything):
    assert [(row["fold"], row["epoch"]) for row in everything.epochs] == [(f, e) for f in (1, 2) for e in (1, 2, 3)]
    models = everything.models
    assert [models[f"-f{fold}"].description.training["fold"] for fold in (1, 2)] == [1, 2]
    assert everything.description.class_names == ["high", "mid"]
    assert not torch.equal(*(models[name].head.classifier.weight for name in ("-f1", "-f2")))


def test_epochs_and_figures_are_those_of_all_folds(windows, tmp_path):
    steps, settings = [], with_settings(num_folds=3, epochs=1, epoch_windows=0)
    outcome = train_models(windows, settings, tmp_path / "state", "a", lambda *epoch: steps.append(epoch))
    assert [(step, row["fold"], row["epoch"]) for step, row in steps] == [(1, 1, 1), (2, 2, 1), (3, 3, 1)]
    validated = [{key: row[key] for key in row if key.startswith("val_")} for row in outcome.epochs]
    assert outcome.metrics == pytest.approx({"folds": 3} | over_folds(validated), abs=5e-6)


def test_last_epochs_are_kept_as_models_of_their_own(windows, tmp_path):
    kept = trained(windows, tmp_path, epochs=3, save_last_n=2)
    assert list(kept.models) == ["-e2", ""]
    assert [model.description.training["epochs"] for model in kept.models.values()] == [2, 3]
    alone = trained(windows, tmp_path / "alone", epochs=3)
    assert torch.equal(weights(kept), weights(alone))
    assert not torch.equal(kept.models["-e2"].head.classifier.weight, weights(alone))


def test_no_more_epochs_are_kept_than_there_are(windows, tmp_path):
    assert list(trained(windows, tmp_path, epochs=2, epoch_windows=0, save_last_n=5).models) == ["-e1", ""]


def test_thresholds_have_the_wanted_precision_on_the_windows_that_validated(windows, tmp_path):
    settings = with_settings(epochs=1, threshold_precision=0.9, val_fraction=0.4)
    outcome = train_models(windows, settings, tmp_path / "state", "a")
    thresholds = outcome.description.calibration.thresholds
    task = make_tasks(windows, settings)[0][0]
    fabric = Fabric(accelerator="cpu", devices=1)
    scores = window_logits(fabric, outcome.model, windows, task.validating, settings).sigmoid().numpy()
    unreached = {problem.subject for problem in outcome.problems}
    assert set(thresholds) | unreached == {"high", "low", "mid"}
    assert thresholds
    for name, threshold in thresholds.items():
        column = outcome.description.class_names.index(name)
        assert np.abs(scores[:, column] - threshold).min() < SAME_SCORE
        assert precision_score(task.truth[:, column], scores[:, column] >= threshold - SAME_SCORE) >= 0.9


def test_folds_share_the_thresholds_of_all_their_windows(everything):
    calibrations = [model.description.calibration for model in everything.models.values()]
    assert calibrations[0].thresholds
    assert all(calibration == calibrations[0] for calibration in calibrations)


def test_saved_models_replace_those_of_an_earlier_training_and_nothing_else(everything, outcome, tmp_path):
    path = tmp_path / "models/model.pt"
    save_models(path, everything)
    save_random_model(path.with_name("model-mine.pt"), AUDIO)
    assert save_models(path, outcome) == [path]
    names = ["model-mine.json", "model-mine.pt", "model.json", "model.pt"]
    assert sorted(p.name for p in path.parent.iterdir()) == names
    assert load_checkpoint(path)[1] == outcome.description


def test_models_are_kept_on_the_cpu(windows, tmp_path):
    """Where there is a GPU, they are trained there."""
    outcome = trained(windows, tmp_path, epochs=2, epoch_windows=0, save_last_n=2, device="auto")
    devices = {tensor.device.type for model in outcome.models.values() for tensor in model.state_dict().values()}
    assert devices == {"cpu"}


@pytest.fixture
def trainer(folder, tmp_path):
    """A function that makes a Trainer of quick settings, with those that are given."""

    def make(prefix=None, database=folder / "training.db", **changes):
        cfg = get_config()
        cfg.train = with_settings(**{"epochs": 2, "epoch_windows": 0} | changes)
        return Trainer(prefix, cfg=cfg, database=database, output=tmp_path / "models")

    return make


def test_trainer_writes_checkpoints_that_can_be_used(trainer, tmp_path):
    paths = trainer(save_last_n=2).run()
    assert paths == [tmp_path / "models/model-e1.pt", tmp_path / "models/model.pt"]
    assert load_from_checkpoint(str(paths[0])).train_class_names == ["high", "low", "mid"]
    assert sorted(p.stem for p in (tmp_path / "models").iterdir()) == 2 * ["model"] + 2 * ["model-e1"]
    assert Predictor(tmp_path / "models").description.class_names == ["high", "low", "mid"]


def test_prefix_begins_the_names_of_checkpoints(trainer):
    paths = [*trainer("first", num_folds=2, save_last_n=2).run(), *trainer("second").run()]
    names = ["first-model-f1-e1", "first-model-f1", "first-model-f2-e1", "first-model-f2", "second-model"]
    assert [path.stem for path in paths] == names
    assert all(path.is_file() for path in paths)


def test_interrupted_run_of_a_trainer_resumes(trainer, tmp_path, monkeypatch):
    complete = trainer("a").run()[0].read_bytes()

    def stop(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("lib.training.trainer.save_models", stop)
        with pytest.raises(Killed):
            trainer("b").run()
    states = list(tmp_path.glob(".models-b-model-state*"))
    assert len(states) == 1
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["a-model.json", "a-model.pt"]
    assert trainer("b").run()[0].read_bytes() == complete
    assert not states[0].exists()


def test_problems_of_the_data_are_shown(folder, trainer, tmp_path, capsys):
    shutil.copytree(folder / "recordings", tmp_path / "set/recordings")
    (tmp_path / "set/annotations.csv").write_text((folder / "annotations.csv").read_text() + "r00,rare,0.0,3.0\n")
    extract_folder(tmp_path / "set", tmp_path / "rare.db")
    trainer(database=tmp_path / "rare.db", epochs=1).run()
    assert "warning: rare: only one recording has this class; add recordings" in capsys.readouterr().err


def test_settings_and_database_of_a_trainer_are_checked(folder, tmp_path):
    cfg = get_config()
    cfg.train = QUICK.model_copy(update={"epochs": 0})
    with pytest.raises(SettingsError, match="epochs = 0"):
        Trainer(cfg=cfg, database=folder / "training.db", output=tmp_path)
    with pytest.raises(EarshotError, match=r"none\.db: no such file"):
        Trainer(database=tmp_path / "none.db", output=tmp_path).run()


def test_defaults_of_a_trainer_are_those_of_the_project():
    trainer = Trainer()
    assert str(trainer.database) == "data/training.db"
    assert str(trainer.path) == "data/models/model.pt"
    assert trainer.settings == get_config().train

"""Trainings as a whole: each also interrupted, repeated, and with all options at once."""

import math
import shutil
from concurrent.futures import ThreadPoolExecutor

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
from lib.training.training_loop import Learner
from lib.training.training_state import epochs_done, remove_state
from lib.training.training_tasks import QUICK_WINDOWS, make_tasks
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
    assert outcome.epochs[-1]["val_macro_pr"] > 0.97
    assert outcome.epochs[-1]["val_loss"] < outcome.epochs[0]["val_loss"]
    assert [row["epoch"] for row in outcome.epochs] == [1, 2, 3, 4]
    assert outcome.metrics == outcome.epochs[-1] | {"windows": outcome.description.training["windows"]}
    assert outcome.problems == []


def test_trainings_in_threads_of_one_process_give_the_models_that_each_gives_alone(windows, tmp_path):
    def train(seed: int):
        (tmp_path / str(seed)).mkdir(exist_ok=True)
        return trained(windows, tmp_path / str(seed), epochs=1, seed=seed)

    alone = [train(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(train, (1, 2)))
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


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
    assert outcome.metrics["val_macro_pr"] > 0.95
    assert (outcome.description.head, outcome.description.sed_fps) == ("sed", 20.0)
    x = torch.from_numpy(windows.spectrograms(np.arange(5))).float() / 255
    assert outcome.model.forward_frames(x)[1].shape == (5, 3, 10)


def test_single_label_training_learns_without_background(windows, tmp_path):
    single = trained(windows, tmp_path, multi_label=False)
    assert single.epochs[-1]["val_macro_pr"] > 0.97
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
    assert 0 <= outcome.epochs[0]["val_macro_pr"] <= 1


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


@pytest.mark.parametrize("num_folds", [1, 2])
def test_a_training_that_found_its_learning_rate_resumes_with_it(windows, tmp_path, num_folds):
    state = tmp_path / "state"
    settings = with_settings(learning_rate="auto", schedule="constant", epochs=2, num_folds=num_folds)
    kill_after(windows, state, "a", 1, settings)
    content = torch.load(state, weights_only=True)
    torch.save(content | {"learning_rate": content["learning_rate"] / 2}, state)  # to see that it is not sought again
    first, *others = [row["learning_rate"] for row in train_models(windows, settings, state, "a").epochs]
    assert first == round(content["learning_rate"], 6) and others == [round(content["learning_rate"] / 2, 6)] * len(
        others
    )
    remove_state(state)
    assert not list(tmp_path.iterdir())


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
    result = trainer(save_last_n=2).run()
    paths = result.paths
    assert list(result.epochs["epoch"]) == [1, 2]
    assert result.metrics["val_macro_pr"] == pytest.approx(result.epochs["val_macro_pr"].iloc[-1], abs=1e-5)
    for path, model in zip(paths, result.models, strict=True):
        kept = load_from_checkpoint(str(path)).state_dict()
        assert all(torch.equal(value, kept[name].cpu()) for name, value in model.state_dict().items())
    assert paths == [tmp_path / "models/model-e1.pt", tmp_path / "models/model.pt"]
    assert load_from_checkpoint(str(paths[0])).train_class_names == ["high", "low", "mid"]
    assert sorted(p.stem for p in (tmp_path / "models").iterdir()) == 2 * ["model"] + 2 * ["model-e1"]
    assert Predictor(tmp_path / "models").description.class_names == ["high", "low", "mid"]


def test_prefix_begins_the_names_of_checkpoints(trainer):
    paths = [*trainer("first", num_folds=2, save_last_n=2).run().paths, *trainer("second").run().paths]
    names = ["first-model-f1-e1", "first-model-f1", "first-model-f2-e1", "first-model-f2", "second-model"]
    assert [path.stem for path in paths] == names
    assert all(path.is_file() for path in paths)


def test_interrupted_run_of_a_trainer_resumes(trainer, tmp_path, monkeypatch):
    complete = trainer("a").run().paths[0].read_bytes()

    def stop(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("lib.training.trainer.save_models", stop)
        with pytest.raises(Killed):
            trainer("b").run()
    states = list(tmp_path.glob(".models-b-model-state*"))
    assert len(states) == 1
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["a-model.json", "a-model.pt"]
    assert trainer("b").run().paths[0].read_bytes() == complete
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


def test_the_best_epoch_is_kept_and_training_ends_when_none_is_better(windows, tmp_path):
    changes = {"epochs": 12, "learning_rate": 0.03, "schedule": "constant", "metric": "val_macro_pr"}
    outcome = trained(windows, tmp_path, keep="best", stop_after=2, **changes)
    figures = [row["val_macro_pr"] for row in outcome.epochs]
    best = figures.index(max(figures)) + 1
    assert len(figures) == min(12, best + 2)
    assert list(outcome.models) == [""] and outcome.description.training["epochs"] == best
    assert outcome.metrics["epoch"] == best and outcome.metrics["val_macro_pr"] == pytest.approx(max(figures), abs=2e-6)


def test_attention_is_learnt_with_adam_and_the_best_epoch_by_f1_is_kept(windows, tmp_path):
    changes = {"head": "attention", "optimizer": "adam", "metric": "val_f1", "learning_rate": 0.01}
    outcome = trained(windows, tmp_path, keep="best", **changes)
    figures = [row["val_f1"] for row in outcome.epochs]
    assert max(figures) > 0.9 and outcome.metrics["val_f1"] == pytest.approx(max(figures), abs=2e-6)
    assert outcome.metrics["epoch"] == figures.index(max(figures)) + 1
    assert outcome.description.head == "attention"


@pytest.mark.parametrize(
    "changes",
    [
        {"keep": "best", "stop_after": 1, "schedule": "plateau", "plateau_epochs": 1, "metric": "val_hamming"},
        {"stop_after": 2, "save_last_n": 2, "average_last_n": 2, "learning_rate": 0.1, "schedule": "constant"},
        {
            "head_epochs": 2,
            "backbone_after": "blocks.1",
            "load_checkpoint": "known.pt",
            "schedule": "one_cycle",
            "average_last_n": 2,
            "save_last_n": 2,
        },
        {"learning_rate": "auto"},
    ],
)
def test_a_training_with_each_option_resumes_to_the_same_models(windows, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    save_random_model(tmp_path / "known.pt", AUDIO)
    settings = with_settings(**changes)
    complete = train_models(windows, settings, tmp_path / "complete", "f")
    n_epochs = len(complete.epochs)
    kill_after(windows, tmp_path / "state", "f", max(1, n_epochs - 1), settings)
    assert_same(train_models(windows, settings, tmp_path / "state", "f"), complete)
    kill_after(windows, tmp_path / "over", "f", n_epochs, settings)  # when nothing is left but to finish
    assert_same(train_models(windows, settings, tmp_path / "over", "f"), complete)


def test_a_quick_training_shows_few_windows_once_and_has_every_option(windows, everything, tmp_path):
    quick = trained(windows, tmp_path, **EVERYTHING, quick=True)
    assert list(quick.models) == list(everything.models)
    counts = quick.description.training
    assert (
        counts["windows"] <= 3 * QUICK_WINDOWS < everything.description.training["windows"]
    )  # two classes, background
    assert 0 < counts["validation_windows"] <= 3 * QUICK_WINDOWS
    task = make_tasks(windows, with_settings(quick=True))[0][0]
    assert sum(map(len, task.order(0))) == len(task.training) <= 4 * QUICK_WINDOWS


class StopAfter:
    """Asks a training to stop once it was asked about so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def stopped(windows, folder, batches, **changes):
    return train_models(windows, with_settings(**changes), folder / "state", "a", is_stopped=StopAfter(batches))


def asked_in(epochs: float) -> int:
    """How often it is asked whether to stop in so many epochs: before each epoch, and before each of its 10 batches."""
    return int(11 * epochs)


def test_a_training_that_is_stopped_gives_the_best_epoch_so_far_and_resumes_to_the_same_end(windows, outcome, tmp_path):
    metric = {"metric": "val_loss", "metric_mode": "max"}  # the first epoch is the best
    alone = trained(windows, tmp_path / "alone", **metric)
    assert alone.is_complete
    part = stopped(windows, tmp_path, asked_in(2.5), **metric)
    assert not part.is_complete and part.epochs == alone.epochs[:2] and list(part.models) == [""]
    assert part.description.training["epochs"] == 1 and part.description.training["interrupted"]
    assert part.metrics["epoch"] == 1 and part.metrics["val_loss"] == pytest.approx(
        part.epochs[0]["val_loss"], abs=2e-6
    )
    first = trained(windows, tmp_path / "first", keep="best", **metric)
    assert torch.equal(weights(part), weights(first))
    assert_same(alone, trained(windows, tmp_path, **metric))
    assert "interrupted" not in alone.description.training


@pytest.mark.parametrize(("epochs", "models"), [(2.5, ["-f1"]), (4.9, ["-f1-e2", "-f1", "-f2"])])
def test_a_stopped_training_with_every_option_gives_what_is_complete_and_resumes(
    windows, everything, tmp_path, epochs, models
):
    part = stopped(windows, tmp_path, asked_in(epochs) + (epochs >= 3), **EVERYTHING)
    assert list(part.models) == models and not part.is_complete
    assert part.metrics["folds"] == len({name[:3] for name in models})
    assert len(part.epochs) == epochs_done(tmp_path / "state", "a") == int(epochs)
    save_models(tmp_path / "models/model.pt", part)
    assert Predictor(tmp_path / "models").class_names == ["high", "mid"]
    assert_same(everything, trained(windows, tmp_path, **EVERYTHING))


def test_a_training_that_is_stopped_without_validation_gives_its_last_epoch(windows, tmp_path):
    part = stopped(windows, tmp_path, asked_in(3.5), val_fraction=0.0)
    assert part.description.training["epochs"] == 3 == len(part.epochs)


def test_a_training_that_is_stopped_in_its_first_epoch_has_no_model(windows, tmp_path):
    with pytest.raises(EarshotError, match="stopped before an epoch was complete"):
        stopped(windows, tmp_path, asked_in(0.5))


def test_a_training_is_stopped_while_it_seeks_its_learning_rate(windows, tmp_path):
    with pytest.raises(EarshotError, match="stopped before it had found a learning rate"):
        stopped(windows, tmp_path, 5, learning_rate="auto")
    assert not list(tmp_path.iterdir())


def test_a_training_that_is_stopped_between_folds_marks_all_its_models(windows, tmp_path):
    part = stopped(windows, tmp_path, asked_in(4) + 3, num_folds=2)
    assert list(part.models) == ["-f1"] and not part.is_complete
    assert part.description.training["interrupted"]


def test_a_stopped_training_reads_no_batch_that_it_does_not_learn(windows, tmp_path, monkeypatch):
    n_read, batches = [], Learner.batches

    def counted(self, epoch):
        for batch in batches(self, epoch):
            n_read.append(epoch)
            yield batch

    monkeypatch.setattr(Learner, "batches", counted)
    stopped(windows, tmp_path, asked_in(1) + 4)
    assert n_read == [0] * 10 + [1] * 3

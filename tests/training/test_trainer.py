import math
import shutil

import numpy as np
import pytest
import torch

from lib.database.stored_windows import StoredWindows
from lib.errors import EarshotError
from lib.training.loop import learning_rate
from lib.training.state import epochs_done
from lib.training.trainer import train
from lib.training.validation import figures
from tests.database.builders import AUDIO, extract_folder, write_data_set
from tests.training.builders import QUICK, assert_same, kill_after, with_settings


@pytest.fixture(scope="module")
def outcome(windows, tmp_path_factory):
    return train(windows, QUICK, tmp_path_factory.mktemp("state") / "state", "a")


def weights(outcome):
    return outcome.model.state_dict()


def test_tones_of_different_pitch_are_learnt(outcome):
    assert outcome.epochs[-1]["val_macro_pr_auc"] > 0.97
    assert outcome.epochs[-1]["val_loss"] < outcome.epochs[0]["val_loss"]
    assert [row["epoch"] for row in outcome.epochs] == [1, 2, 3, 4]
    assert outcome.problems == []


def test_description_tells_what_the_model_takes_and_gives(outcome, windows):
    description = outcome.description
    assert description.class_names == ["high", "low", "mid"]
    assert description.audio == AUDIO
    assert description.multi_label
    counts = description.training
    assert counts["windows"] + counts["validation_windows"] == len(windows)
    assert 0.1 < counts["validation_windows"] / len(windows) < 0.4


def test_same_seed_gives_the_same_weights_and_workers_do_not_matter(windows, outcome, tmp_path):
    assert_same(outcome, train(windows, with_settings(workers=1), tmp_path / "state", "b"))


def test_other_seed_gives_other_weights(windows, outcome, tmp_path):
    other = train(windows, with_settings(seed=2, epochs=1), tmp_path / "state", "b")
    assert not torch.equal(weights(other)["head.classifier.weight"], weights(outcome)["head.classifier.weight"])


def test_killed_training_goes_on_where_it_was_and_ends_the_same(windows, outcome, tmp_path):
    state = tmp_path / "state"
    kill_after(windows, state, "a", 2)
    assert epochs_done(state, "a") == 2
    content = torch.load(state, weights_only=True)
    content["epochs"][0]["train_loss"] = 123.0  # to see that these epochs are not done again
    torch.save(content, state)
    told = []
    resumed = train(windows, QUICK, state, "a", lambda epoch, row: told.append((epoch, row["train_loss"])))
    assert told[0] == (1, 123.0)
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4]
    resumed.epochs[0]["train_loss"] = outcome.epochs[0]["train_loss"]
    assert_same(outcome, resumed)


def test_state_of_other_data_or_settings_is_not_taken_up(windows, outcome, tmp_path):
    state = tmp_path / "state"
    kill_after(windows, state, "others", 1, with_settings(seed=5))
    assert epochs_done(state, "a") == 0
    assert_same(outcome, train(windows, QUICK, state, "a"))


def test_damaged_state_is_not_taken_up(tmp_path):
    for content in (b"", b"\x80\x02nothing", b"PK\3\4"):
        (tmp_path / "state").write_bytes(content)
        assert epochs_done(tmp_path / "state", "a") == 0


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(step, 40, 0.01) for step in range(40)]  # rises over 0.15 * 40 = 6 steps
    assert rates[:6] == pytest.approx([0.01 * k / 6 for k in range(1, 7)])
    assert rates[6] == pytest.approx(0.01)
    assert rates[23] == pytest.approx(0.005)  # halfway between 6 and 40
    assert rates[39] == pytest.approx(0.01 * (1 + math.cos(math.pi * 33 / 34)) / 2)
    assert learning_rate(0, 1, 0.01) == pytest.approx(0.01)


def test_figures_of_a_single_label_rank_the_scores_of_a_softmax():
    logits = torch.tensor([[5.0, 9.0], [1.0, 0.0]])  # softmax of the first class: 0.02 and 0.73, though 5 is above 1
    row = figures(logits, np.array([[False, True], [True, False]]), multi_label=False)
    assert (row["val_macro_pr_auc"], row["val_macro_roc_auc"]) == (1.0, 1.0)
    assert figures(logits, np.array([[False, True], [True, False]]), multi_label=True)["val_macro_roc_auc"] == 0.5


def test_single_label_training_learns_without_background(windows, tmp_path):
    single = train(windows, with_settings(multi_label=False), tmp_path / "state", "a")
    assert single.epochs[-1]["val_macro_pr_auc"] > 0.97
    assert not single.description.multi_label
    counts = single.description.training
    assert counts["windows"] + counts["validation_windows"] == windows.labels.any(axis=1).sum()


def test_training_without_validation_and_with_one_window_works(folder, tmp_path):
    annotations = tmp_path / "set/annotations.csv"
    shutil.copytree(folder / "recordings", tmp_path / "set/recordings")
    annotations.write_text("recording,class,start_time,end_time\nr00,low,1.0,1.2\n")
    extract_folder(tmp_path / "set", tmp_path / "one.db", background=0.0)
    settings = with_settings(epochs=1, val_fraction=0.0, epoch_windows=0)
    outcome = train(StoredWindows(tmp_path / "one.db"), settings, tmp_path / "state", "a")
    assert "val_loss" not in outcome.epochs[0]
    assert math.isfinite(outcome.epochs[0]["train_loss"])


@pytest.mark.parametrize("val_fraction", [0.25, 0.0])
def test_training_that_diverges_is_one_clear_line_also_when_it_is_taken_up(windows, tmp_path, val_fraction):
    settings = with_settings(learning_rate=1e30, val_fraction=val_fraction)
    for _ in range(2):
        with pytest.raises(EarshotError, match=r"^training diverged in epoch 1 \(loss is nan\); lower") as caught:
            train(windows, settings, tmp_path / "state", "a")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("val_fraction", [0.25, 0.0])
def test_model_that_is_lost_in_its_last_step_is_not_taken_for_one(windows, tmp_path, val_fraction):
    one_step = {"epochs": 1, "epoch_windows": 0, "batch_size": 4096}
    settings = with_settings(learning_rate=1e36, val_fraction=val_fraction, **one_step)
    with pytest.raises(EarshotError, match=r"training diverged in epoch 1 \(scores are no numbers\)"):
        train(windows, settings, tmp_path / "state", "a")


def test_one_class_is_validated_too(tmp_path):
    folder = write_data_set(tmp_path / "set", 4, classes=("low",))
    extract_folder(folder, tmp_path / "one.db")
    windows = StoredWindows(tmp_path / "one.db")
    outcome = train(windows, with_settings(epochs=1), tmp_path / "state", "a")
    assert 0 <= outcome.epochs[0]["val_macro_pr_auc"] <= 1
    with pytest.raises(EarshotError, match=r"train\.multi_label = False: needs two classes"):
        train(windows, with_settings(multi_label=False), tmp_path / "state", "a")


@pytest.fixture
def odd_folder(folder, tmp_path):
    """A data set with a class that nothing has, and one that a single recording has, together with another."""
    shutil.copytree(folder / "recordings", tmp_path / "odd/recordings")
    text = (folder / "annotations.csv").read_text()
    (tmp_path / "odd/annotations.csv").write_text(f"{text}r00,rare,0.0,3.0\n")
    (tmp_path / "odd/classes.csv").write_text("name,code\nhigh,h\nlow,l\nmid,m\nnever,n\nrare,r\n")
    extract_folder(tmp_path / "odd", tmp_path / "odd.db")
    return StoredWindows(tmp_path / "odd.db")


def test_classes_that_cannot_be_learnt_or_judged_are_named(odd_folder, tmp_path):
    outcome = train(odd_folder, with_settings(epochs=1), tmp_path / "state", "a")
    problems = {problem.subject: problem for problem in outcome.problems}
    assert set(problems) == {"never", "rare"}
    assert problems["never"].lost and "no window" in problems["never"].reason
    assert not problems["rare"].lost and "only one recording" in problems["rare"].reason
    assert np.isfinite(outcome.epochs[0]["val_macro_pr_auc"])


def test_windows_of_two_classes_stop_single_label_training(odd_folder, tmp_path):
    with pytest.raises(EarshotError, match=r"train\.multi_label = False: \d+ windows have more than one class"):
        train(odd_folder, with_settings(multi_label=False), tmp_path / "state", "a")


def test_windows_without_any_class_stop_training(folder, tmp_path):
    shutil.copytree(folder / "recordings", tmp_path / "set/recordings")
    (tmp_path / "set/annotations.csv").write_text("recording,class,start_time,end_time\nr00,low,9.0,9.5\n")
    extract_folder(tmp_path / "set", tmp_path / "none.db")
    with pytest.raises(EarshotError, match="no window has a class"):
        train(StoredWindows(tmp_path / "none.db"), QUICK, tmp_path / "state", "a")

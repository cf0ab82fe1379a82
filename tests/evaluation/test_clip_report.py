import json
from functools import partial

import numpy as np
import pytest
from matplotlib import image

from lib.evaluation.clip_metrics import clip_figures
from lib.evaluation.clip_plots import (
    MOST_PANELS,
    plot_class_metrics,
    plot_class_pairs,
    plot_clip_roc,
    plot_metric_histograms,
)
from lib.evaluation.clip_report import _pair_files, write_pictures, write_predictions
from lib.evaluation.clips import Clips
from tests.memory import peak_memory


def make_clips(n: int, n_classes: int, seed: int = 1) -> Clips:
    rng = np.random.default_rng(seed)
    truth = rng.random((n, n_classes)) < 0.3
    scores = np.clip(0.5 * rng.random((n, n_classes)) + 0.4 * truth, 0, 1).astype(np.float32)
    return Clips([f"class {i}" for i in range(n_classes)], [f"clip {i}" for i in range(n)], truth, scores)


def shown(figure) -> list[str]:
    texts = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
    return [*texts, *(label.get_text() for axes in figure.axes for label in axes.get_yticklabels())]


@pytest.mark.parametrize("n_classes", [1, 3, 50])
def test_each_class_has_its_roc_and_its_figures(n_classes):
    clips = make_clips(60, n_classes)
    clips.truth[:, 0] = n_classes == 1
    roc, metrics = plot_clip_roc(clips), plot_class_metrics(clips, 0.5)
    for name in clips.classes:
        assert any(text.startswith(f"{name}\n") for text in shown(roc))
        assert any(text.startswith(f"{name} (") for text in shown(metrics))


def test_of_hundreds_of_classes_as_many_are_drawn_as_can_be_read():
    clips = make_clips(20, 200)
    assert sum("AUC" in text for text in shown(plot_clip_roc(clips))) == MOST_PANELS
    assert sum("class" in text for text in shown(plot_class_metrics(clips, 0.5))) == MOST_PANELS + 1  # and the title
    assert "the 59 classes that are found most often" in "".join(shown(plot_class_pairs(clips, "class 7", 0.5)))


def test_the_mean_f1_of_clips_in_the_picture_is_that_of_the_figures_also_with_clips_that_hold_nothing():
    truth = np.array([[1, 0], [1, 1], [0, 0], [0, 0]], bool)
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.1], [0.9, 0.1]], np.float32)
    figure = plot_metric_histograms(Clips(["a", "b"], list("1234"), truth, scores), 0.5)
    means = {axes.get_title(): axes.get_legend().get_texts()[0].get_text() for axes in figure.axes if axes.get_legend()}
    mean = (1 + 2 / 3 + 1 + 0) / 4
    assert clip_figures(truth, scores)["samples_f1"] == pytest.approx(mean)
    assert means["F1"] == f"mean {mean:.2f}" and means["Precision"] == "mean 0.75"


def test_the_matrix_of_a_pair_counts_clips_with_the_one_class_in_which_the_other_is_found():
    truth = np.array([[1, 0], [1, 1], [0, 0], [0, 0], [0, 0]], bool)
    scores = np.array([[0.9, 0.9], [0.1, 0.9], [0.9, 0.1], [0.1, 0.1], [0.1, 0.9]], np.float32)
    texts = shown(plot_class_pairs(Clips(["a", "b"], list("12345"), truth, scores), "a", 0.5))
    assert texts[:10] == ["1", "1", "1", "2", "a", "2", "0", "1", "2", "b"]


def test_confusion_counts_what_is_found_though_it_is_absent_beside_the_diagonal():
    truth, scores = np.array([[1, 0], [1, 1], [0, 0]], bool), np.array([[0.9, 0.9], [0.1, 0.9], [0.1, 0.9]], np.float32)
    confusion = Clips(["a", "b"], list("123"), truth, scores).confusion(0.5)
    assert confusion.rows == ["a", "b", "(background)"] and confusion.by == "clip"
    assert confusion.counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]] and confusion.totals.tolist() == [2, 1, 1]


@pytest.mark.parametrize("n", [0, 2])
def test_predictions_are_read_back_from_json_whatever_names_hold(tmp_path, n):
    clips = Clips(
        ['a "b"', "Kauz, großer"], ["x\\1", "\u00fc"][:n], np.zeros((n, 2), bool), np.eye(2, dtype=np.float32)[:n] / 3
    )
    found, scores = (json.loads(path.read_text("utf-8")) for path in write_predictions(tmp_path, clips, 0.3))
    assert [(list(of_clip), *of_clip.values()) for of_clip in scores.values()] == [
        (clips.classes, 0.333333, 0.0),
        (clips.classes, 0.0, 0.333333),
    ][:n]
    assert (
        list(found) == list(scores) == clips.names
        and [[*row.values()] for row in found.values()] == [[1, 0], [0, 1]][:n]
    )


def test_memory_for_predictions_does_not_grow_with_the_number_of_clips(tmp_path):
    few, many = (peak_memory(partial(write_predictions, tmp_path, make_clips(n, 20), 0.5)) for n in (100, 5000))
    assert many < 2 * few


def test_pictures_that_are_not_wanted_any_more_are_removed(tmp_path):
    clips = make_clips(30, 3)
    wanted = {"roc": True, "metric_hist": True, "confusion": True, "instrument_metrics": True}
    paths = write_pictures(tmp_path, clips, 0.5, **wanted)
    assert len(paths) == 7 and all(image.imread(path).ndim == 3 for path in paths)
    (tmp_path / "notes.png").touch()
    write_pictures(tmp_path, clips, 0.5, roc=True)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["notes.png", "roc.png"]


def test_pictures_of_classes_have_file_names_of_their_own(tmp_path):
    names = ["a/b", "a_b", "A_B", "..", "x" * 300, "violin"]
    files = _pair_files(tmp_path, names)
    assert len({str(file).casefold() for file in files}) == len(names)
    assert all(file.parent == tmp_path / "confusion" for file in files) and files[-1].name == "violin.png"
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()

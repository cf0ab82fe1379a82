import numpy as np
import pytest
import soundfile
import torch
import yaml

from lib import Predictor
from lib.config.schema import Settings
from lib.core.errors import AudioError, EarshotError
from lib.models.description import Calibration
from lib.sound.labels import Label
from tests.models.builders import save_random_model
from tests.recordings import noise
from tests.training_data.builders import AUDIO, RATE

SPECTROGRAMS = np.random.default_rng(1).random((6, AUDIO.spec_height, AUDIO.spec_width), np.float32)
SECONDS = 5.3
FPS = 16.0


def settings(**infer) -> Settings:
    cfg = Settings(audio=AUDIO.model_copy(update={"spec_duration": 3.0}))  # the model's own counts
    for key, value in ({"precision": "32", "overlap": 0.25, "batch_size": 4} | infer).items():
        setattr(cfg.infer, key, value)
    return cfg


def predictor_of(path, quantile=None, **infer):
    return Predictor(path, "cpu", settings(**infer), quantile)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`pool` and `sed`, ensembles of three models each, and a recording."""
    folder = tmp_path_factory.mktemp("predictor")
    for seed in (1, 2, 3):
        save_random_model(folder / f"pool/{seed}.pt", AUDIO, seed=seed)
        save_random_model(folder / f"sed/{seed}.pt", AUDIO, seed=seed, head="sed", sed_fps=FPS)
    soundfile.write(folder / "a.wav", noise(SECONDS, RATE), RATE)
    return folder


# __init__


def test_scores_are_sigmoids_or_a_softmax(tmp_path):
    model = save_random_model(tmp_path / "multi.pt", AUDIO)
    with torch.inference_mode():
        logits = model(torch.from_numpy(SPECTROGRAMS))
    scores, frame_map = predictor_of(tmp_path / "multi.pt").get_block_scores(SPECTROGRAMS)
    assert scores.dtype == np.float32 and scores.shape == (6, 3) and frame_map is None
    np.testing.assert_allclose(scores, torch.sigmoid(logits).numpy(), atol=1e-5)
    save_random_model(tmp_path / "single.pt", AUDIO, multi_label=False)
    scores, _ = predictor_of(tmp_path / "single.pt").get_block_scores(SPECTROGRAMS)
    np.testing.assert_allclose(scores, torch.softmax(logits, dim=1).numpy(), atol=1e-5)


def test_models_of_other_classes_audio_or_frame_rate_do_not_make_an_ensemble(tmp_path):
    save_random_model(tmp_path / "1.pt", AUDIO, head="sed", sed_fps=FPS)
    for changes in ({"names": "abd"}, {"audio": AUDIO.model_copy(update={"top_db": 60.0})}):
        save_random_model(tmp_path / "2.pt", **({"audio": AUDIO} | changes))
        with pytest.raises(EarshotError, match=r"2\.pt: has other classes or audio settings than .*1\.pt"):
            predictor_of(tmp_path)
    save_random_model(tmp_path / "2.pt", AUDIO, head="sed", sed_fps=8.0)
    with pytest.raises(EarshotError, match="8, 16 frames a second"):
        predictor_of(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_that_is_not_there_is_named(folder):
    with pytest.raises(EarshotError, match="device = 'cuda'"):
        Predictor(folder / "pool", "cuda")


def test_device_and_settings_have_defaults(folder):
    predictor = Predictor(str(folder / "pool/1.pt"))
    assert predictor.device.type in ("cpu", "cuda", "mps")
    assert predictor.cfg.infer.min_score == 0.5 and predictor.cfg.audio.spec_duration == AUDIO.spec_duration


def test_settings_of_the_caller_stay_as_they_are(folder):
    cfg = settings()
    predictor = Predictor(folder / "sed", "cpu", cfg)
    predictor.cfg.infer.min_score = 0.9
    assert (cfg.infer.min_score, cfg.audio.spec_duration, cfg.train.sed_fps) == (0.5, 3.0, 8.0)
    assert (predictor.cfg.audio.spec_duration, predictor.cfg.train.sed_fps) == (AUDIO.spec_duration, FPS)


def test_fewer_bits_change_scores_little(folder):
    rough, _ = predictor_of(folder / "pool/1.pt", precision="bf16").get_block_scores(SPECTROGRAMS)
    exact, _ = predictor_of(folder / "pool/1.pt").get_block_scores(SPECTROGRAMS)
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, exact, atol=0.2)


# get_block_scores


@pytest.mark.parametrize("kind", ["pool", "sed"])
def test_folder_of_models_averages_their_scores(folder, kind):
    starts = [0.25 * k for k in range(6)]
    single = [
        predictor_of(folder / kind / f"{seed}.pt").get_block_scores(SPECTROGRAMS, starts, 2.0) for seed in (1, 2, 3)
    ]
    scores, frame_map = predictor_of(folder / kind).get_block_scores(SPECTROGRAMS, starts, 2.0)
    assert np.abs(single[0][0] - single[1][0]).max() > 0.05
    np.testing.assert_allclose(scores, np.mean([one[0] for one in single], axis=0), atol=1e-6)
    if kind == "pool":
        assert frame_map is None
    else:
        assert frame_map.shape == (32, 3) and frame_map.dtype == np.float32
        np.testing.assert_allclose(frame_map, np.mean([one[1] for one in single], axis=0), atol=1e-6)


def test_spectrograms_may_have_a_channel_and_be_many(folder):
    predictor = predictor_of(folder / "pool")
    scores, _ = predictor.get_block_scores(SPECTROGRAMS)
    np.testing.assert_array_equal(predictor.get_block_scores(SPECTROGRAMS[:, None])[0], scores)
    many, _ = predictor.get_block_scores(np.concatenate([SPECTROGRAMS] * 3))
    np.testing.assert_allclose(many, np.concatenate([scores] * 3), atol=1e-6)
    assert predictor.get_block_scores(SPECTROGRAMS[:0])[0].shape == (0, 3)
    with pytest.raises(EarshotError, match=r"shape \(6, 7, 40\): the model takes \(n, 16, 40\)"):
        predictor.get_block_scores(SPECTROGRAMS[:, :7])


def test_frame_map_needs_start_times_and_ends_with_the_last_spectrogram_if_nothing_else_is_said(folder):
    predictor = predictor_of(folder / "sed")
    assert predictor.get_block_scores(SPECTROGRAMS)[1] is None
    assert len(predictor.get_block_scores(SPECTROGRAMS[:2], [0.0, 1.0])[1]) == 1.5 * FPS
    with pytest.raises(EarshotError, match="start_times: 1 for 2 windows"):
        predictor.get_block_scores(SPECTROGRAMS[:2], [0.0])


# scaling


def test_scores_are_scaled_by_the_settings_or_the_stored_calibration(tmp_path):
    calibration = Calibration(coefficient=0.5, intercept=-0.3)
    for multi_label in (True, False):
        save_random_model(tmp_path / "plain.pt", AUDIO, multi_label=multi_label)
        save_random_model(tmp_path / "stored.pt", AUDIO, multi_label=multi_label, calibration=calibration)
        plain, _ = predictor_of(tmp_path / "plain.pt").get_block_scores(SPECTROGRAMS)
        logits = np.log(plain / (1 - plain))

        def scaled(coefficient, intercept, logits=logits):
            return 1 / (1 + np.exp(-(coefficient * logits + intercept)))

        stored, _ = predictor_of(tmp_path / "stored.pt").get_block_scores(SPECTROGRAMS)
        np.testing.assert_allclose(stored, scaled(0.5, -0.3), atol=1e-4)
        own = {"scaling_coefficient": 2.0, "scaling_intercept": 0.1}
        for name in ("plain", "stored"):
            found, _ = predictor_of(tmp_path / f"{name}.pt", **own).get_block_scores(SPECTROGRAMS)
            np.testing.assert_allclose(found, scaled(2.0, 0.1), atol=1e-4)


# get_recording_scores


@pytest.mark.parametrize("kind", ["pool", "sed"])
def test_recording_scores_are_those_of_its_spectrograms(folder, kind):
    predictor = predictor_of(folder / kind)
    scores, frame_map, starts = predictor.get_recording_scores(str(folder / "a.wav"))
    assert starts == [0.25 * k for k in range(len(starts))] and len(starts) == 20
    assert scores.shape == (20, 3)
    normalized, _ = predictor.get_specs()
    expected, expected_map = predictor.get_block_scores(normalized, starts, SECONDS)
    np.testing.assert_allclose(scores, expected, atol=2e-3)
    if kind == "pool":
        assert frame_map is None
    else:
        assert frame_map.shape == (round(SECONDS * FPS), 3)
        np.testing.assert_allclose(frame_map, expected_map, atol=2e-3)


def test_recording_scores_may_start_later(folder):
    predictor = predictor_of(folder / "sed")
    scores, frame_map, starts = predictor.get_recording_scores(folder / "a.wav", 2)
    whole, whole_map, _ = predictor.get_recording_scores(folder / "a.wav")
    assert starts[:2] == [2.0, 2.25]
    np.testing.assert_allclose(scores[1:], whole[9:], atol=1e-3)  # the first one does not hear what is before it
    assert len(frame_map) == len(whole_map) and not frame_map[:32].any()
    np.testing.assert_allclose(frame_map[40:], whole_map[40:], atol=1e-3)
    scores, frame_map, starts = predictor.get_recording_scores(folder / "a.wav", 60)
    assert scores.shape == (0, 3) and frame_map is None and starts == []


def test_recording_that_cannot_be_read_or_overlap_that_cannot_be_is_named(folder, tmp_path):
    predictor = predictor_of(folder / "pool")
    (tmp_path / "text.wav").write_text("no sound")
    for path in (tmp_path / "none.wav", tmp_path / "text.wav", tmp_path):
        with pytest.raises(AudioError, match=f"^{path}: cannot be"):
            predictor.get_recording_scores(path)
    with pytest.raises(EarshotError, match=r"infer\.overlap = 1\.5: must be below the model's spec_duration"):
        predictor_of(folder / "pool", overlap=1.5).get_recording_scores(folder / "a.wav")


# get_overlapping_scores


@pytest.mark.parametrize("kind", ["pool", "sed"])
def test_each_model_takes_its_own_windows(folder, kind):
    """Compared with one model after the other, on windows cut out at the times that the reference says."""
    predictor = predictor_of(folder / kind)
    predictor.cfg.train.sed_fps = FPS
    frame_map = predictor.get_overlapping_scores(str(folder / "a.wav"), 0.5, [0, 0.125, 0.25])
    assert frame_map.shape == (round(SECONDS * FPS), 3)
    maps = []
    for seed, offset in ((1, 0.0), (2, -0.375), (3, -0.25)):
        single = predictor_of(folder / kind / f"{seed}.pt")
        single.cfg.train.sed_fps = FPS
        starts = [offset + 0.5 * k for k in range(11)]
        specs = windows_at(folder / "a.wav", starts)
        _, frames = single.frames_of(specs)
        maps.append(single.to_global_frames(frames, starts, SECONDS))
    np.testing.assert_allclose(frame_map[:80], np.mean(maps, axis=0)[:80], atol=2e-3)


def windows_at(path, starts):
    from lib.audio.loaded_recording import Audio

    cfg = Settings(audio=AUDIO.model_copy(update={"spec_duration": 3.0}))
    audio = Audio("cpu", cfg)
    audio.load(path)
    return audio.get_spectrograms(starts, spec_duration=AUDIO.spec_duration)[0].numpy()


def test_offsets_are_used_in_turn(folder):
    predictor = predictor_of(folder / "sed")
    np.testing.assert_allclose(
        predictor.get_overlapping_scores(folder / "a.wav", 0.5, [0, 0.25]),
        predictor.get_overlapping_scores(folder / "a.wav", 0.5, [0, 0.25, 0]),
        atol=1e-6,
    )


def test_segments_that_are_longer_than_windows_are_covered(folder):
    predictor = predictor_of(folder / "sed/1.pt")
    frame_map = predictor.get_overlapping_scores(folder / "a.wav", 1.0, [0.0])
    assert (frame_map > 0).all()
    np.testing.assert_array_equal(frame_map, predictor.get_overlapping_scores(folder / "a.wav", 0.5, [0.0]))
    with pytest.raises(EarshotError, match="initial_start_times"):
        predictor_of(folder / "sed/1.pt").get_overlapping_scores(folder / "a.wav", 1.0, [])


# to_global_frames


def test_global_frames_have_the_models_rate(folder):
    scores = np.ones((1, 3, 8), np.float32)
    found = predictor_of(folder / "sed").to_global_frames(scores, [0.5], 2.0)
    np.testing.assert_array_equal(found[:, 0], [0] * 8 + [1] * 8 + [0] * 16)
    with pytest.raises(EarshotError, match="frame scores of shape"):
        predictor_of(folder / "sed").to_global_frames(scores[0], [0.5], 2.0)


# labels


def test_segment_labels_are_a_label_for_each_window_that_scores_high_enough(folder):
    predictor = predictor_of(folder / "pool", min_score=0.4)
    scores = np.array([[0.5, 0.39, 0.0], [0.4, 0.0, 0.0]], np.float32)
    labels = predictor.get_segment_labels(scores, [1.0, 1.25])
    assert labels == {"a": [Label("a", 1.0, 1.5, 0.5), Label("a", 1.25, 1.75, pytest.approx(0.4))]}
    label = labels["a"][0]
    assert (label.score, label.start_time, label.end_time) == (0.5, 1.0, 1.5)
    assert predictor.get_segment_labels(scores[:0], []) == {} == predictor.get_segment_labels(None, [])
    predictor.cfg.infer.min_score = 0.0
    assert {name: len(found) for name, found in predictor.get_segment_labels(scores, [1.0, 1.25]).items()} == {
        "a": 2,
        "b": 2,
        "c": 2,
    }
    assert predictor.get_segment_labels(scores.tolist(), [1.0, 1.25]).keys() == {"a", "b", "c"}
    for wrong in (scores[:, :2], scores[:, :2].tolist()):
        with pytest.raises(EarshotError, match=r"scores of shape \(2, 2\)"):
            predictor.get_segment_labels(wrong, [1.0, 1.25])


@pytest.mark.parametrize("field", ["names", "codes", "alt_names", "alt_codes"])
def test_labels_are_called_by_the_wanted_field(folder, field):
    predictor = predictor_of(folder / "pool", label_field=field)
    (name,) = predictor.get_segment_labels(np.array([[0.9, 0, 0]], np.float32), [0.0])
    assert name == {"names": "a", "codes": "A", "alt_names": "a", "alt_codes": "A"}[field]
    assert predictor.get_class_name(name) == "a"
    assert set(predictor.get_frame_labels(np.zeros((1, 3), np.float32))) == set(getattr(predictor, f"class_{field}"))


def test_variable_frame_labels_are_as_long_as_the_sound(folder):
    predictor = predictor_of(folder / "sed")
    frame_map = np.zeros((48, 3), np.float32)
    frame_map[8:20, 1], frame_map[10, 1], frame_map[40:, 1] = 0.6, 0.8, 0.5
    assert predictor.get_frame_labels(frame_map) == {
        "a": [],
        "b": [Label("b", 0.5, 1.25, pytest.approx(0.8)), Label("b", 2.5, 3.0, 0.5)],
        "c": [],
    }
    with pytest.raises(EarshotError, match="frame map of shape"):
        predictor.get_frame_labels(frame_map[0])


def test_fixed_frame_labels_take_the_maximum_or_the_quantile(folder):
    frame_map = np.zeros((40, 3), np.float32)
    frame_map[0, 0], frame_map[16:32, 1] = 0.9, np.linspace(0, 1, 16)
    found = predictor_of(folder / "sed", segment_len=1.0).get_frame_labels(frame_map)
    assert found == {"a": [Label("a", 0.0, 1.0, pytest.approx(0.9))], "b": [Label("b", 1.0, 2.0, 1.0)], "c": []}
    found = predictor_of(folder / "sed", quantile=0.75, segment_len=1.0).get_frame_labels(frame_map)
    assert found == {"a": [], "b": [Label("b", 1.0, 2.0, pytest.approx(0.75))], "c": []}
    with pytest.raises(EarshotError, match=r"quantile = 1\.5"):
        predictor_of(folder / "sed", quantile=1.5)


def test_stored_thresholds_say_from_which_score_on_a_class_is_labelled(tmp_path):
    save_random_model(tmp_path / "m.pt", AUDIO, calibration=Calibration(thresholds={"b": 0.9, "c": 0.1}))
    scores = np.array([[0.6, 0.6, 0.2]], np.float32)
    assert set(predictor_of(tmp_path / "m.pt").get_segment_labels(scores, [0.0])) == {"a", "c"}
    assert set(predictor_of(tmp_path / "m.pt", class_thresholds=False).get_segment_labels(scores, [0.0])) == {"a", "b"}


def test_dataframe_holds_the_labels_by_name_and_time(folder):
    predictor = predictor_of(folder / "sed")
    scores = np.array([[0.5, 0.0, 0.9], [0.7, 0.0, 0.0]], np.float32)
    table = predictor.get_dataframe(scores, None, [0.0, 0.25], "rec")
    assert list(table.columns) == ["recording", "name", "start_time", "end_time", "score"]
    rows = table.round(4).values.tolist()
    assert rows == [["rec", "a", 0.0, 0.5, 0.5], ["rec", "a", 0.25, 0.75, 0.7], ["rec", "c", 0.0, 0.5, 0.9]]
    frame_map = np.zeros((16, 3), np.float32)
    frame_map[4:8, 1] = 0.75
    assert predictor.get_dataframe(scores, frame_map, [0.0, 0.25], "rec").values.tolist() == [
        ["rec", "b", 0.25, 0.5, 0.75]
    ]
    empty = predictor.get_dataframe(scores[:0], None, [], "rec")
    assert len(empty) == 0 and list(empty.columns) == list(table.columns)


def test_class_names_are_found_from_any_of_the_four_fields(tmp_path):
    classes = [
        {"name": "Tree frog", "code": "TF", "alt_name": "Hyla arborea", "alt_code": "hylarb"},
        {"name": "TX", "code": "", "alt_name": "", "alt_code": ""},
        {"name": "Toad", "code": "TX", "alt_name": "Bufo", "alt_code": ""},
    ]
    save_random_model(tmp_path / "m.pt", AUDIO, classes=classes)
    predictor = predictor_of(tmp_path / "m.pt")
    assert predictor.class_names == ["Tree frog", "TX", "Toad"]
    assert predictor.class_codes == ["TF", "TX", "TX"]
    assert predictor.class_alt_names == ["Hyla arborea", "TX", "Bufo"]
    assert predictor.class_alt_codes == ["hylarb", "TX", "TX"]
    for label in ("Tree frog", "TF", "Hyla arborea", "hylarb"):
        assert predictor.get_class_name(label) == "Tree frog"
    assert predictor.get_class_name("Bufo") == "Toad"
    assert predictor.get_class_name("TX") == "TX"
    assert predictor.get_class_name("unheard of") == "unheard of"


# embeddings, spectrograms, what is shown and kept


def test_embeddings_are_the_mean_of_the_models(folder):
    predictor = predictor_of(folder / "pool")
    embeddings = predictor.get_embeddings(SPECTROGRAMS[:, None])
    single = [predictor_of(folder / f"pool/{seed}.pt").get_embeddings(SPECTROGRAMS) for seed in (1, 2, 3)]
    assert embeddings.dtype == np.float32 and embeddings.shape == (6, single[0].shape[1])
    np.testing.assert_allclose(embeddings, np.mean(single, axis=0), rtol=1e-4, atol=1e-4)
    assert predictor.get_embeddings(SPECTROGRAMS[:0]).shape == (0, embeddings.shape[1])


def test_specs_are_those_of_the_last_recording(folder, tmp_path):
    predictor = predictor_of(folder / "pool")
    assert predictor.get_specs() == (None, None)
    predictor.get_recording_scores(folder / "a.wav", 1.0)
    normalized, levels = predictor.get_specs()
    assert normalized.shape == levels.shape == (16, AUDIO.spec_height, AUDIO.spec_width)
    assert normalized.min() >= 0 and normalized.max() == 1 and np.abs(levels).max() > 1


def test_scores_are_shown_in_descending_order(folder, capsys):
    predictor = predictor_of(folder / "sed", label_field="codes")
    assert predictor.show_scores(np.array([[0.2, 0.9, 0.5], [1, 1, 1]], np.float32), None) is None
    assert capsys.readouterr().out.splitlines() == ["B: 0.9000", "C: 0.5000", "A: 0.2000"]
    frame_map = np.zeros((32, 3), np.float32)
    frame_map[3, 2], frame_map[20] = 0.3, 1.0  # the first window has 8 frames
    predictor.show_scores(None, frame_map)
    assert capsys.readouterr().out.splitlines() == ["C: 0.3000", "A: 0.0000", "B: 0.0000"]


def test_manifest_says_what_was_inferred_by_what(folder, tmp_path):
    predictor_of(folder / "sed", min_score=0.25).save_manifest(str(tmp_path))
    manifest = yaml.safe_load((tmp_path / "manifest.yaml").read_text())
    assert [entry["name"] for entry in manifest["classes"]] == ["a", "b", "c"]
    assert manifest["infer"]["min_score"] == 0.25
    assert manifest["audio"]["spec_duration"] == manifest["segment_len"] == AUDIO.spec_duration
    assert set(manifest["models"]) == {"1.pt", "2.pt", "3.pt"}
    predictor_of(folder / "sed").save_manifest(f"{tmp_path}/deep/x.yaml")
    assert yaml.safe_load((tmp_path / "deep/x.yaml").read_text())["infer"]["min_score"] == 0.5
    predictor_of(folder / "sed").save_manifest(tmp_path, settings(min_score=0.75))
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text())["infer"]["min_score"] == 0.75

import pytest
import torch

from lib import get_config, load_from_checkpoint, load_new_model
from lib.core.errors import EarshotError
from lib.models.checkpoints import save_checkpoint
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO

NAMES, CODES = ["Wood Thrush", "Veery"], ["WOTH", "VEER"]
ALT_NAMES, ALT_CODES = ["Hylocichla mustelina", ""], ["hylmus", ""]


@pytest.fixture
def cfg():
    cfg = get_config()
    cfg.extract.overlap = cfg.infer.overlap = 0.25
    cfg.audio = AUDIO
    return cfg


def new_model(cfg, **changes):
    cfg.train = cfg.train.model_copy(update=changes)
    return load_new_model(NAMES, CODES, ALT_NAMES, ALT_CODES, 100, cfg=cfg)


def spectrograms(model):
    device = next(model.parameters()).device
    return torch.rand(3, AUDIO.spec_height, AUDIO.spec_width, generator=torch.Generator().manual_seed(1)).to(device)


def test_new_model_knows_its_classes(cfg):
    model = new_model(cfg)
    assert (model.train_class_names, model.train_class_codes) == (NAMES, CODES)
    assert (model.train_class_alt_names, model.train_class_alt_codes) == (ALT_NAMES, ALT_CODES)
    assert (model.num_classes, model.num_train_specs, model.training) == (2, 100, True)
    assert model(spectrograms(model)).shape == (3, 2)


def test_settings_of_the_project_hold_without_others():
    model = load_new_model(NAMES, CODES, ALT_NAMES, ALT_CODES, 7)
    assert model.description.audio == get_config().audio
    assert model.description.backbone == get_config().train.backbone


def test_settings_say_what_is_built(cfg):
    model = new_model(cfg, head="sed", sed_fps=10.0, multi_label=False, backbone="mobilenetv3_small_050")
    assert model.use_sed and not model.multi_label
    assert model.description.backbone == "mobilenetv3_small_050"
    assert model.forward_frames(spectrograms(model))[1].shape == (3, 2, 5)
    assert not new_model(cfg, head="pool").use_sed


def test_lists_that_do_not_fit_together_are_refused_in_one_line(cfg):
    for lists in ((NAMES, CODES[:1], ALT_NAMES, ALT_CODES), (NAMES, CODES, ALT_NAMES, []), ([], [], [], [])):
        with pytest.raises(EarshotError, match="give as many of each") as caught:
            load_new_model(*lists, 100, cfg=cfg)
        assert "\n" not in str(caught.value)


def test_model_of_a_checkpoint_scores_like_the_saved_one(tmp_path):
    saved = save_random_model(tmp_path / "model.pt", AUDIO)
    model = load_from_checkpoint(str(tmp_path / "model.pt"))
    assert not model.training
    assert (model.train_class_names, model.train_class_codes) == (["a", "b", "c"], ["A", "B", "C"])
    with torch.inference_mode():
        scores = model(spectrograms(model)).cpu()
        torch.testing.assert_close(scores, saved(spectrograms(saved)), rtol=1e-3, atol=1e-3)


def test_kind_of_scores_can_be_set_when_loading(tmp_path):
    save_random_model(tmp_path / "model.pt", AUDIO)
    assert load_from_checkpoint(tmp_path / "model.pt").multi_label
    model = load_from_checkpoint(tmp_path / "model.pt", multi_label=False)
    assert not model.multi_label
    save_checkpoint(tmp_path / "single.pt", model, model.description)
    assert not load_from_checkpoint(tmp_path / "single.pt").multi_label


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(EarshotError, match=r"none\.pt: no such model"):
        load_from_checkpoint(tmp_path / "none.pt")


def test_classes_may_lack_codes_and_spectrograms_may_have_a_channel():
    model = load_new_model(["a", "b"], ["A", None], [None, None], [None, None], 10).eval().cpu()
    assert model.train_class_codes == ["A", ""]
    audio = model.description.audio
    x = torch.rand(2, audio.spec_height, audio.spec_width)
    with torch.inference_mode():
        torch.testing.assert_close(model(x.unsqueeze(1)), model(x))

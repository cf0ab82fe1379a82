import pytest

from lib.tracking.registry.model_design import ModelDesign
from lib.tracking.registry.registered_models import ModelError


def test_a_configuration_is_a_text_or_a_dict():
    assert ModelDesign.of("hop: 5\n").config_dict == {"hop": 5}
    assert ModelDesign.of(config_dict={"hop": 5, "ähnlich": [1]}).config_dict == {"hop": 5, "ähnlich": [1]}
    assert ModelDesign.of().config_dict == {} and ModelDesign.of().config_text == ""
    with pytest.raises(ModelError, match="are both given; give one of them"):
        ModelDesign.of("hop: 5", {"hop": 5})


@pytest.mark.parametrize("text", ["layer { name: 1 }\n- x", "import torch\n\nmodel = torch.nn.Sequential()", "[1, 2]"])
def test_a_configuration_in_another_notation_is_text_only(text):
    with pytest.raises(ModelError, match="is not a mapping in YAML or JSON; read config_text instead"):
        ModelDesign.of(text).config_dict  # noqa: B018


@pytest.mark.parametrize("labels", [{"frog": "1"}, {1: 1}, {"frog": True}, {"frog": 0.5}])
def test_labels_are_names_with_whole_numbers(labels):
    with pytest.raises(ModelError, match="must be a name and a whole number"):
        ModelDesign.of(labels=labels)

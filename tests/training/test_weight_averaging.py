import torch

from lib.training.weight_averaging import average_weights
from tests.training.builders import trained


def test_average_of_weights_is_their_mean_and_counters_are_the_last():
    a = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)}
    b = {"w": torch.tensor([2.0, 6.0]), "n": torch.tensor(5)}
    assert average_weights([a, b])["w"].tolist() == [1.5, 4.0]
    assert average_weights([a, b])["n"] == 5


def test_averaged_model_is_the_mean_of_its_epochs_with_renewed_statistics(windows, tmp_path):
    single = trained(windows, tmp_path / "single", epochs=3, save_last_n=2)
    averaged = trained(windows, tmp_path / "averaged", epochs=3, average_last_n=2)
    assert single.epochs == averaged.epochs
    first, second = (model.state_dict() for model in single.models.values())
    for name, tensor in averaged.model.named_parameters():
        torch.testing.assert_close(tensor.detach(), (first[name] + second[name]) / 2)
    means = {name: (first[name] + second[name]) / 2 for name in first if name.endswith("running_mean")}
    state = averaged.model.state_dict()
    assert any(not torch.allclose(state[name], mean, rtol=1e-3) for name, mean in means.items())
    assert averaged.metrics["val_macro_pr"] > 0.9
    assert averaged.metrics["val_loss"] != averaged.epochs[-1]["val_loss"]

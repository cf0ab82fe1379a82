import pandas as pd

from stages.find_lr import find_lr
from tests.training_data.builders import extract_folder, write_data_set


def test_stage_writes_table_and_picture(tmp_path, capsys):
    extract_folder(write_data_set(tmp_path / "set", 4), tmp_path / "training.db")
    settings = {"batch_size": 16, "epoch_windows": 160, "device": "cpu", "augmentations.time_mask.seconds": 0.05}
    output = tmp_path / "out/find_lr"
    find_lr(database=str(tmp_path / "training.db"), output=str(output), num_batches=15, **settings)
    printed = capsys.readouterr().out
    assert "suggested learning rate: " in printed and "lowest at" in printed
    assert list(pd.read_csv(output.with_suffix(".csv"))) == ["learning_rate", "loss", "smoothed_loss"]
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

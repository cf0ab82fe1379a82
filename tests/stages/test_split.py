from pathlib import Path

import pytest

from lib.config.load import load_settings
from tests.training_data.builders import write_data_set

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def params(tmp_path):
    """Settings that choose other recordings."""
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text().replace("include: ''", 'include: "r0[0-2]"'))
    return path


def test_the_sets_and_how_to_use_them_are_printed(run_stage, tmp_path):
    folder = write_data_set(tmp_path / "set", 10)
    status, out, err = run_stage("split", folder, tmp_path / "out", "--test", 0.3)
    assert (status, err) == (0, "")
    assert "train            7        7" in out and "test             3        3" in out
    place = f"{tmp_path}/out"
    assert f"To use them, set data.train.path to {place}/train and data.test.path to {place}/test, or" in out
    status, _, err = run_stage("split", folder, tmp_path / "two", "--test", 1.5)
    assert status == 1 and err == "error: --test 1.5 --val 0: must leave a part above 0 to train and to test with\n"


def test_the_settings_file_that_is_to_use_the_sets_names_them_and_keeps_the_rest(run_stage, tmp_path, params):
    before = params.read_text()
    folder, output = write_data_set(tmp_path / "set", 5), f"{tmp_path}/parts"
    status, printed, errors = run_stage("split", folder, f"{output}/", "--update", params)
    assert status == 0, errors
    data = load_settings(params).data
    for name, part in (("train", data.train), ("test", data.test)):
        assert (part.path, part.include) == (f"{output}/{name}", None)
        assert (Path(part.path) / "annotations.csv").is_file()
    table = [line.split() for line in printed.splitlines() if line.startswith("data.")]
    assert ["data.train.path", "data/sample/train", f"{output}/train"] in table and len(table) == 4

    def others(text: str) -> list[str]:
        return [line for line in text.splitlines() if " path: " not in line and "include:" not in line]

    assert others(params.read_text()) == others(before)


def test_nothing_is_written_where_the_settings_file_cannot_be(run_stage, tmp_path):
    folder = write_data_set(tmp_path / "set", 5)
    status, _, errors = run_stage("split", folder, tmp_path / "out", "--update", tmp_path / "parms.yaml")
    assert (status, errors.count("parms.yaml: no such file")) == (1, 1) and not (tmp_path / "out").exists()

import pytest

from lib.core.errors import EarshotError, SettingsError
from lib.training.training_state import epochs_done, keep_state, remove_state, state_of_fold, training_fingerprint
from tests.training.builders import QUICK, with_settings


def test_fingerprint_is_of_the_data_the_settings_and_the_checkpoint_to_start_from(tmp_path):
    database, known = tmp_path / "training.db", tmp_path / "known.pt"
    database.write_bytes(b"windows")
    known.write_bytes(b"weights")
    start = with_settings(load_checkpoint=str(known))
    fingerprints = [training_fingerprint(database, settings) for settings in (QUICK, with_settings(seed=2), start)]
    known.write_bytes(b"other weights")
    fingerprints.append(training_fingerprint(database, start))
    database.write_bytes(b"other windows")
    fingerprints.append(training_fingerprint(database, QUICK))
    assert len(set(fingerprints)) == 5
    assert training_fingerprint(database, with_settings(workers=3)) == fingerprints[-1]


def test_fingerprint_does_not_depend_on_where_the_checkpoint_to_start_from_lies(tmp_path):
    (tmp_path / "training.db").write_bytes(b"windows")
    copies = [tmp_path / "known.pt", tmp_path / "copy.pt"]
    for copy in copies:
        copy.write_bytes(b"weights")
    starts = [QUICK, *(with_settings(load_checkpoint=str(copy)) for copy in copies)]
    without, *fingerprints = [training_fingerprint(tmp_path / "training.db", settings) for settings in starts]
    assert fingerprints[0] == fingerprints[1] != without


def test_missing_files_are_named(tmp_path):
    with pytest.raises(EarshotError, match=r"none\.db: no such file; run the extract stage first"):
        training_fingerprint(tmp_path / "none.db", QUICK)
    (tmp_path / "training.db").touch()
    with pytest.raises(SettingsError, match=r"train\.load_checkpoint = '.*none\.pt': no such file"):
        training_fingerprint(tmp_path / "training.db", with_settings(load_checkpoint=str(tmp_path / "none.pt")))


@pytest.mark.parametrize("content", [b"", b"\x80\x02nothing", b"PK\3\4"])
def test_training_does_not_resume_from_a_damaged_state(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    assert epochs_done(tmp_path / "state", "a") == 0


def test_a_state_goes_with_its_training_even_without_an_epoch_and_leaves_that_of_others(tmp_path):
    state = tmp_path / "state"
    keep_state(state, {"fingerprint": "a", "learning_rate": 0.1})
    keep_state(state_of_fold(state, 1), {"fingerprint": "b", "epochs": [{}]})
    remove_state(state, "a")
    assert not state.exists() and epochs_done(state, "b") == 1
    remove_state(state)
    assert list(tmp_path.iterdir()) == []

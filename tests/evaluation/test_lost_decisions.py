from lib.evaluation.lost_decisions import find_lost_decisions
from lib.sound.decisions import Decision, append_decisions, last_decisions, undo_decisions
from tests.training_data.builders import contents_of, extract_folder, write_data_set


def test_decisions_about_recordings_of_no_data_set_are_named(tmp_path):
    train, test = write_data_set(tmp_path / "train", 2), write_data_set(tmp_path / "test", 3)
    extract_folder(train, tmp_path / "training.db")
    decisions, data_set = tmp_path / "decisions.csv", contents_of(test, include="r02")
    append_decisions(decisions, [Decision(name, 0, 1, "low", "reject") for name in ("r00", "r02")])
    assert find_lost_decisions(decisions, data_set, tmp_path / "training.db") == []
    append_decisions(decisions, [Decision("dawn", 0, 1, "low", "reject", by="me")])
    (problem,) = find_lost_decisions(decisions, data_set, tmp_path / "training.db")
    assert problem.fault == "decides about 1 recording of no data set (dawn)"
    assert find_lost_decisions(decisions, data_set, tmp_path / "none.db") == []
    undo_decisions(decisions, last_decisions(decisions, "me"))
    assert find_lost_decisions(decisions, data_set, tmp_path / "training.db") == []

from lib.config.schema import DataSetSettings
from lib.evaluation.lost_decisions import find_lost_decisions
from lib.formats.data_sets import read_data_set
from lib.sound.decisions import Decision, append_decisions, last_decisions, undo_decisions
from tests.training_data.builders import extract_folder, write_data_set


def test_decisions_about_recordings_of_no_data_set_are_named(tmp_path):
    train, test = write_data_set(tmp_path / "train", 2), write_data_set(tmp_path / "test", 3)
    extract_folder(train, tmp_path / "training.db")
    decisions = tmp_path / "decisions.csv"

    def lost(database="training.db"):
        data_set = read_data_set(DataSetSettings(path=str(test), include="r02"), str(decisions))
        return find_lost_decisions(decisions, data_set, tmp_path / database)

    append_decisions(decisions, [Decision(name, 0, 1, "low", "reject") for name in ("r00", "r02")])
    assert lost() == []
    append_decisions(decisions, [Decision("dawn", 0, 1, "low", "reject", by="me")])
    (problem,) = lost()
    assert problem.fault == "decides about 1 recording of no data set (dawn)"
    assert lost("none.db") == []
    undo_decisions(decisions, last_decisions(decisions, "me"))
    assert lost() == []

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from lib.config.schema import Settings
from lib.tracking.data_versions import commit_tags, data_set_versions, flatten, read_commit, read_data_versions

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.dictionaries(st.text("ab", min_size=1, max_size=3), children, max_size=3),
    max_leaves=10,
)


def test_settings_become_dotted_names_and_texts():
    content = {"train": {"epochs": 5, "device": "auto", "rate": 0.1, "on": True}, "week": None, "ids": [1, 2]}
    expected = {"train.epochs": "5", "train.device": "auto", "train.rate": "0.1", "train.on": "true"}
    assert flatten(content) == expected | {"week": "null", "ids": "[1, 2]"}


@given(st.dictionaries(st.text("ab", min_size=1, max_size=3), PLAIN, max_size=3))
def test_no_setting_is_lost(content):
    def leaves(value) -> int:
        return sum(map(leaves, value.values())) if isinstance(value, dict) else 1

    assert len(flatten(content)) == leaves(content)


def test_a_long_value_is_cut_to_what_mlflow_takes():
    assert flatten({"include": "x" * 10_000}) == {"include": "x" * 6000}


def test_versions_hold_data_but_neither_code_nor_the_running_stage(pipeline, tmp_path):
    assert read_data_versions(leave_out="evaluate") == {
        "data/recordings": "11111111111111111111111111111111.dir",
        "data/training.db": "33333333333333333333333333333333",
    }
    assert read_data_versions(tmp_path / "none.lock") == {}


def test_data_sets_are_recognized_however_their_path_is_written():
    settings = Settings.model_validate({"data": {"train": {"path": "./data/a/"}, "test": {"path": "../b"}}})
    versions = {"data/a": "1", "../b": "2", "data/c": "3"}
    assert data_set_versions(settings, versions) == {"data.train": ("data/a", "1"), "data.test": ("../b", "2")}


def test_changed_settings_do_not_make_the_code_dirty_but_changed_or_new_code_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/code.py").write_text("1")
    (tmp_path / "params.yaml").write_text("a: 1")
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], check=True)
    (tmp_path / "params.yaml").write_text("a: 2")
    sha = read_commit()
    assert len(sha) == 40 and commit_tags() == {"mlflow.source.git.commit": sha, "git.code_dirty": "false"}
    (tmp_path / "lib/new.py").write_text("2")
    assert commit_tags()["git.code_dirty"] == "true"


def test_a_folder_without_commits_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_commit() is None and commit_tags() == {}

"""Rankings on hand-made vectors and labels, where what must come first is known."""

from itertools import islice

import numpy as np
import pandas as pd
import pytest
import soundfile

from lib.config.schema import Settings
from lib.core.errors import EarshotError
from lib.curation.class_search import informative_windows
from lib.curation.direction_file import directions
from lib.curation.out_of_fold_scores import head_scores
from lib.curation.suggestion import DecidedSounds, Suggestion, best_apart, keep_best
from lib.curation.suggestions import RANKINGS, SuggestionSources
from lib.curation.suggestions.diverse import spread_out
from lib.curation.suggestions.label_errors import _known_ends, _wrong_clips
from lib.curation.suggestions.likely import undecided_windows
from lib.sound.classes import ClassList
from lib.training_data.stored_windows import StoredWindows
from tests.curation.builders import make_store
from tests.training_data.builders import PITCHES, RATE, extract_folder


def sources(store, **changes) -> SuggestionSources:
    return SuggestionSources(Settings(), store=str(store), **changes)


def test_duplicates_are_pairs_of_the_same_direction_that_do_not_overlap(tmp_path):
    rng = np.random.default_rng(1)
    vectors = {name: rng.normal(size=(6, 16)) for name in ("a", "b", "c")}
    vectors["a"][1] = vectors["a"][0]  # its neighbour, which overlaps it
    vectors["c"][5] = 3 * vectors["a"][4]
    vectors["b"][4] = vectors["b"][0] + 0.001
    make_store(tmp_path / "s.db", {name: rows.tolist() for name, rows in vectors.items()}).close()
    found = RANKINGS["duplicates"].rank(sources(tmp_path / "s.db", n=10))
    assert {(one.recording, one.start_time) for one in found} == {("c", 1.25), ("b", 1.0)}
    assert found[0].why.startswith("as a at 1.00 s") or found[0].why.startswith("as b at 0.00 s")
    assert all(one.decision == "" for one in found)


def test_all_duplicates_of_many_windows_are_found_as_by_comparing_every_pair(tmp_path):
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(5000, 8)).astype(np.float32)
    vectors[rng.integers(0, 5000, 40)] = vectors[rng.integers(0, 5000, 40)]
    names = [f"r{number:03}" for number in range(500)]
    make_store(tmp_path / "s.db", dict(zip(names, vectors.reshape(500, 10, 8).tolist(), strict=True))).close()
    found = RANKINGS["duplicates"].rank(sources(tmp_path / "s.db", n=1000, least_similarity=0.9995))
    unit = vectors.astype(np.float16).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    near = np.argwhere(np.triu(unit @ unit.T >= 0.9995, 1))
    apart = {int(j) for i, j in near if i // 10 != j // 10 or j - i >= 2}
    assert {int(one.recording[1:]) * 10 + round(one.start_time / 0.25) for one in found} == apart and len(apart) > 20


def test_a_diverse_choice_takes_one_of_each_cluster_before_a_second(tmp_path):
    rng = np.random.default_rng(3)
    centers = np.eye(4) * 10
    rows = {f"r{k}": (centers[k] + rng.normal(0, 0.1, (5, 4))).tolist() for k in range(4)}
    rows["silent"] = np.zeros((3, 4)).tolist()
    with make_store(tmp_path / "s.db", rows) as store, directions(store) as windows:
        chosen = list(islice(spread_out(windows), 4))
        assert {int(windows.recordings[index]) for index, _ in chosen} == {1, 2, 3, 4}
        assert len(list(spread_out(windows))) <= 20


def test_scores_of_a_recording_do_not_depend_on_its_own_labels():
    rng = np.random.default_rng(4)
    recording = np.repeat(np.arange(12), 3)
    features = rng.normal(size=(36, 5)).astype(np.float32) + 3 * np.eye(5)[recording % 3].astype(np.float32)
    labels = np.eye(3, dtype=bool)[recording % 3]
    wrong = labels.copy()
    wrong[recording == 4] = np.eye(3, dtype=bool)[0]
    for multi_label in (False, True):
        for each in (labels, wrong):
            scores, is_learned = head_scores(features, each, recording, multi_label, seed=1, repeats=1)
            assert is_learned.all()
            assert scores[recording == 4].mean(axis=0).argmax() == 1 and scores.min() >= 0 and scores.max() <= 1
    again, _ = head_scores(features, wrong, recording, True, seed=1, repeats=1)
    np.testing.assert_array_equal(again, scores)


def test_informative_windows_do_not_overlap_and_are_likely_and_uncertain():
    scores = np.array([0.9, 0.95, 0.9, 0.52, 0.1, 0.48, 0.05])
    starts = np.array([0.0, 0.25, 0.5, 2.0, 3.0, 4.0, 5.0])
    assert informative_windows(scores, [1] * 7, starts, 0.5, 4) == [1, 3, 5, 4]


@pytest.mark.parametrize("in_parts", [False, True])
def test_the_best_suggestions_are_apart_and_their_order_is_fixed(in_parts):
    def one(recording, start, score, name="x"):
        return Suggestion(recording, "", start, start + 3, name, score, "k")

    given = [one("a", 0, 0.5), one("a", 1, 0.9), one("a", 4, 0.5), one("a", 1, 0.4, "y"), one("b", 0, 0.5)]
    parts = [[each for each in given if each.recording == name] for name in "ba"]
    best = keep_best(parts, 3) if in_parts else best_apart(given[::-1], 3)
    assert [(each.recording, each.start_time) for each in best] == [("a", 1), ("a", 4), ("b", 0)]


def decide_about(found, new_class: str = "") -> pd.DataFrame:
    rows = [(one.recording, one.start_time, one.end_time, one.class_name, "reject", new_class) for one in found]
    return pd.DataFrame(rows, columns=["recording", "start_time", "end_time", "class", "decision", "new_class"])


def test_exact_copies_are_duplicates_at_a_similarity_of_1(tmp_path):
    rows = np.random.default_rng(6).normal(size=(40, 64))
    make_store(tmp_path / "s.db", {f"{k}{i}": [row.tolist()] for i, row in enumerate(rows) for k in "ab"}).close()
    found = RANKINGS["duplicates"].rank(sources(tmp_path / "s.db", n=100, least_similarity=1.0))
    assert {one.recording for one in found} == {f"b{i}" for i in range(40)}


def test_each_round_of_a_diverse_choice_goes_on_where_the_last_one_was_decided(tmp_path):
    rows = np.random.default_rng(7).normal(size=(20, 16)).tolist()
    make_store(tmp_path / "s.db", {f"r{k:02}": [row] for k, row in enumerate(rows)}).close()
    whole = [one.recording for one in RANKINGS["diverse"].rank(sources(tmp_path / "s.db", n=20))]
    decisions, rounds = decide_about([]), []
    for _ in range(4):
        found = RANKINGS["diverse"].rank(sources(tmp_path / "s.db", n=5, decisions=decisions))
        rounds += [one.recording for one in found]
        decisions = pd.concat([decisions, decide_about(found)])
    assert rounds == whole and len(set(rounds)) == 20


def test_decisions_about_a_code_or_alternative_name_are_about_the_class():
    classes = ClassList([{"name": "Wren", "code": "W"}, {"name": "Robin", "alt_name": "Erithacus"}])
    wren = Suggestion("a/b", "", 1.0, 4.0, "Wren", 0.5, "k")
    decided = DecidedSounds(decide_about([wren._replace(recording="a_b", class_name="W")], "Erithacus"), classes)
    assert decided.covers(wren) and decided.covers(wren._replace(class_name="Robin")) and "a/b" in decided
    assert not decided.covers(wren._replace(start_time=2.6, end_time=5.6)) and not decided.covers(
        wren._replace(class_name="Owl")
    )
    starts = np.array([0.0, 2.4, 2.6])
    assert decided.covers_windows("a_b", starts, starts + 3, "Wren").tolist() == [True, True, False]


def test_windows_that_were_decided_about_are_neither_asked_nor_presumed(tmp_path):
    rows = {f"r{k}": np.eye(8)[:6].tolist() for k in range(3)}
    decided = DecidedSounds(decide_about([Suggestion("r1", "", 0.5, 1.0, "x", 0.5, "k")]))
    with make_store(tmp_path / "s.db", rows) as store:
        (piece,) = store.pieces()
        is_open = undecided_windows(store, piece, decided, "x")
        assert np.flatnonzero(~is_open).tolist() == [8]  # r1 at 0.5 s; its neighbours share only half of it
        assert undecided_windows(store, piece, decided, "y").all()


def test_a_class_of_one_recording_is_told_from_those_that_can_be_compared():
    rng = np.random.default_rng(8)
    recording = np.repeat(np.arange(12), 2)
    column = np.array([0, 1, 1, *[2] * 9])[recording]
    features = rng.normal(size=(24, 5)).astype(np.float32)
    for multi_label in (False, True):
        for seed in range(2):
            labels = np.eye(3, dtype=bool)[column]
            _, is_learned = head_scores(features, labels, recording, multi_label, seed=seed, repeats=1)
            assert is_learned.tolist() == [False, True, True]


def write_clips_of(folder, classes: list[str], seconds: float, others: dict | None = None) -> str:
    """A training database of recordings r00, r01, ... that each sound like a class and are annotated so from start to
    end; others: the events of some recordings, instead."""
    (folder / "set/recordings").mkdir(parents=True)
    rows = []
    for number, name in enumerate(classes):
        time, rng = np.arange(round(seconds * RATE)) / RATE, np.random.default_rng(number)
        samples = 0.3 * np.sin(2 * np.pi * PITCHES[name] * time) + 0.002 * rng.standard_normal(len(time))
        soundfile.write(folder / f"set/recordings/r{number:02}.wav", samples, RATE)
        rows += [(f"r{number:02}", *event) for event in (others or {}).get(number, [(name, 0.0, seconds)])]
    table = pd.DataFrame(rows, columns=["recording", "class", "start_time", "end_time"])
    table.to_csv(folder / "set/annotations.csv", index=False)
    extract_folder(folder / "set", folder / "t.db", overlap=0.0, background=0.0)
    return str(folder / "t.db")


def label_errors(database: str, **changes) -> list[Suggestion]:
    settings = Settings(train={"multi_label": False, "noise_class": None})
    return RANKINGS["label_errors"].rank(SuggestionSources(settings, database=database, **changes))


def test_what_is_relabelled_is_a_stretch_without_gaps_and_a_whole_recording_only_where_it_is_known(tmp_path):
    gap = {1: [("low", 0.0, 0.5), ("low", 2.0, 2.5), ("mid", 2.5, 3.0)], 2: [("low", 0.0, 0.5), ("low", 2.0, 2.5)]}
    database = write_clips_of(tmp_path, ["low", "low", "low", "mid", "high"], 3.0, gap)
    windows, decided = (
        StoredWindows(database),
        DecidedSounds(decide_about([Suggestion("r03", "", 0, 1, "low", 1, "k")])),
    )
    as_high = np.tile([1.0, 0.0, 0.0], (len(windows), 1))
    ends = _known_ends(windows, database, decided)
    found = [one for _, one in _wrong_clips(windows, as_high, np.ones(len(windows), bool), ends)]
    pairs = [("r01", 0.0, 0.5), ("r01", 2.0, 2.5), ("r01", 2.5, 3.0), ("r02", 0.0, 0.5), ("r02", 2.0, 2.5)]
    assert [one[:1] + one[2:4] for one in found] == [("r00", 0.0, np.inf), *pairs, ("r03", 0.0, 3.0)]


def test_right_labels_of_a_class_of_one_recording_are_not_suggested_but_logged(tmp_path, caplog):
    database = write_clips_of(tmp_path, ["mid", *["high", "low"] * 5], 1.0)
    assert not [one for one in label_errors(database) if "mid" in (one.class_name, one.new_class)]
    assert "mid: no other recording to compare" in caplog.text


def test_a_database_without_windows_of_one_class_is_an_error(tmp_path):
    both = [("high", 0.0, 1.0), ("low", 0.0, 1.0)]
    database = write_clips_of(tmp_path, ["high", "low"], 1.0, {0: both, 1: both})
    with pytest.raises(EarshotError, match="no window with one class"):
        label_errors(database)

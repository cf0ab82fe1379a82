"""The sample data as a whole: what a user of it relies on. How it sounds is tested with lib.sample.synthesis."""

import inspect
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.audio import reader
from lib.config.schema import DataSetSettings
from lib.core.errors import DataSetError, SettingsError
from lib.formats.data_sets import read_data_set
from lib.occurrence.occurrence_table import read_occurrences
from lib.occurrence.season import week_of
from lib.sample import synthesis
from lib.sample.soundscapes import (
    COUNTIES,
    RATE,
    SPECIES,
    SPLITS,
    occurrence_values,
    plan_recordings,
    soundscape,
    write_sample,
)
from lib.sound.metadata import moment_in_name
from stages.sample import sample
from tests.recordings import write

SEED, SECONDS = 1, 20
COUNTS = {split.name: split.fewest for split in SPLITS}
LEAST = {"train": 6, "test": 3}
NAMES = {species.code: species.name for species in SPECIES}
CONFUSABLE = [{"DUWH", "SIWH"}, {"MATR", "RITR"}]
DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(sample).parameters.items()}


class Event(NamedTuple):
    """An annotated song: its recording's samples at RATE, first and last sample, and band (Hz)."""

    sound: np.ndarray
    start: int
    end: int
    band: tuple[float, float]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The smallest sample that the stage makes, made by one worker."""
    folder = tmp_path_factory.mktemp("made") / "sample"
    sample(str(folder), seed=SEED, **COUNTS, seconds=SECONDS, workers=1)
    return folder


def test_recordings_do_not_depend_on_the_last_digits_in_which_processors_differ(monkeypatch):
    plain = [soundscape(np.random.default_rng(seed), tuple(range(len(SPECIES))), SECONDS) for seed in range(3)]
    for name in ("sin", "exp", "log2", "sqrt"):
        function = getattr(np, name)
        monkeypatch.setattr(np, name, lambda x, of=function: of(x) * (1 + np.finfo(np.asarray(x, float).dtype).eps))
    for seed, (samples, events) in enumerate(plain):
        again, events_again = soundscape(np.random.default_rng(seed), tuple(range(len(SPECIES))), SECONDS)
        assert events_again == events
        np.testing.assert_array_equal(again, samples)


@pytest.fixture(scope="module")
def annotations(folder) -> pd.DataFrame:
    """The annotations of both splits as they are written, with the split and the file of each."""
    tables = []
    for split in COUNTS:
        table = pd.read_csv(folder / split / "annotations.csv").assign(split=split)
        table["file"] = [folder / split / "recordings" / f"{name}.flac" for name in table["recording"]]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def events(annotations) -> list[Event]:
    sounds = {file: soundfile.read(file, dtype="float32")[0] for file in annotations["file"].unique()}
    return [
        Event(sounds[row.file], round(row.start_time * RATE), round(row.end_time * RATE), (row.low_freq, row.high_freq))
        for row in annotations.itertuples()
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def traits_heard(song: np.ndarray) -> np.ndarray:
    """Octaves of the band's edges and of the strongest beat of the loudness between 5 and 120 Hz."""
    power = np.square(song[: len(song) // 64 * 64]).reshape(-1, 64).mean(axis=1)
    beats = np.abs(np.fft.rfft(power - power.mean(), 8192))
    frequencies = np.arange(len(beats)) * RATE / 64 / 8192
    beats[(frequencies < 5) | (frequencies > 120)] = 0
    return np.log2([*synthesis.band_of(song, RATE), frequencies[beats.argmax()]])


def songs(species, n: int) -> list[np.ndarray]:
    """One song of each of n individuals."""
    rng = np.random.default_rng(5)
    return [
        species.voice(rng, RATE, **{trait: rng.uniform(*limits) for trait, limits in species.traits.items()})
        for _ in range(n)
    ]


def test_the_default_is_enough_to_train_with_and_small_enough_to_download(folder):
    assert DEFAULTS["train"] >= 20 and DEFAULTS["test"] >= 8 and DEFAULTS["seconds"] == 60
    assert len(SPECIES) >= 8 and {split.name: split.least for split in SPLITS} == LEAST
    size = sum(map(len, contents(folder).values()))
    scale = (DEFAULTS["train"] + DEFAULTS["test"]) * DEFAULTS["seconds"] / (sum(COUNTS.values()) * SECONDS)
    assert size * scale < 30e6


@pytest.mark.parametrize("split", COUNTS)
def test_a_split_is_read_without_a_problem(folder, split):
    data = read_data_set(DataSetSettings(path=str(folder / split)))
    assert data.problems == []
    assert len(data.recordings) == COUNTS[split]
    assert dict(zip(data.classes["code"], data.classes["name"], strict=True)) == NAMES
    for file in data.recordings.values():
        assert reader.probe(file) == (SECONDS, RATE, 1)
    heard = data.annotations.groupby("class")["recording"].nunique()
    assert set(heard.index) == set(NAMES.values()) and heard.min() >= LEAST[split]


def test_occurrences_are_read_without_a_problem(folder):
    rows, problems = read_occurrences(folder / "occurrences")
    assert problems == []
    assert len({row.county_code for row in rows}) >= 3
    assert {row.class_name for row in rows} == set(NAMES.values())
    assert len(rows) == len(COUNTIES) * len(SPECIES)
    assert all(row.weeks.shape == (48,) and row.weeks.max() <= 1 for row in rows)
    assert any(row.weeks.max() == 0 for row in rows) and any(0 < (row.weeks > 0).sum() < 48 for row in rows)


def test_species_are_heard_only_where_and_when_they_occur(folder, annotations):
    rows, _ = read_occurrences(folder / "occurrences")
    sites = pd.read_csv(folder / "sites.csv").set_index("site")
    boxes = {row.county_code: row.box for row in rows}
    weeks = {(row.county_code, row.class_name): row.weeks for row in rows}
    for site in sites.itertuples():
        min_x, max_x, min_y, max_y = boxes[site.county_code]
        assert min_x < site.longitude < max_x and min_y < site.latitude < max_y
    for name, code in set(zip(annotations["recording"], annotations["class"], strict=True)):
        week = week_of(moment_in_name(name).date)
        assert weeks[sites.loc[name[-1], "county_code"], NAMES[code]][week - 1] > 0, (name, code)


def test_annotations_lie_within_their_recordings_which_belong_to_one_split(annotations):
    assert annotations.groupby("recording")["split"].nunique().max() == 1
    assert (annotations["start_time"] >= 0).all()
    assert (annotations["end_time"] > annotations["start_time"] + 0.1).all()
    assert (annotations["end_time"] <= SECONDS).all()
    assert (annotations["low_freq"] > 0).all() and (annotations["high_freq"] < RATE / 2).all()
    assert (annotations["high_freq"] > annotations["low_freq"]).all()


def rises(events: list[Event], shift: float) -> tuple[float, float]:
    """Share of events louder in their band than the 0.15 s before, and than the 0.15 s after, if shifted (s)."""
    margin, by = round(0.15 * RATE), round(shift * RATE)
    louder = []
    for sound, start, end, band in events:
        start, end = start + by, end + by
        if start >= margin and end + margin <= len(sound):
            parts = sound[start:end], sound[start - margin : start], sound[end : end + margin]
            inside, before, after = (synthesis.band_power(part, RATE, band) for part in parts)
            louder.append((inside > before, inside > after))
    assert len(louder) > 200
    before, after = np.mean(louder, axis=0)
    return before, after


def test_songs_are_where_the_annotations_say(events):
    assert min(rises(events, 0)) > 0.9
    assert rises(events, 0.3)[0] < 0.6 and rises(events, -0.3)[1] < 0.6  # the test can tell 0.3 s


def test_a_recording_converted_to_mp3_has_its_songs_at_the_same_times(events, tmp_path):
    sound = events[0].sound
    copy = reader.load(write(tmp_path / "copy.mp3", sound, RATE), RATE)
    most = round(0.1 * RATE)
    for first in (RATE, len(sound) - 6 * RATE):
        piece = sound[first : first + 5 * RATE].astype(float)
        around = copy[first - most : first + 5 * RATE + most].astype(float)
        n = len(around)
        match = np.fft.irfft(np.fft.rfft(around, n) * np.conj(np.fft.rfft(piece, n)), n)[: 2 * most + 1]
        assert abs(int(match.argmax()) - most) / RATE < 0.03


def test_the_seed_alone_tells_the_files(folder, tmp_path):
    made = contents(folder)
    list(write_sample(tmp_path / "again", SEED, *COUNTS.values(), SECONDS, workers=2))
    assert contents(tmp_path / "again") == made
    list(write_sample(tmp_path / "again", SEED + 1, *COUNTS.values(), seconds=8, workers=2))
    other = contents(tmp_path / "again")
    assert {path.split("/")[0] for path in other} == {path.split("/")[0] for path in made}
    assert len(other) == len(made)  # what was there is replaced
    assert other["occurrences/occurrences.csv"] != made["occurrences/occurrences.csv"]
    assert not {path for path in other if path.endswith(".flac")} <= set(made)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(SPLITS), st.integers(0, 15))
def test_each_class_is_promised_its_recordings_whatever_the_seed(seed, split, more):
    values = occurrence_values(np.random.default_rng([seed, 0]))
    plans = plan_recordings(np.random.default_rng([seed, 1]), values, split, split.fewest + more)
    assert len({plan.name for plan in plans}) == split.fewest + more
    heard = np.bincount([species for plan in plans for species in plan.species], minlength=len(SPECIES))
    assert heard.min() >= split.least
    assert all(3 <= len(set(plan.species)) == len(plan.species) <= 5 for plan in plans)


def test_individuals_of_a_species_sing_differently():
    for species in SPECIES:
        heard = np.array([traits_heard(song) for song in songs(species, 6)])
        assert np.ptp(heard, axis=0)[:2].max() > 0.05, species.name
        assert len({len(song) for song in songs(species, 6)}) > 3, species.name


def test_species_differ_more_than_their_individuals_unless_they_are_made_alike():
    heard = {species.code: np.array([traits_heard(song) for song in songs(species, 16)]) for species in SPECIES}
    for a, b in combinations(heard, 2):
        if {a, b} not in CONFUSABLE:
            spread = np.sqrt((heard[a].var(axis=0) + heard[b].var(axis=0)) / 2)
            assert (np.abs(heard[a].mean(axis=0) - heard[b].mean(axis=0)) / spread).max() > 2, (a, b)


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "seed": (-1, 1.5, "one"),
        "train": (-3,),
        "test": (0.5,),
        "workers": (-1,),
        "seconds": (19, 3601, float("nan"), "long"),
    }.items(),
)
def test_an_impossible_flag_is_one_line_and_nothing_is_written(tmp_path, name, values):
    for value in values:
        with pytest.raises(SettingsError, match=f"^--{name} = {value!r}: must be") as raised:
            sample(**{"output": str(tmp_path / "sample"), name: value})
        assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", SPLITS)
def test_too_few_recordings_for_the_classes_are_refused(tmp_path, split):
    with pytest.raises(DataSetError, match=f"^{split.name} = {split.fewest - 1}: must be at least"):
        sample(str(tmp_path / "sample"), **COUNTS | {split.name: split.fewest - 1})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_content_is_left_alone(tmp_path):
    own = {"thesis/thesis.txt": b"mine", "train/recordings/field.wav": b"mine"}
    for name, content in own.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    for output in (tmp_path, tmp_path / "thesis", tmp_path / "thesis/thesis.txt", tmp_path / "train"):
        with pytest.raises(DataSetError, match="give a"):
            sample(str(output), **COUNTS, seconds=SECONDS)
    assert contents(tmp_path) == own


def test_a_run_that_is_stopped_leaves_what_was_there(tmp_path):
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "sites.csv").write_text("old")
    made = write_sample(tmp_path / "sample", SEED, *COUNTS.values(), seconds=8)
    next(made)
    made.close()
    assert contents(tmp_path) == {"sample/sites.csv": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]

"""The sample data: soundscapes of invented species with exact annotations, and where and when the species occur.

Everything follows from a seed. First the seasons are drawn, then which recorder ran when and which species it heard (in
proportion to their occurrence there and then), then the sound, recording by recording.
"""

import datetime
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile

from lib.core.csv_files import write_table
from lib.core.errors import DataSetError
from lib.core.parallel import map_ordered
from lib.core.wording import counted
from lib.sample import synthesis

RATE = 32000
STEPS = 2**10
"""Quantization steps from 0 to full scale; FLAC stores these 11 bits in a third of the space that 16 bits take."""

WEEKS = 48
FIELD_WEEKS = range(14, 29)
"""Weeks (1..48, four a month) in which the recorders run: mid-April to the end of July."""

SPECIES_OF_RECORDING = (3, 5)
SONGS_OF_SPECIES = (5, 8)
"""Songs of a species in a minute, whoever sings them."""

SNR = (0.0, 25.0)
"""Levels of the songs over the noise in their bands, dB."""

NEAREST = 10.0
"""Metres from which a song arrives with the highest SNR, which falls by 6 dB with each doubling."""


class SampleSplit(NamedTuple):
    """A data set to make: each class occurs in at least `least` recordings, which takes at least `fewest` of them."""

    name: str
    year: int
    least: int
    fewest: int


# `fewest` always suffices: the classes that a county lacks are placed first, when hardly a recording is full, and when
# the last class is placed, the nine others fill at most 9 * least / 5 recordings.
SPLITS = (SampleSplit("train", 2023, least=6, fewest=17), SampleSplit("test", 2024, least=3, fewest=9))


class SampleCounty(NamedTuple):
    """A county: box in degrees, weeks by which its spring is late, and the letters of its recorders."""

    code: str
    name: str
    min_x: float
    max_x: float
    min_y: float
    max_y: float
    delay: float
    sites: str


COUNTIES = (
    SampleCounty("XA-NO-01", "Upper Fen", -31.0, -30.0, 47.0, 48.0, 1.0, "AB"),
    SampleCounty("XA-NO-02", "Heather Hills", -30.0, -29.0, 47.0, 48.0, 1.5, "CD"),
    SampleCounty("XA-SO-01", "Oak Valley", -31.0, -30.0, 45.0, 46.0, -0.5, "EF"),
    SampleCounty("XA-SO-02", "South Shore", -30.0, -29.0, 45.0, 46.0, -1.0, "GH"),
)


@dataclass(frozen=True)
class Species:
    """A class: what it is called, how it sings, and when and where it occurs.

    Args:
        voice: a function of lib.sample.synthesis.
        traits: the range of each of its parameters, from which an individual's are drawn.
        peak, width: week and spread (weeks) of its season.
        lacks: the county in which it does not occur.
    """

    name: str
    code: str
    alt_name: str
    alt_code: str
    category: str
    color: str
    voice: synthesis.Voice
    traits: dict[str, tuple[float, float]] = field(repr=False)
    peak: float
    width: float
    lacks: str = ""


SPECIES = (
    Species(
        "Dusk Whistler", "DUWH", "Vesperina lenta", "veslen", "bird", "#6a4c93", synthesis.whistles,
        {"pitch": (2300, 3300), "notes": (2, 4), "step": (0.93, 1.12), "note_length": (0.3, 0.6),
         "glide": (-0.1, 0.04)},
        peak=20, width=6,
    ),
    Species(
        "Ford Woodpecker", "FOWO", "Picoides cavus", "piccav", "bird", "#8c510a", synthesis.drumming,
        {"pace": (13, 23), "length": (0.6, 1.5), "resonance": (900, 2000), "acceleration": (-0.3, 0.5)},
        peak=15, width=14,
    ),
    Species(
        "Grass Buzzer", "GRBU", "Stridulus pratensis", "strpra", "bird", "#bf812d", synthesis.buzz,
        {"pitch": (4800, 7200), "flutter": (55, 110), "length": (0.7, 1.6), "depth": (0.06, 0.14), "rise": (-0.1, 0.2)},
        peak=22, width=5, lacks="XA-SO-02",
    ),
    Species(
        "Ladder Warbler", "LAWA", "Scalaria velox", "scavel", "bird", "#1982c4", synthesis.warble,
        {"low": (2400, 3200), "high": (6000, 8500), "pace": (7, 11), "length": (1.2, 2.8)},
        peak=21, width=5,
    ),
    Species(
        "Marsh Trillfinch", "MATR", "Trillula palustris", "tripal", "bird", "#52a675", synthesis.trill,
        {"pitch": (3400, 5000), "pace": (7, 13), "length": (1.1, 2.8), "span": (0.12, 0.4), "drift": (-0.15, 0.1)},
        peak=19, width=6, lacks="XA-NO-02",
    ),
    Species(
        "Pond Creaker", "POCR", "Ranella crepitans", "rancre", "frog", "#8ac926", synthesis.croaks,
        {"pitch": (850, 1500), "pulses": (28, 55), "calls": (2, 5), "call_length": (0.25, 0.6)},
        peak=16, width=6,
    ),
    Species(
        "Ringing Trillfinch", "RITR", "Trillula sonora", "trison", "bird", "#ffca3a", synthesis.trill,
        {"pitch": (4000, 5800), "pace": (10, 18), "length": (1.1, 2.8), "span": (0.2, 0.5), "drift": (-0.15, 0.1)},
        peak=21, width=6,
    ),
    Species(
        "Rusty Jay", "RUJA", "Garrula ferruginea", "garfer", "bird", "#d1495b", synthesis.harsh_calls,
        {
            "pitch": (420, 720), "formant": (1500, 2800), "calls": (2, 4), "call_length": (0.15, 0.35),
            "roughness": (0.01, 0.05),
        },
        peak=24, width=16, lacks="XA-NO-01",
    ),
    Species(
        "Silver Whistler", "SIWH", "Vesperina argentea", "vesarg", "bird", "#9a9cad", synthesis.whistles,
        {"pitch": (2600, 3700), "notes": (3, 5), "step": (0.82, 0.95), "note_length": (0.2, 0.45),
         "glide": (-0.1, 0.04)},
        peak=18, width=6,
    ),
    Species(
        "Thorn Cricket", "THCR", "Gryllita spinosa", "gryspi", "insect", "#ff924c", synthesis.chirps,
        {
            "pitch": (5200, 7400), "pace": (1.6, 3.2), "syllables": (3, 5), "syllable_pace": (22, 38),
            "length": (1.6, 4),
        },
        peak=27, width=7, lacks="XA-SO-01",
    ),
)  # fmt: skip


class Plan(NamedTuple):
    """A recording to make: its name, and which species sing in it (indices into SPECIES)."""

    name: str
    species: tuple[int, ...]


def write_sample(
    folder: str | Path, seed: int, train: int, test: int, seconds: float = 60.0, workers: int = 1
) -> Iterator[tuple[str, int]]:
    """Write the sample data into a folder, which is replaced once all is made.

    It then holds `train` and `test`, data sets in the format `segments` with as many recordings of so many seconds;
    `occurrences/occurrences.csv`, the values of each class in each county and week; and `sites.csv`, the recorders'
    places (the last letter of a recording's name). Files depend on the arguments alone, not on the number of workers.

    Yields the name and the number of annotations of each finished recording. Raises DataSetError for too few recordings
    for the classes, and for a folder that holds something else.
    """
    folder = Path(folder).resolve()
    for split, n in zip(SPLITS, (train, test), strict=True):
        if n < split.fewest:
            raise DataSetError(
                f"{split.name} = {n}",
                f"must be at least {split.fewest}, so that each class can be in {counted(split.least, 'recording')}",
            )
    _refuse_other_content(folder)
    part, old = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("new.part", "old.part"))
    shutil.rmtree(part, ignore_errors=True)
    try:
        yield from _write_all(part, seed, (train, test), seconds, workers)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _refuse_other_content(folder: Path) -> None:
    made = {"train", "test", "occurrences", "sites.csv"}
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if others := sorted(present - made if "sites.csv" in present else present):
        raise DataSetError(folder, f"holds {others[0]}, which the sample data would replace", "give another folder")
    if folder.exists() and not folder.is_dir():
        raise DataSetError(folder, "is a file", "give a folder for the sample data")


def _write_all(
    folder: Path, seed: int, counts: tuple[int, int], seconds: float, workers: int
) -> Iterator[tuple[str, int]]:
    values = occurrence_values(np.random.default_rng([seed, 0]))
    write_table(folder / "occurrences" / "occurrences.csv", occurrence_table(values), None)
    write_table(folder / "sites.csv", _site_table(), None)
    for number, (split, n) in enumerate(zip(SPLITS, counts, strict=True), 1):
        plans = plan_recordings(np.random.default_rng([seed, number]), values, split, n)
        recordings = folder / split.name / "recordings"
        recordings.mkdir(parents=True)

        def make(item: tuple[int, Plan], number: int = number, recordings: Path = recordings) -> list[dict]:
            index, plan = item
            samples, events = soundscape(np.random.default_rng([seed, number, index]), plan.species, seconds)
            soundfile.write(recordings / f"{plan.name}.flac", samples, RATE, subtype="PCM_16", compression_level=0.6)
            return [{"recording": plan.name, **event} for event in events]

        annotations = []
        for plan, events in zip(plans, map_ordered(make, enumerate(plans), workers), strict=True):
            annotations += events
            yield plan.name, len(events)
        table = pd.DataFrame(annotations).sort_values(["recording", "start_time", "class"], kind="stable")
        write_table(folder / split.name / "annotations.csv", table, None)
        write_table(folder / split.name / "classes.csv", class_table(), None)


def class_table() -> pd.DataFrame:
    """The classes table of the species."""
    columns = ["name", "code", "alt_name", "alt_code", "category", "color"]
    return pd.DataFrame(map(attrgetter(*columns), SPECIES), columns=columns)


def occurrence_values(rng: np.random.Generator) -> np.ndarray:
    """Occurrence of each species: (counties, species, 48 weeks), 0..1, bell curves over the year.

    In FIELD_WEEKS it is 0 only where a species lacks a county.
    """
    shape = (len(COUNTIES), len(SPECIES), 1)
    peak = np.array([species.peak for species in SPECIES])[None, :, None] + rng.uniform(-0.5, 0.5, shape)
    peak = peak + np.array([county.delay for county in COUNTIES])[:, None, None]
    width = np.array([species.width for species in SPECIES])[None, :, None]
    distance = np.abs((np.arange(1, WEEKS + 1) - peak + WEEKS / 2) % WEEKS - WEEKS / 2)
    values = rng.uniform(0.4, 0.95, shape) * np.exp(-0.5 * (distance / width) ** 2)
    present = np.array([[species.lacks != county.code for species in SPECIES] for county in COUNTIES])
    return np.where(present[:, :, None] & (values >= 0.005), values, 0).round(3)


def occurrence_table(values: np.ndarray) -> pd.DataFrame:
    """Occurrence values (counties, species, weeks) as a table with a row for each county and class."""
    rows = []
    for county, of_county in zip(COUNTIES, values, strict=True):
        place = {"county_code": county.code, "county_name": county.name}
        place |= {edge: getattr(county, edge) for edge in ("min_x", "max_x", "min_y", "max_y")}
        for species, weeks in zip(SPECIES, of_county, strict=True):
            rows.append({**place, "class": species.name, **{f"w{week}": value for week, value in enumerate(weeks, 1)}})
    return pd.DataFrame(rows)


def _site_table() -> pd.DataFrame:
    """The recorders, spread evenly from west to east over the middle of their county."""
    return pd.DataFrame(
        {
            "site": site,
            "county_code": county.code,
            "latitude": (county.min_y + county.max_y) / 2,
            "longitude": county.min_x + (county.max_x - county.min_x) * (k + 1) / (len(county.sites) + 1),
        }
        for county in COUNTIES
        for k, site in enumerate(county.sites)
    ).round(3)


def plan_recordings(rng: np.random.Generator, values: np.ndarray, split: SampleSplit, n: int) -> list[Plan]:
    """Draw when and where n recordings are made and who sings there.

    The recorders take turns, county by county, on random days of the season. Each class gets at least split.least
    recordings; apart from that, species are drawn in proportion to their occurrence at the recording's place and week.

    values: see occurrence_values. Returns the plans sorted by name.
    """
    recorders = [(county, COUNTIES[county].sites[k]) for k in range(2) for county in range(len(COUNTIES))]
    names: list[str] = []
    chances = np.empty((n, len(SPECIES)))
    while len(names) < n:
        county, site = recorders[len(names) % len(recorders)]
        week = int(rng.choice(FIELD_WEEKS))
        name = f"{_moment(rng, split.year, week):%Y%m%d_%H%M%S}_{site}"
        if name not in names:
            chances[len(names)] = values[county, :, week - 1]
            names.append(name)
    heard = _draw_species(rng, chances, split.least)
    return [Plan(names[k], tuple(int(s) for s in np.flatnonzero(heard[k]))) for k in np.argsort(names)]


def _moment(rng: np.random.Generator, year: int, week: int) -> datetime.datetime:
    """A moment of a week 1..48 (its first seven days), in the morning, at a multiple of five minutes."""
    month, quarter = divmod(week - 1, 4)
    day = datetime.datetime(year, month + 1, 7 * quarter + int(rng.integers(1, 8)))
    return day + datetime.timedelta(minutes=4 * 60 + 5 * int(rng.integers(0, 72)))


def _draw_species(rng: np.random.Generator, chances: np.ndarray, least: int) -> np.ndarray:
    """Which species are heard in which recording, bool like chances (recordings, species)."""
    fewest, most = SPECIES_OF_RECORDING
    heard = np.zeros(chances.shape, bool)
    rarest_first = np.argsort((chances > 0).sum(axis=0), kind="stable")
    for species in rarest_first:
        weights = np.where(heard.sum(axis=1) < most, chances[:, species], 0)
        heard[rng.choice(len(chances), least, replace=False, p=weights / weights.sum()), species] = True
    for row, weights in zip(heard, chances, strict=True):
        missing = int(rng.integers(fewest, most + 1)) - row.sum()
        if missing > 0:
            weights = np.where(row, 0, weights)
            row[rng.choice(len(row), missing, replace=False, p=weights / weights.sum())] = True
    return heard


def soundscape(
    rng: np.random.Generator, species: tuple[int, ...], seconds: float = 60.0
) -> tuple[np.ndarray, list[dict]]:
    """A recording of the given species (indices into SPECIES) in some weather.

    Returns int16 (samples,) at RATE, and the events: class (code), start_time, end_time (s, of the direct sound),
    low_freq and high_freq (Hz, of the song at its source).
    """
    n = round(seconds * RATE)
    bed = _bed(rng, n)
    sound = bed.copy()
    decay = rng.uniform(0.3, 1.1)
    for _ in range(rng.poisson(seconds / 8)):  # calls that nobody could identify, which are not annotated
        call = synthesis.chip(rng, RATE)
        _add_song(rng, sound, bed, call, int(rng.integers(0, n - len(call))), rng.uniform(*SNR), decay)
    events = []
    for index in species:
        for start, song, snr in _songs(rng, SPECIES[index], n):
            low, high = _add_song(rng, sound, bed, song, start, snr, decay)
            times = {"start_time": round(start / RATE, 3), "end_time": round((start + len(song)) / RATE, 3)}
            events.append({"class": SPECIES[index].code, **times, "low_freq": round(low), "high_freq": round(high)})
    sound *= min(1, 0.95 / np.abs(sound).max())
    return np.round(sound * STEPS).astype(np.int16) * np.int16(2**15 // STEPS), events


def _bed(rng: np.random.Generator, n: int) -> np.ndarray:
    """The background: ambience, and by chance wind, rain and insects. float64 (n,)."""
    level = 10 ** (rng.uniform(-57, -51) / 20)
    bed = synthesis.ambience(rng, n, RATE, slope=rng.uniform(1, 1.8), hiss=rng.uniform(0.02, 0.06))
    if rng.random() < 0.5:
        bed += synthesis.wind(rng, n, RATE) * rng.uniform(1, 5)
    if rng.random() < 0.3:
        bed += synthesis.rain(rng, n, RATE, drops=rng.uniform(3, 25)) * rng.uniform(0.3, 1)
    for _ in range(rng.integers(0, 3)):
        pitch, pace = rng.uniform(4500, 9500), rng.uniform(6, 45)
        bed += synthesis.insects(rng, n, RATE, pitch, width=rng.uniform(40, 250), pace=pace) * rng.uniform(0.1, 0.5)
    return bed * level


def _songs(rng: np.random.Generator, species: Species, n: int) -> Iterator[tuple[int, np.ndarray, float]]:
    """First sample, waveform and SNR (dB) of the songs of one or two individuals in n samples."""
    n_songs = max(1, round(rng.integers(SONGS_OF_SPECIES[0], SONGS_OF_SPECIES[1] + 1) * n / RATE / 60))
    n_singers = min(n_songs, int(rng.choice([1, 2], p=[0.65, 0.35])))
    for of_singer in np.array_split(np.arange(n_songs), n_singers):
        traits = {trait: rng.uniform(*limits) for trait, limits in species.traits.items()}
        snr = rng.uniform(*SNR)
        songs = [species.voice(rng, RATE, **traits) for _ in of_singer]
        pauses = rng.dirichlet(np.full(len(songs) + 1, 3.0)) * (n - sum(map(len, songs)))
        start = 0
        for pause, song in zip(pauses[:-1], songs, strict=True):
            start += int(pause)
            yield start, song, float(np.clip(snr + rng.normal(0, 1.5), *SNR))
            start += len(song)


def _add_song(
    rng: np.random.Generator,
    sound: np.ndarray,
    bed: np.ndarray,
    song: np.ndarray,
    start: int,
    snr: float,
    decay: float,
) -> tuple[float, float]:
    """Add a song to `sound` (in place) so that it is snr dB louder than the bed in its band, which is returned (Hz)."""
    band = synthesis.band_of(song, RATE)
    distance = NEAREST * 10 ** ((SNR[1] - snr) / 20)
    arriving = synthesis.propagate(rng, song, RATE, distance, decay)
    end = start + len(song)
    gain = synthesis.gain_for_snr(arriving[: len(song)], bed[start:end], RATE, band, snr)
    last = min(len(sound), start + len(arriving))
    sound[start:last] += gain * arriving[: last - start]
    return band

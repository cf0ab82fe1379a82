import numpy as np
import pytest

from lib.sample import synthesis

RATE = 32000
VOICES = {
    "trill": {"pitch": 4000, "pace": 8, "length": 2, "span": 0.3, "drift": 0},
    "whistles": {"pitch": 3000, "notes": 3, "step": 0.9, "note_length": 0.4, "glide": 0},
    "buzz": {"pitch": 5000, "flutter": 60, "length": 1, "depth": 0.1, "rise": 0.1},
    "warble": {"low": 2500, "high": 7000, "pace": 8, "length": 2},
    "harsh_calls": {"pitch": 500, "formant": 2000, "calls": 3, "call_length": 0.3, "roughness": 0.03},
    "drumming": {"pace": 18, "length": 1, "resonance": 1500, "acceleration": 0.2},
    "croaks": {"pitch": 1200, "pulses": 40, "calls": 3, "call_length": 0.4},
    "chirps": {"pitch": 6000, "pace": 2, "syllables": 4, "syllable_pace": 30, "length": 2},
}
HEIGHTS = {"pitch", "low", "high", "formant", "resonance"}


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def sing(name: str, seed: int = 1, **changes: float) -> np.ndarray:
    return getattr(synthesis, name)(rng(seed), RATE, **VOICES[name] | changes)


def white(seconds: float, seed: int = 1) -> np.ndarray:
    return rng(seed).standard_normal(round(seconds * RATE), dtype=np.float32)


def sine(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def decibels(ratio: float) -> float:
    return 10 * np.log10(ratio)


def share(samples: np.ndarray, low: float, high: float) -> float:
    """Part of the power that lies between two frequencies."""
    return synthesis.band_power(samples, RATE, (low, high)) / synthesis.band_power(samples, RATE, (0, RATE / 2))


def envelope(song: np.ndarray) -> tuple[np.ndarray, float]:
    """Power of stretches of 4 ms, and stretches a second."""
    return np.square(song[: len(song) // 128 * 128]).reshape(-1, 128).mean(axis=1), RATE / 128


def n_bursts(song: np.ndarray) -> int:
    power, _ = envelope(song)
    loud = power > 0.03 * power.max()
    return int(loud[0]) + int((np.diff(loud.astype(int)) == 1).sum())


def beat(song: np.ndarray) -> float:
    """Strongest modulation of the loudness between 5 and 110 Hz."""
    power, rate = envelope(song)
    spectrum = np.abs(np.fft.rfft(power - power.mean(), 4096))
    frequencies = np.arange(len(spectrum)) * rate / 4096
    spectrum[(frequencies < 5) | (frequencies > 110)] = 0
    return float(frequencies[spectrum.argmax()])


@pytest.mark.parametrize("name", VOICES)
def test_a_song_fills_its_samples_with_a_peak_of_1_and_follows_from_the_generator(name):
    song = sing(name)
    assert song.dtype == np.float64 and song.ndim == 1
    assert np.abs(song).max() == pytest.approx(1)
    edge = RATE // 20
    assert np.abs(song[:edge]).max() > 0.05 and np.abs(song[-edge:]).max() > 0.05
    assert np.array_equal(song, sing(name)) and not np.array_equal(song, sing(name, seed=2))


@pytest.mark.parametrize("name", VOICES)
def test_traits_of_pitch_set_the_height_of_the_song(name):
    lower = sing(name, **{trait: value / 2 for trait, value in VOICES[name].items() if trait in HEIGHTS})
    ratios = np.divide(synthesis.band_of(sing(name), RATE), synthesis.band_of(lower, RATE))
    assert ratios == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("trill", 0.85, 1.15), ("buzz", 0.85, 1.15), ("chirps", 0.97, 1.03), ("whistles", 0.77, 1.04)],
)
def test_tonal_songs_lie_around_their_pitch(name, low, high):
    band = np.array(synthesis.band_of(sing(name), RATE)) / VOICES[name]["pitch"]
    assert low <= band[0] < band[1] <= high


def test_notes_and_calls_are_as_many_as_asked_for():
    assert n_bursts(sing("trill")) == 2 * 8
    assert [n_bursts(sing("whistles", notes=notes)) for notes in (2, 3.4, 5)] == [2, 3, 5]
    assert [n_bursts(sing("harsh_calls", calls=calls, roughness=0)) for calls in (2, 4)] == [2, 4]


@pytest.mark.parametrize(("name", "trait"), [("trill", "pace"), ("drumming", "pace"), ("buzz", "flutter")])
def test_notes_strokes_and_flutter_come_at_their_pace(name, trait):
    values = np.array([1, 1.5]) * VOICES[name][trait]
    steady = {"acceleration": 0} if name == "drumming" else {}
    assert [beat(sing(name, **{trait: value}, **steady)) for value in values] == pytest.approx(values, rel=0.08)


def test_a_longer_song_is_longer():
    for name in ("trill", "buzz", "warble", "drumming", "chirps"):
        lengths = [len(sing(name, length=length)) / RATE for length in (2, 4)]
        assert lengths == pytest.approx([2, 4], abs=0.6), name


# dB per km at the exact midband frequencies of 1, 2, 4 and 8 kHz: ISO 9613-2:1996, table 2
@pytest.mark.parametrize(
    ("celsius", "humidity", "per_km"),
    [(10, 70, [3.7, 9.7, 32.8, 117]), (20, 70, [5.0, 9.0, 22.9, 76.6]), (15, 20, [8.2, 28.2, 88.8, 202])],
)
def test_air_absorbs_as_the_standard_says(celsius, humidity, per_km):
    frequencies = 10 ** (3 + 0.3 * np.arange(4))
    assert 1000 * synthesis.absorption(frequencies, celsius, humidity) == pytest.approx(per_km, rel=0.015)


def test_distance_takes_level_and_most_of_it_from_the_heights():
    near, far = (synthesis.propagate(rng(), white(1.0), RATE, distance, 0.5) for distance in (20.0, 120.0))
    tails = decibels((1 + (120 / 200) ** 2) / (1 + (20 / 200) ** 2))
    losses = []
    for low, high in ((900, 1100), (3900, 4100), (11900, 12100)):
        powers = [synthesis.band_power(arriving, RATE, (low, high)) for arriving in (near, far)]
        losses.append(decibels(powers[0] / powers[1]))
    middles = np.array([1000, 4000, 12000])
    assert losses == pytest.approx(100 * synthesis.absorption(middles) - tails, abs=0.7)
    assert losses[2] > losses[1] + 10 > losses[0] + 10


@pytest.mark.parametrize("decay", [0.3, 1.0])
def test_reverberation_grows_with_distance_and_dies_away_in_its_time(decay):
    at, near = RATE // 20, RATE // 500
    click = np.zeros(RATE // 10, np.float32)
    click[at] = 1
    ratios, levels = {}, {}
    for distance in (20.0, 200.0):
        power = np.square(synthesis.propagate(rng(), click, RATE, distance, decay))
        assert len(power) == len(click) + round(decay * RATE) and power.argmax() == at
        levels[distance] = power[at - near : at + near].sum()
        ratios[distance] = power[at + near :].sum() / levels[distance]
        tail = power[at:]
        early, late = (tail[round(k * decay * RATE) :][: round(0.1 * decay * RATE)].sum() for k in (0.2, 0.6))
        assert decibels(early / late) == pytest.approx(0.4 * 60, abs=2)
    assert ratios == pytest.approx({20.0: (20 / 200) ** 2, 200.0: 1}, rel=0.15)
    assert levels[200.0] < 0.6 * levels[20.0]


def test_the_direct_sound_starts_where_the_song_does():
    song = sine(2000, 0.3)
    arriving = synthesis.propagate(rng(), song, RATE, 100.0, 0.4)
    correlation = [np.dot(arriving[lag : lag + len(song)], song) for lag in range(8)]
    assert np.argmax(correlation) == 0 and arriving.dtype == np.float64


def test_a_chip_is_a_waveform_like_the_others():
    call = synthesis.chip(rng(), RATE)
    assert call.dtype == np.float64 and np.abs(call).max() == pytest.approx(1)


def test_band_of_finds_the_frequencies_of_the_energy():
    assert synthesis.band_of(sine(1000), RATE) == pytest.approx((1000, 1000), abs=2)
    assert synthesis.band_of(sine(1000) + sine(5000), RATE) == pytest.approx((1000, 5000), abs=2)
    assert synthesis.band_of(sine(1000) + 0.1 * sine(5000), RATE) == pytest.approx((1000, 1000), abs=2)


def test_band_power_is_half_the_squared_amplitude_of_a_sine_in_the_band():
    assert synthesis.band_power(0.4 * sine(3000), RATE, (2900, 3100)) == pytest.approx(0.08, rel=1e-3)
    assert synthesis.band_power(0.4 * sine(3000), RATE, (4000, 5000)) < 1e-6


@pytest.mark.parametrize("snr", [0.0, 10.0, 25.0])
def test_gain_brings_a_song_to_the_asked_level_over_the_noise_of_its_band(snr):
    song, noise, band = sine(3000), 0.01 * white(1.0) + sine(500), (2900, 3100)
    gain = synthesis.gain_for_snr(song, noise, RATE, band, snr)
    ratio = synthesis.band_power(gain * song, RATE, band) / synthesis.band_power(noise, RATE, band)
    assert decibels(ratio) == pytest.approx(snr, abs=0.01)


def test_noise_has_the_spectrum_asked_for_and_a_power_of_1():
    n = 2 * RATE
    power = ((np.fft.rfftfreq(n, 1 / RATE) > 4000) & (np.fft.rfftfreq(n, 1 / RATE) < 6000)).astype(float)
    noise = synthesis.coloured_noise(rng(), n, power)
    assert noise.shape == (n,) and noise.dtype == np.float64
    assert np.square(noise).mean() == pytest.approx(1, rel=0.05)
    assert share(noise, 3990, 6010) > 0.999


@pytest.mark.parametrize("n", [5 * RATE, 5 * RATE + 1])
def test_weather_and_insects_lie_where_they_do_outdoors(n):
    beds = {
        "ambience": synthesis.ambience(rng(), n, RATE, slope=1.5, hiss=0.03),
        "wind": synthesis.wind(rng(), n, RATE),
        "rain": synthesis.rain(rng(), n, RATE, drops=10),
        "insects": synthesis.insects(rng(), n, RATE, pitch=7000, width=100, pace=20),
    }
    for bed in beds.values():
        assert bed.shape == (n,) and bed.dtype == np.float64 and np.isfinite(bed).all()
    assert np.square(beds["ambience"]).mean() == pytest.approx(1, rel=0.1)
    assert 0.4 < np.square(beds["wind"]).mean() < 2.5
    assert share(beds["ambience"], 0, 1000) > 0.7 and share(beds["wind"], 0, 300) > 0.8
    assert share(beds["rain"], 1000, 8000) > 0.7 and share(beds["insects"], 6500, 7500) > 0.95

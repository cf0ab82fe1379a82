"""Animal songs, distance and weather, synthesized.

A voice is a function that renders one song from an individual's traits. Traits are drawn once for each individual,
small irregularities for each song. `propagate` carries a song through air and vegetation to the recorder; ambience,
wind, rain and insects are the background.

All functions are pure: what is random comes from the numpy Generator that they are given. Waveforms are float64
(samples,) at `rate` (Hz); frequencies are in Hz, durations in seconds. A song starts at its first sample and ends at
its last one, with a peak of 1.

All is computed in double precision: processors differ in the last digits, and the 10 bits of a sample of the recordings
must not depend on them.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import scipy.fft

Voice = Callable[..., np.ndarray]

CRITICAL_DISTANCE = 200.0
"""Metres at which the sound that vegetation and ground scatter is as strong as the direct sound; open woodland."""


def trill(
    rng: np.random.Generator, rate: int, pitch: float, pace: float, length: float, span: float, drift: float
) -> np.ndarray:
    """The same falling note repeated, louder at first from note to note.

    pitch: centre of the note. pace: notes a second. span: sweep of a note over its pitch. drift: relative change of
    pitch from the first note to the last.
    """
    n_notes = max(3, round(length * pace))
    pitches = pitch * (1 + drift * np.linspace(-0.5, 0.5, n_notes)) * rng.normal(1, 0.006, n_notes)
    duration = rng.uniform(0.55, 0.7) / pace
    notes = [_sweep(p * (1 + span / 2), p * (1 - span / 2), duration, rate, (1, 0.12), bend=0.6) for p in pitches]
    swell = np.minimum(1, np.linspace(0.3, 2.2, n_notes)) * rng.normal(1, 0.08, n_notes)
    onsets = (np.arange(n_notes) + rng.normal(0, 0.015, n_notes)) / pace
    return _sequence(zip(onsets, [note * level for note, level in zip(notes, swell, strict=True)], strict=True), rate)


def whistles(
    rng: np.random.Generator, rate: int, pitch: float, notes: float, step: float, note_length: float, glide: float
) -> np.ndarray:
    """A few pure tones of different pitch with pauses between them.

    pitch: of the first note. notes: how many (rounded). step: ratio of a note's pitch to that of the note before.
    glide: relative change of pitch within a note.
    """
    tones, onset = [], 0.0
    for k in range(round(notes)):
        duration = note_length * rng.uniform(0.75, 1.25)
        start = pitch * step**k * rng.normal(1, 0.012)
        tone = _sweep(start, start * (1 + glide), duration, rate, (1, 0.06, 0.02)) * rng.uniform(0.6, 1)
        tones.append((onset, tone))
        onset += duration + note_length * rng.uniform(0.25, 0.6)
    return _sequence(tones, rate)


def buzz(
    rng: np.random.Generator, rate: int, pitch: float, flutter: float, length: float, depth: float, rise: float
) -> np.ndarray:
    """A carrier that flutters in pitch and loudness too fast to be heard as notes.

    flutter: modulations a second. depth: relative excursion of the pitch. rise: relative change of pitch to the end.
    """
    time = _time(length * rng.uniform(0.9, 1.1), rate)
    wave = np.sin(2 * np.pi * flutter * time + rng.uniform(0, 2 * np.pi))
    frequency = pitch * (1 + rise * (time / time[-1] - 0.5)) * (1 + depth * wave)
    return _peak_1(_tone(frequency, rate, (1, 0.1)) * (0.55 + 0.45 * wave) * _swell(len(time), 0.3, 0.08))


def warble(rng: np.random.Generator, rate: int, low: float, high: float, pace: float, length: float) -> np.ndarray:
    """A hurried phrase of different sweeps between `low` and `high`, each sung one to three times; pace: a second."""
    syllables, onset = [], 0.0
    while onset < length:
        start, end = np.exp(rng.uniform(np.log(low), np.log(high), 2))
        duration = rng.uniform(0.5, 0.9) / pace
        syllable = _sweep(start, end, duration, rate, (1, 0.15, 0.04), bend=rng.uniform(-0.6, 0.6))
        for _ in range(rng.integers(1, 4)):
            syllables.append((onset, syllable * rng.uniform(0.5, 1)))
            onset += rng.uniform(0.95, 1.1) / pace
    return _sequence(syllables, rate)


def harsh_calls(
    rng: np.random.Generator,
    rate: int,
    pitch: float,
    formant: float,
    calls: float,
    call_length: float,
    roughness: float,
) -> np.ndarray:
    """Nasal calls: a stack of harmonics of an arched pitch, loudest around `formant`, made hoarse by jitter.

    calls: how many (rounded). roughness: standard deviation of the relative jitter of the pitch.
    """
    ranks = np.arange(1, 15)
    weights = np.exp(-0.5 * (np.log2(ranks * pitch / formant) / 0.6) ** 2) + 0.03
    sounds, onset = [], 0.0
    for _ in range(round(calls)):
        time = _time(call_length * rng.uniform(0.8, 1.2), rate)
        arch = 1 + 0.18 * np.sin(np.pi * time / time[-1]) - 0.1 * time / time[-1]
        knots = np.linspace(0, time[-1], max(4, round(time[-1] * 180)))
        jitter = 1 + np.interp(time, knots, rng.normal(0, roughness, len(knots)))
        sounds.append((onset, _tone(pitch * arch * jitter, rate, weights) * _swell(len(time), 0.12, 0.3)))
        onset += time[-1] + call_length * rng.uniform(0.4, 0.9)
    return _sequence(sounds, rate)


def drumming(
    rng: np.random.Generator, rate: int, pace: float, length: float, resonance: float, acceleration: float
) -> np.ndarray:
    """Strokes on hollow wood, fading towards the end.

    pace: strokes a second. resonance: main frequency of the wood. acceleration: relative change of pace to the end.
    """
    n_strokes = max(5, round(length * pace))
    gaps = (1 - acceleration * np.linspace(-0.5, 0.5, n_strokes - 1)) / pace
    onsets = np.concatenate([[0], np.cumsum(gaps * rng.normal(1, 0.02, n_strokes - 1))])
    time = _time(0.035, rate)
    modes = [(resonance, 1.0), (resonance * rng.uniform(1.5, 1.7), 0.5), (resonance * rng.uniform(2.5, 2.9), 0.25)]
    wood = sum(gain * np.sin(2 * np.pi * mode * time) * np.exp(-time * 0.35 * mode) for mode, gain in modes)
    wood *= 1 - np.exp(-time * 2500)
    click = np.exp(-time * 1500) * 0.08
    levels = np.linspace(1, rng.uniform(0.3, 0.7), n_strokes) * rng.uniform(0.8, 1, n_strokes)
    strokes = [(wood + click * rng.standard_normal(len(time))) * level for level in levels]
    return _sequence(zip(onsets, strokes, strict=True), rate)


def croaks(
    rng: np.random.Generator, rate: int, pitch: float, pulses: float, calls: float, call_length: float
) -> np.ndarray:
    """Calls of a frog: each a creak of damped pulses. pulses: a second. calls: how many (rounded)."""
    time = _time(min(0.04, 1.5 / pulses), rate)
    pulse = (np.sin(2 * np.pi * pitch * time) + 0.5 * np.sin(2 * np.pi * 2.1 * pitch * time)) * np.exp(-time * 110)
    pulse *= 1 - np.exp(-time * 1500)
    sounds, onset = [], 0.0
    for _ in range(round(calls)):
        n_pulses = max(4, round(call_length * rng.uniform(0.8, 1.2) * pulses))
        levels = np.minimum(1, np.linspace(0.25, 1.8, n_pulses)) * rng.uniform(0.85, 1, n_pulses)
        onsets = onset + (np.arange(n_pulses) + rng.normal(0, 0.04, n_pulses).clip(-0.1, 0.1)) / pulses
        sounds += [(at, pulse * level) for at, level in zip(onsets, levels, strict=True)]
        onset += n_pulses / pulses + call_length * rng.uniform(0.5, 1.3)
    return _sequence(sounds, rate)


def chirps(
    rng: np.random.Generator,
    rate: int,
    pitch: float,
    pace: float,
    syllables: float,
    syllable_pace: float,
    length: float,
) -> np.ndarray:
    """Song of a cricket: chirps of a few short pure syllables.

    pace: chirps a second. syllables: of a chirp (rounded). syllable_pace: syllables a second within a chirp.
    """
    n_chirps, n_syllables = max(2, round(length * pace)), round(syllables)
    duration = 0.6 / syllable_pace
    onsets = [
        onset + k / syllable_pace
        for onset in (np.arange(n_chirps) + rng.normal(0, 0.03, n_chirps)) / pace
        for k in range(n_syllables)
    ]
    syllable = _sweep(pitch * 1.01, pitch * 0.985, duration, rate, (1, 0.05))
    levels = np.tile(np.linspace(0.6, 1, n_syllables), n_chirps)
    return _sequence(((onset, syllable * level) for onset, level in zip(onsets, levels, strict=True)), rate)


def chip(rng: np.random.Generator, rate: int) -> np.ndarray:
    """A short call such as many species have, of any pitch from 2.5 to 8 kHz."""
    start = rng.uniform(2500, 8000)
    return _peak_1(_sweep(start, start * rng.uniform(0.6, 1.2), rng.uniform(0.02, 0.07), rate, (1, 0.2), bend=0.5))


def absorption(frequencies: np.ndarray, celsius: float = 15.0, humidity: float = 70.0) -> np.ndarray:
    """Attenuation of sound by air, dB per metre, at the given frequencies (any shape) and at 101.325 kPa.

    humidity: relative, in percent. Source: ISO 9613-1:1993, equations 3 to 5 and, for the molar concentration of water
    vapour, B.1 to B.3.
    """
    kelvin = celsius + 273.15
    relative = kelvin / 293.15
    vapour = humidity * 10 ** (4.6151 - 6.8346 * (273.16 / kelvin) ** 1.261)
    oxygen = 24 + 4.04e4 * vapour * (0.02 + vapour) / (0.391 + vapour)
    nitrogen = relative**-0.5 * (9 + 280 * vapour * np.exp(-4.170 * (relative ** (-1 / 3) - 1)))
    squares = np.square(np.asarray(frequencies, dtype=float))
    relaxation = 0.01275 * np.exp(-2239.1 / kelvin) / (oxygen + squares / oxygen)
    relaxation += 0.1068 * np.exp(-3352.0 / kelvin) / (nitrogen + squares / nitrogen)
    return 8.686 * squares * (1.84e-11 * relative**0.5 + relative**-2.5 * relaxation)


def propagate(rng: np.random.Generator, song: np.ndarray, rate: int, distance: float, decay: float) -> np.ndarray:
    """A song after `distance` (m): high frequencies are absorbed, a reverberant tail of `decay` seconds is added.

    The direct sound starts at sample 0, and its overall level is left to the caller (see `gain_for_snr`). The tail is
    exponentially decaying noise (Moorer 1979, "About this reverberation business") that loses 60 dB in `decay`; its
    energy over that of the direct sound is (distance / CRITICAL_DISTANCE) squared, as in a diffuse field.
    Returns the samples of the song and of the tail, float64 (len(song) + decay * rate,).
    """
    n_tail = round(decay * rate)
    n = scipy.fft.next_fast_len(len(song) + n_tail, real=True)
    time = np.arange(n_tail) / rate
    tail = rng.standard_normal(n_tail, dtype=np.float32) * np.exp(-math.log(1000) / float(decay) * time)
    tail[: rate // 250] = 0  # the first reflections arrive after 4 ms
    tail *= float(distance / CRITICAL_DISTANCE / np.sqrt(np.square(tail).sum()))
    tail[0] = 1  # the direct sound
    loss = 10 ** (-absorption(scipy.fft.rfftfreq(n, 1 / rate)) * distance / 20)
    spectrum = scipy.fft.rfft(song, n) * scipy.fft.rfft(tail, n) * loss
    return scipy.fft.irfft(spectrum, n)[: len(song) + n_tail]


def band_of(song: np.ndarray, rate: int, share: float = 0.9) -> tuple[float, float]:
    """Lowest and highest frequency of the band that holds `share` of a song's energy."""
    power, n = _power_spectrum(song)
    energy = np.cumsum(power)
    low, high = np.searchsorted(energy / energy[-1], [(1 - share) / 2, (1 + share) / 2]) * rate / n
    return float(low), float(high)


def band_power(samples: np.ndarray, rate: int, band: tuple[float, float]) -> float:
    """Mean power of a waveform within a band (low, high)."""
    power, n = _power_spectrum(samples)
    low, high = (round(edge * n / rate) for edge in band)
    return float(power[low : high + 1].sum() * 2 / n / len(samples))


def gain_for_snr(song: np.ndarray, noise: np.ndarray, rate: int, band: tuple[float, float], snr: float) -> float:
    """Factor for `song` that puts its mean power in a band `snr` dB above that of `noise`."""
    ratio = band_power(noise, rate, band) / max(band_power(song, rate, band), 1e-20)
    return float(np.sqrt(ratio * 10 ** (snr / 10)))


def coloured_noise(rng: np.random.Generator, n: int, power: np.ndarray) -> np.ndarray:
    """Gaussian noise of n samples with a mean power of 1.

    power: (n // 2 + 1,), relative power density at the frequencies of scipy.fft.rfftfreq(n).
    """
    parts = (
        rng.standard_normal((n // 2 + 1, 2), dtype=np.float32) * np.sqrt(power / power.sum() * (n / 2) * n / 2)[:, None]
    )
    return scipy.fft.irfft(parts.view(np.complex128)[:, 0], n)


def ambience(rng: np.random.Generator, n: int, rate: int, slope: float, hiss: float) -> np.ndarray:
    """Distant noise that falls by `slope` (1: pink, 2: brown) above 150 Hz, over a recorder's own white noise.

    hiss: power of the white noise over that of the rest. Mean power 1.
    """
    fall = 1 / (1 + (_frequencies(n, rate) / 150) ** 2) ** (slope / 2)
    return coloured_noise(rng, n, fall / fall.sum() + hiss / len(fall))


def wind(rng: np.random.Generator, n: int, rate: int) -> np.ndarray:
    """Gusts: noise below some 200 Hz that swells and falls within seconds. Mean power about 1."""
    frequencies = _frequencies(n, rate)
    rumble = coloured_noise(rng, n, frequencies**2 / (40 + frequencies) ** 2 / (1 + (frequencies / 120) ** 3))
    return rumble * _slow(rng, n, rate, every=1.5, low=0.15, high=1.8)


def rain(rng: np.random.Generator, n: int, rate: int, drops: float) -> np.ndarray:
    """A hiss around 3 kHz that comes and goes slowly, with `drops` (a second) that are heard individually."""
    frequencies = _frequencies(n, rate)
    hiss = coloured_noise(rng, n, frequencies / 3000 / (1 + (frequencies / 3000) ** 2.5))
    hiss *= _slow(rng, n, rate, every=8, low=0.6, high=1.3)
    time = _time(0.008, rate)
    n_drops = rng.poisson(drops * n / rate)
    pitches, levels = rng.uniform(800, 5000, (n_drops, 1)), rng.exponential(4, (n_drops, 1))
    shapes = levels * np.sin(2 * np.pi * pitches * time) * np.exp(-time * 600)
    places = rng.integers(0, max(1, n - len(time)), (n_drops, 1)) + np.arange(len(time))
    np.add.at(hiss, places, shapes)
    return hiss


def insects(rng: np.random.Generator, n: int, rate: int, pitch: float, width: float, pace: float) -> np.ndarray:
    """A chorus: a noisy band of `width` (Hz) around `pitch` that pulses `pace` times a second and drifts in level."""
    band = np.exp(-0.5 * ((_frequencies(n, rate) - pitch) / width) ** 2) + 1e-12
    time = np.arange(n) / rate
    pulses = 0.6 + 0.4 * np.sin(2 * np.pi * pace * time)
    return coloured_noise(rng, n, band) * pulses * _slow(rng, n, rate, every=5, low=0.4, high=1.5)


def _power_spectrum(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Squared magnitudes of the FFT and its length, to which the samples are padded for speed."""
    n = scipy.fft.next_fast_len(len(samples), real=True)
    spectrum = scipy.fft.rfft(samples, n)
    return np.square(spectrum.real) + np.square(spectrum.imag), n


def _time(seconds: float, rate: int) -> np.ndarray:
    return np.arange(max(2, round(seconds * rate))) / rate


def _frequencies(n: int, rate: int) -> np.ndarray:
    return scipy.fft.rfftfreq(n, 1 / rate)


def _slow(rng: np.random.Generator, n: int, rate: int, every: float, low: float, high: float) -> np.ndarray:
    """A curve between low and high that takes a new random value every so many seconds."""
    knots = rng.uniform(low, high, max(2, round(n / rate / every) + 1))
    return np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)


def _swell(n: int, attack: float, release: float) -> np.ndarray:
    """An envelope of n samples, 0 at both ends; attack and release are shares of it."""
    place = (np.arange(n) + 0.5) / n
    return np.sin(np.pi / 2 * np.minimum(1, np.minimum(place / attack, (1 - place) / release)))


def _tone(frequency: np.ndarray, rate: int, harmonics: Sequence[float]) -> np.ndarray:
    """A tone of varying frequency (samples,) with harmonics of the given amplitudes, as far as the rate allows."""
    phase = 2 * np.pi * np.cumsum(frequency) / rate
    top = frequency.max()
    heard = [(rank, gain) for rank, gain in enumerate(harmonics, 1) if rank == 1 or rank * top < 0.48 * rate]
    return sum((gain * np.sin(rank * phase) for rank, gain in heard), np.zeros_like(phase))


def _sweep(
    start: float, end: float, seconds: float, rate: int, harmonics: Sequence[float], bend: float = 0.0
) -> np.ndarray:
    """A note that glides from one frequency to another; bend > 0: faster at first, < 0: faster at last."""
    time = _time(seconds, rate)
    place = (time / time[-1]) ** np.exp(-bend)
    return _tone(start * (end / start) ** place, rate, harmonics) * _swell(len(time), 0.2, 0.45)


def _sequence(sounds: Iterable[tuple[float, np.ndarray]], rate: int) -> np.ndarray:
    """Waveforms added up, each from its onset (s); the first onset becomes sample 0."""
    sounds = list(sounds)
    first = min(onset for onset, _ in sounds)
    placed = [(round((onset - first) * rate), sound) for onset, sound in sounds]
    song = np.zeros(max(start + len(sound) for start, sound in placed))
    for start, sound in placed:
        song[start : start + len(sound)] += sound
    return _peak_1(song)


def _peak_1(song: np.ndarray) -> np.ndarray:
    return song / np.abs(song).max()

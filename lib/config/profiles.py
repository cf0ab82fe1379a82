"""Profiles: settings for a kind of sound, to start from.

A profile says how sound becomes windows and what counts in them: the band, the length of a window, how finely time and
frequency are resolved. What a profile does not name has its default.
"""

from pathlib import Path
from typing import Any, NamedTuple

from lib.config.load import names_with_section, setting
from lib.config.params_file import Change, write_params
from lib.config.schema import Settings
from lib.core.errors import SettingsError


class Profile(NamedTuple):
    """Settings for a kind of sound.

    Args:
        about: the sounds, in words.
        values: `section.key` -> value.
    """

    about: str
    values: dict[str, Any]


PROFILES: dict[str, Profile] = {
    "birds": Profile("songs and calls of birds, up to 15 kHz", {}),
    "bats": Profile(
        "echolocation calls of a few milliseconds, 10 to 120 kHz, recorded at 256 kHz or more",
        {
            "audio.sampling_rate": 256000,
            "audio.spec_duration": 0.2,
            "audio.spec_height": 128,
            "audio.win_length": 512,  # 2 ms, a quarter of it a hop, as in batdetect2
            "audio.hop_length": 128,
            "audio.freq_scale": "linear",
            "audio.min_freq": 10000.0,
            "audio.max_freq": 120000.0,
            "extract.overlap": 0.1,
            "extract.min_seconds": 0.005,
            "train.augmentations.time_mask.seconds": 0.02,
            "infer.overlap": 0.1,
            "evaluate.min_seconds": 0.005,
            "evaluate.onset_collar": 0.01,
        },
    ),
    "frogs": Profile(
        "calls of frogs and toads, below 7 kHz",
        {
            "audio.sampling_rate": 16000,
            "audio.win_length": 512,
            "audio.hop_length": 160,
            "audio.min_freq": 100.0,
            "audio.max_freq": 7000.0,
        },
    ),
    "insects": Profile(
        "crickets, grasshoppers and cicadas, 1 to 23 kHz",
        {
            "audio.sampling_rate": 48000,
            "audio.spec_height": 128,
            "audio.hop_length": 480,
            "audio.freq_scale": "linear",
            "audio.min_freq": 1000.0,
            "audio.max_freq": 23000.0,
        },
    ),
    "instruments": Profile(
        "musical instruments, also ones that training does not hear",
        {
            # High overtones and faint sounds tell single instruments apart, and mislead on others.
            "audio.sampling_rate": 16000,
            "audio.spec_duration": 1.0,  # notes, not tunes: those of training tell nothing about others
            "audio.win_length": 512,
            "audio.min_freq": 30.0,
            "audio.max_freq": 7900.0,
            "audio.db_power": 2.0,
            "extract.overlap": 0.5,
            "infer.overlap": 0.5,
        },
    ),
    "machines": Profile(
        "machines, engines and tools, whose sounds last",
        {
            "audio.sampling_rate": 16000,
            "audio.spec_duration": 5.0,
            "audio.spec_height": 128,
            "audio.win_length": 1024,  # 64 ms, half of it a hop, as in the baseline of DCASE's task 2
            "audio.hop_length": 512,
            "audio.min_freq": 20.0,
            "audio.max_freq": 8000.0,
            "extract.overlap": 2.5,
            "infer.overlap": 2.5,
        },
    ),
}
KEYS = list(dict.fromkeys(key for profile in PROFILES.values() for key in profile.values))
"""The settings that a profile is about."""


def profile_values(name: str, params: str | Path) -> dict[str, Any]:
    """The values of a profile: `section.key` -> value, for each of KEYS, but those of parts that params does not list.

    Raises SettingsError if there is no such profile or file.
    """
    if name not in PROFILES:
        raise SettingsError(f"profile {name!r}", f"must be one of {', '.join(PROFILES)}")
    defaults = Settings()
    keys = names_with_section(params, KEYS)
    return {key: PROFILES[name].values.get(key, setting(defaults, key)) for key in keys}


def apply_profile(name: str, params: str | Path) -> list[Change]:
    """Write the settings of a profile into a settings file, whose comments and other values stay.

    Returns what changes. Raises SettingsError if there is no such profile or file, or if another setting does not fit.
    """
    return write_params(profile_values(name, params), params)

import datetime
import struct
import time
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import AudioError
from lib.sound.metadata import Position, moment_in_name, recording_moment, recording_position
from tests.recordings import add_guano, noise, write
from tests.rights import ordinary_user

FIELD = Path(__file__).parents[3] / "shared/data/field"
UTC = datetime.UTC
real = pytest.mark.skipif(not FIELD.is_dir(), reason="../shared/data/field is missing")


def with_comment(path: Path, comment: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        file.comment = comment
        file.write(noise(0.1, 8000))
    return path


@pytest.fixture
def wav(tmp_path) -> Path:
    return write(tmp_path / "x.wav", noise(0.1, 8000), 8000)


@pytest.mark.parametrize(
    "stem",
    [
        *("20240512_053000", "2024-05-12", "2024_05_12_dawn", "SMM01234_20240512_053000", "20240512T053000Z"),
        *("20240512053000", "202405120530", "site7-2024-05-12T05-30-00", "20241305_20240512", "Rec20240512_053000"),
        *("Rec20240512053000", "site2024-05-12"),
    ],
)
def test_dates_are_found_in_recorder_names(stem):
    assert moment_in_name(stem).date == datetime.date(2024, 5, 12)


@pytest.mark.parametrize(
    "stem",
    [
        *("", "XC123456", "20240230_053000", "20241301", "2024-05_12", "120240512", "2024051", "2024051212"),
        *("30240512", "240512", "XC19981230", "N20101130", "xc20240512_song"),
    ],
)
def test_what_is_not_a_possible_date_is_refused(stem):
    assert moment_in_name(stem) is None


@pytest.mark.parametrize(
    ("stem", "clock", "hours"),
    [
        ("SM4_20240512_053015", (5, 30, 15), None),
        ("20240512T053015Z", (5, 30, 15), 0),
        ("20240512T053015+0200_site", (5, 30, 15), 2),
        ("2024-05-12T05-30-15-05:00", (5, 30, 15), -5),
        ("2024-05-12 05.30", (5, 30, 0), None),
        ("20240512053015", (5, 30, 15), None),
        ("202405120530", (5, 30, 0), None),
        ("20240512_053015T", (5, 30, 15), None),
        ("20240512_0530", (5, 30, 0), None),
        ("20240512T053015+9900", (5, 30, 15), None),
    ],
)
def test_the_time_of_day_and_its_zone_are_found_after_the_date(stem, clock, hours):
    zone = None if hours is None else datetime.timezone(datetime.timedelta(hours=hours))
    found = moment_in_name(stem)
    assert found.time == datetime.datetime(2024, 5, 12, *clock, tzinfo=zone)
    assert found.time.tzinfo == zone and found.source == "file name"


@pytest.mark.parametrize("stem", ["20240512", "20240512_dawn", "20240512_2530", "20240512_5", "20240512_0530001"])
def test_without_a_time_of_day_only_the_date_is_known(stem):
    assert moment_in_name(stem)[:2] == (datetime.date(2024, 5, 12), None)


@given(st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2099, 12, 31)), st.sampled_from("_T-"))
def test_any_written_time_is_read_back(moment, separator):
    moment = moment.replace(microsecond=0)
    assert moment_in_name(f"SM4_{moment:%Y%m%d}{separator}{moment:%H%M%S}").time == moment


@given(st.text())
def test_any_name_is_answered(stem):
    assert moment_in_name(stem) is None or moment_in_name(stem).date.year >= 1900


def test_old_audiomoth_names_are_seconds_in_hexadecimal(tmp_path):
    found = recording_moment(tmp_path / "5B3A2C10.WAV")
    assert found.time == datetime.datetime(2018, 7, 2, 13, 43, 44, tzinfo=UTC)
    assert found.date == datetime.date(2018, 7, 2) and found.source == "AudioMoth file name"
    for stem in ("20240512", "FFFFFFFF", "00000001", "5B3A2C1", "5b3a2c10", "X5B3A2C10"):
        found = recording_moment(tmp_path / f"{stem}.WAV")
        assert found is None or found.source == "file name"


@real
@pytest.mark.parametrize(
    ("file", "moment"),
    [
        ("audiomoth_gps.wav", datetime.datetime(2024, 5, 28, 10, 0, tzinfo=UTC)),
        ("metadata.wav", datetime.datetime(2020, 4, 4, 10, 25, tzinfo=UTC)),
        ("field_1min_32k.wav", datetime.datetime(2018, 5, 4, 9, 32, tzinfo=UTC)),
    ],
)
def test_real_audiomoth_recordings_tell_their_time_in_the_comment(file, moment):
    assert recording_moment(FIELD / file) == (moment.date(), moment, "WAV comment")
    assert recording_position(FIELD / file) is None


@real
def test_real_recordings_without_metadata_tell_nothing():
    silent = [file for file in FIELD.iterdir() if recording_moment(file) is None]
    assert len(silent) == len(list(FIELD.iterdir())) - 3


@pytest.mark.parametrize(
    ("zone", "hours"),
    [(" (UTC)", 0), ("", 0), (" (UTC+1)", 1), (" (UTC-2:30)", -2.5), (" (UTC+0530)", 5.5), (" (UTC+10:00)", 10)],
)
def test_comments_of_audiomoth_in_any_zone(tmp_path, zone, hours):
    path = with_comment(tmp_path / "x.wav", f"Recorded at 19:17:30 10/12/2018{zone} by AudioMoth 24 at gain setting 2")
    offset = datetime.timezone(datetime.timedelta(hours=hours))
    assert recording_moment(path).time == datetime.datetime(2018, 12, 10, 19, 17, 30, tzinfo=offset)
    assert recording_moment(path).time.utcoffset() == datetime.timedelta(hours=hours)


@pytest.mark.parametrize(
    "comment", ["Recorded at 19:17:30 31/02/2018 (UTC)", "Recorded at dawn", "Recorded at 25:00:00 01/02/2018"]
)
def test_comments_that_tell_no_possible_time_tell_nothing(tmp_path, comment):
    assert recording_moment(with_comment(tmp_path / "x.wav", comment)) is None


def test_comments_of_other_formats_are_read(tmp_path):
    path = with_comment(tmp_path / "x.flac", "Recorded at 19:17:30 10/12/2018 (UTC) by AudioMoth 24")
    assert recording_moment(path).date == datetime.date(2018, 12, 10)


@pytest.mark.parametrize(
    ("text", "microsecond", "hours"),
    [
        ("2024-05-12T05:30:00+02:00", 0, 2),
        ("2024-05-12T05:30:00Z", 0, 0),
        ("2024-05-12 05:30:00", 0, None),
        ("2024-05-12T05:30:00.250-04:00", 250_000, -4),
    ],
)
def test_guano_tells_time_and_place(wav, text, microsecond, hours):
    zone = None if hours is None else datetime.timezone(datetime.timedelta(hours=hours))
    at = datetime.datetime(2024, 5, 12, 5, 30, 0, microsecond, zone)
    content = f"GUANO|Version: 1.0\nTimestamp: {text}\nLoc Position: 45.25 -75.5\nNote: none\n"
    add_guano(wav, content, b"junk\x02\0\0\0xx")
    assert recording_moment(wav) == (at.date(), at, "GUANO")
    assert recording_moment(wav).time.tzinfo == zone
    assert recording_position(wav) == Position(45.25, -75.5)


@pytest.mark.parametrize(
    "text",
    [
        "Timestamp: yesterday\nLoc Position: here",
        "Timestamp:\nLoc Position: 45.25",
        "no colon at all\nLoc Position: 95 0\nTimestamp: 2024-02-30T00:00:00",
        "Loc Position: nan nan\nTimestamp: 2024-05-12T05:30:00+99:00",
        "",
        "\xff\x00",
    ],
)
def test_invalid_guano_tells_nothing(wav, text, capfd):
    add_guano(wav, text)
    assert recording_moment(wav) is None and recording_position(wav) is None
    assert capfd.readouterr().err == ""


def test_one_bad_field_of_guano_does_not_hide_the_others(wav):
    add_guano(wav, "nonsense\nTimestamp: yesterday\nLoc Position: 45.25 -75.5")
    assert recording_position(wav) == Position(45.25, -75.5) and recording_moment(wav) is None


def test_the_name_takes_precedence_over_guano_and_guano_over_the_comment(tmp_path):
    comment = "Recorded at 19:17:30 10/12/2018 (UTC) by AudioMoth 24"
    path = add_guano(with_comment(tmp_path / "5B3A2C10.WAV", comment), "Timestamp: 2023-05-12T05:30:00")
    assert recording_moment(path).source == "GUANO"
    assert recording_moment(path, "site_20240512").source == "file name"
    assert recording_moment(with_comment(tmp_path / "5B3A2C10.WAV", comment)).source == "WAV comment"


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff", b"text" * 50]
)
def test_files_that_are_damaged_or_missing_tell_nothing(tmp_path, content):
    (tmp_path / "x.wav").write_bytes(content)
    for path in (tmp_path / "x.wav", tmp_path / "none.wav"):
        assert recording_moment(path, "x") is None and recording_position(path) is None


@pytest.mark.parametrize("tells", [lambda path: recording_moment(path, "x"), recording_position])
def test_a_file_that_cannot_be_read_is_an_error_and_not_one_without_metadata(tmp_path, tells):
    path = write(tmp_path / "x.wav", noise(0.1, 8000), 8000)
    path.chmod(0)
    with ordinary_user(tmp_path), pytest.raises(AudioError, match=r"x\.wav: cannot be read \(Permission denied"):
        tells(path)


@pytest.mark.parametrize("form", ["RIFF", "RF64"])
def test_a_long_recording_takes_no_longer_than_a_short_one(tmp_path, form):
    """Half a day of silence, most of it a hole in the file, is answered without reading it."""
    path, n_bytes = tmp_path / "x.wav", 2**31 - 2**20 if form == "RIFF" else 2**32
    sizes = b"" if form == "RIFF" else struct.pack("<4sIQQQI", b"ds64", 28, n_bytes + 72, n_bytes, n_bytes // 2, 0)
    short = [size if form == "RIFF" else 0xFFFFFFFF for size in (n_bytes + 36, n_bytes)]
    header = struct.pack("<4sI4s", form.encode(), short[0], b"WAVE") + sizes
    header += struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 24000, 48000, 2, 16, b"data", short[1])
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + n_bytes)
    with path.open("ab") as file:
        text = b"Timestamp: 2024-05-12T05:30:00\n\n"
        file.write(struct.pack("<4sI", b"guan", len(text)) + text)
    begin = time.process_time()
    assert recording_moment(path).date == datetime.date(2024, 5, 12)
    assert time.process_time() - begin < 0.5  # reading it would take a second
    assert path.stat().st_blocks * 512 < 2**20

import os
import re
import socket
import struct
import subprocess
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
import soxr

from lib.audio import reader
from lib.audio.spectrograms import recording_windows
from lib.config.schema import AudioSettings
from lib.core.errors import AudioError, Problem
from tests.memory import peak_memory
from tests.recordings import LEVEL, noise, sine, truncate, write
from tests.rights import ordinary_user

RATE = 32000


def read(path: Path, rate: int = RATE, **options) -> tuple[np.ndarray, list[str]]:
    notes: list[str] = []
    return np.concatenate(
        [*reader.stream(path, rate, note=lambda problem: notes.append(problem.fault), **options)]
    ), notes


def tone_of(samples: np.ndarray, rate: int = RATE) -> tuple[float, float]:
    """Frequency (Hz) and amplitude of the strongest tone in the middle second."""
    middle = samples[len(samples) // 2 - rate // 2 :][:rate]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(rate))) * 4 / rate
    return float(spectrum.argmax()), float(spectrum.max())


def peak_of_stream(path: Path, rate: int, channel: str) -> int:
    return peak_memory(lambda: deque(reader.stream(path, rate, channel), maxlen=0))


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("rate", [8000, 44100, 500_000])
def test_wav_of_any_rate_and_number_of_channels_keeps_length_pitch_and_level(tmp_path, rate, channels):
    samples = np.tile(sine(1000, 3.0, rate)[:, None], channels)
    path = write(tmp_path / "a.wav", samples, rate)
    sound, notes = read(path)
    frequency, level = tone_of(sound)
    assert (len(sound), frequency, notes) == (3 * RATE, 1000, [])
    assert level == pytest.approx(LEVEL, rel=0.01) and sound.dtype == np.float32
    assert reader.probe(path) == (3.0, rate, channels)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "m4a", "aiff", "w64", "caf"])
def test_every_format_keeps_length_pitch_and_level(tmp_path, suffix, channels):
    path = write(tmp_path / f"a.{suffix}", np.tile(sine(1000, 12.0, 44100)[:, None], channels), 44100)
    sound, notes = read(path)
    frequency, level = tone_of(sound)
    assert len(sound) == pytest.approx(12 * RATE, abs=0.05 * RATE if suffix == "m4a" else 1)
    assert (frequency, notes) == (1000, []) and level == pytest.approx(LEVEL, rel=0.02)


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 500_000])
def test_blocks_join_as_if_the_recording_were_resampled_in_one_piece(tmp_path, rate):
    samples = noise(20.0 if rate < 100_000 else 9.0, rate)
    sound, _ = read(write(tmp_path / "a.wav", samples, rate, "FLOAT"))
    whole = soxr.resample(samples, rate, RATE)
    assert len(sound) == len(whole)
    np.testing.assert_allclose(sound, whole, atol=1e-5)


def test_without_resampling_samples_are_as_they_stand_in_the_file(tmp_path):
    samples = noise(17.0, RATE)
    np.testing.assert_array_equal(read(write(tmp_path / "a.wav", samples, RATE, "FLOAT"))[0], samples)


@pytest.mark.parametrize("suffix", ["wav", "flac", "m4a"])
def test_start_skips_that_many_seconds(tmp_path, suffix):
    samples = noise(12.0, 22050)
    path = write(tmp_path / f"a.{suffix}", samples, 22050)
    whole, skipped = read(path, 22050)[0], read(path, 22050, start=10.0)
    np.testing.assert_array_equal(skipped[0], whole[220500:])
    assert skipped[1] == []


def test_of_several_channels_their_mean_the_first_or_the_cleanest_is_taken(tmp_path):
    song = sine(1000, 12.0, RATE) * (np.arange(12 * RATE) % RATE < RATE // 4)
    hiss, dead = noise(12.0, RATE), np.zeros_like(song)
    path = write(tmp_path / "a.wav", np.stack([song + hiss, dead, song + 0.01 * hiss], axis=1), RATE, "FLOAT")
    np.testing.assert_allclose(read(path, channel="mix")[0], (2 * song + 1.01 * hiss) / 3, atol=1e-6)
    np.testing.assert_allclose(read(path, channel="first")[0], song + hiss, atol=1e-6)
    np.testing.assert_allclose(read(path, channel="cleanest")[0], song + 0.01 * hiss, atol=1e-6)


def test_a_damaged_channel_is_not_the_cleanest():
    samples = np.stack([noise(1.0, RATE), np.full(RATE, np.nan, np.float32)], axis=1)
    assert reader.cleanest_channel(samples) == 0
    assert reader.cleanest_channel(samples[:, ::-1]) == 1


def test_the_cleanest_channel_of_a_short_recording_is_found(tmp_path):
    samples = np.stack([np.zeros(RATE, np.float32), noise(1.0, RATE)], axis=1)
    path = write(tmp_path / "a.wav", samples, RATE, "FLOAT")
    np.testing.assert_array_equal(read(path, channel="cleanest")[0], samples[:, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_values_that_are_no_sound_become_silence_with_a_note(tmp_path, value):
    samples = noise(10.0, RATE)
    broken = samples.copy()
    broken[1000:1010] = value
    sound, notes = read(write(tmp_path / "a.wav", broken, RATE, "FLOAT"))
    samples[1000:1010] = 0
    np.testing.assert_array_equal(sound, samples)
    assert len(notes) == 1 and notes[0].startswith("10 samples not a number")


@pytest.mark.parametrize(
    "suffix", ["wav", "aiff", "flac", "mp3", "w64", "rf64", "au", "caf", "ogg", "opus", "aifc", "ima.wav", "gsm.wav"]
)
def test_of_a_truncated_recording_what_is_left_is_used_with_a_note(tmp_path, suffix):
    rate = {"opus": 48000, "gsm.wav": 8000}.get(suffix, 44100)
    kind = {"rf64": ("RF64", "PCM_16"), "opus": ("OGG", "OPUS"), "aifc": ("AIFF", "IMA_ADPCM")}
    kind |= {"ima.wav": ("WAV", "IMA_ADPCM"), "gsm.wav": ("WAV", "GSM610")}
    file_format, subtype = kind.get(suffix, (suffix.upper(), None))
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(20.0, rate), rate, format=file_format, subtype=subtype)
    whole, notes = read(path, rate)
    assert notes == [] and len(whole) == pytest.approx(20 * rate, abs=0.2 * rate)
    sound, notes = read(truncate(path, 0.6), rate)
    seconds = len(sound) / rate
    assert seconds == pytest.approx(12, abs=1.5 if suffix in ("ogg", "opus") else 0.2)
    end = len(sound) - (3000 if subtype else 0)  # of the last compressed block, half is there
    np.testing.assert_allclose(sound[:end], whole[:end], atol=1e-3 if suffix == "mp3" else 1e-6)
    (note,) = notes
    shown = note.removeprefix("truncated or damaged: ").removesuffix(" s could be read")
    assert shown.removesuffix(" of 20.0").removesuffix(" of 19.9").removesuffix(" of 20.1") == f"{seconds:.1f}"
    behind_the_end: list[Problem] = []
    assert sum(map(len, reader.stream(path, rate, start=15.0, note=behind_the_end.append))) == 0
    assert [problem.again for problem in behind_the_end] == [True]  # it may be whole next time


def encode(
    path: Path, encoder: str, rate: int, video: float = 0.0, is_stream: bool = False, **options: dict[str, str]
) -> Path:
    """Write 20 s, most of them silent, with FFmpeg's libraries, and a video; as a stream: sizes are not filled in."""
    samples = np.zeros(20 * rate, np.float32)
    samples[-5 * rate :] = noise(5.0, rate)
    with path.open("wb") as file:
        target = SimpleNamespace(write=file.write) if is_stream else file
        with av.open(target, "w", format=path.suffix[1:], options=options.get("container", {})) as container:
            audio = container.add_stream(encoder, rate=rate, layout="mono", options=options.get("codec", {}))
            pictures = container.add_stream("mpeg4", rate=10, width=64, height=64) if video else None
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.sample_rate = rate
            for part in av.AudioResampler(audio.format.name, "mono", rate, audio.frame_size or 1024).resample(frame):
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
            for number in range(round(video * 10)):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                picture.pts = number
                container.mux(pictures.encode(picture))
            if pictures:
                container.mux(pictures.encode(None))
    return path


def test_recordings_whose_headers_tell_no_duration_of_the_sound_are_whole(tmp_path):
    varied = {"flags": "+qscale", "global_quality": "472"}
    files = [
        encode(tmp_path / "varied.mp3", "mp3", 44100, container={"write_xing": "0"}, codec=varied),
        encode(tmp_path / "video.mp4", "aac", 44100, video=25.0),
        encode(tmp_path / "video.matroska", "libopus", 48000, video=25.0),
        encode(tmp_path / "stream.flac", "flac", 44100, is_stream=True),
    ]
    for path in files:
        sound, notes = read(path, 44100)
        assert notes == [] and len(sound) / 44100 == pytest.approx(20.0, abs=0.1), path
        assert reader.probe(path).seconds in (0, pytest.approx(20.0, abs=0.1)), path


@pytest.mark.parametrize(
    ("container", "encoder"),
    [
        *[(name, "aac") for name in ("adts", "ipod", "mov", "3gp", "flv", "mpegts")],
        *[("ac3", "ac3"), ("eac3", "eac3"), ("mpeg", "mp2"), ("asf", "mp3"), ("avi", "mp3"), ("webm", "libopus")],
        *[("wv", "wavpack"), ("tta", "tta"), ("voc", "pcm_s16le"), ("sox", "pcm_s32be"), ("au", "pcm_s16be")],
    ],
)
def test_containers_of_sound_and_film_are_read(tmp_path, container, encoder):
    sound, notes = read(encode(tmp_path / f"a.{container}", encoder, 48000), 48000)
    assert notes == [] and len(sound) / 48000 == pytest.approx(20.0, abs=0.1)


def test_each_container_that_is_allowed_is_one_that_ffmpeg_reads():
    assert all(av.ContainerFormat(name, "r").is_input for name in reader.CONTAINERS.split(","))


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
MANIFEST = "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period><BaseURL>{}</BaseURL></Period></MPD>"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.wav", "v=0\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n"),
        ("a.wav", "ffconcat version 1.0\nfile whole.wav\n"),
        ("a.m3u8", PLAYLIST.format("whole.wav")),
        ("a.m3u8", PLAYLIST.format("http://127.0.0.1:{port}/a.ts")),
        ("a.mpd", MANIFEST.format("http://127.0.0.1:{port}/")),
        ("a.asx", "[Reference]\nRef1=http://127.0.0.1:{port}/a.wav\n"),
        ("a.wav", "rtsp://127.0.0.1:{port}/a.wav\n"),
    ],
)
def test_a_recording_cannot_make_us_open_another_file_or_the_network(tmp_path, name, content):
    write(tmp_path / "whole.wav", noise(1.0, RATE), RATE)
    path, level = tmp_path / name, av.logging.get_level()
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, av.logging.Capture(local=False) as log:
        tcp.bind(("127.0.0.1", 0))  # without listening, so that connecting fails at once, and FFmpeg logs that
        udp.bind(tcp.getsockname())  # binding fails likewise
        path.write_text(content.format(port=tcp.getsockname()[1]))
        av.logging.set_level(av.logging.ERROR)
        try:
            with pytest.raises(AudioError, match=r"cannot be decoded \(no known sound format\)"):
                read(path)
        finally:
            av.logging.set_level(level)
    assert not [line for _, _, line in log if re.search("failed|loading", line)]


def test_a_wav_of_unknown_length_as_streaming_software_writes_it_is_whole(tmp_path):
    path = write(tmp_path / "a.wav", noise(1.0, RATE), RATE)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    sound, notes = read(path)
    assert (len(sound), notes) == (RATE, [])


@pytest.mark.parametrize(("suffix", "wrong"), [("flac", "wav"), ("wav", "mp3"), ("m4a", "wav"), ("mp3", "flac")])
def test_a_wrong_suffix_does_not_matter(tmp_path, suffix, wrong):
    path = write(tmp_path / f"a.{suffix}", sine(1000, 3.0, 44100), 44100)
    assert tone_of(read(path.rename(tmp_path / f"b.{wrong}"))[0])[0] == 1000


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "m4a"])
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"This is no sound.\n" * 100, "cannot be decoded"),
        (np.random.default_rng(1).bytes(5000), "cannot be decoded"),
        (b"RIFF" + np.random.default_rng(1).bytes(5000), "cannot be decoded"),
    ],
)
def test_what_is_no_recording_is_an_error_of_one_line_and_nothing_else_is_printed(
    tmp_path, capfd, suffix, content, fault
):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    for attempt in (reader.probe, lambda path: read(path)):
        with pytest.raises(AudioError) as error:
            attempt(path)
        assert error.value.subject == str(path) and error.value.fault.startswith(fault)
        assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_the_duration_of_a_bare_aac_stream_is_not_guessed(tmp_path):
    path = tmp_path / "a.aac"
    with av.open(str(path), "w", format="adts") as file:
        stream = file.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine(1000, 5.0, RATE)[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        file.mux([*stream.encode(frame), *stream.encode(None)])
    sound, notes = read(path)
    assert reader.probe(path).seconds == 0 and notes == []
    assert len(sound) == pytest.approx(5 * RATE, rel=0.02) and tone_of(sound)[0] == 1000


def test_files_are_closed_whether_they_could_be_read_or_not(tmp_path):
    good, bad = write(tmp_path / "a.wav", noise(0.1, 8000), 8000), tmp_path / "b.wav"
    bad.write_bytes(b"RIFF" + bytes(100))
    n_open = []
    for _ in range(5):
        read(good)
        with pytest.raises(AudioError):
            read(bad)
        n_open.append(len(os.listdir("/proc/self/fd")))
    assert n_open[-1] <= n_open[0]  # less, if files of other tests are closed meanwhile


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a"])
def test_a_disk_that_fails_for_a_moment_is_an_error_and_no_end_of_the_recording(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", noise(60.0, 44100), 44100)
    blocks = reader.stream(path, 44100)
    next(blocks)
    with open(os.devnull, "wb") as nothing:  # reading from it fails
        for file in Path("/proc/self/fd").iterdir():
            if os.path.realpath(file) == str(path):
                os.dup2(nothing.fileno(), int(file.name))
    with pytest.raises(
        AudioError, match=r"cannot be read \(Bad file|failed for a moment; check the disk, and run the s"
    ):
        list(blocks)
    assert len(read(path)[0]) == pytest.approx(60 * RATE, rel=0.01)  # next time


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_header_that_reads_otherwise_the_next_time_is_an_error(tmp_path, suffix):
    """As where the disk failed for a moment while it was read the first time."""
    path = write(tmp_path / f"a.{suffix}", noise(2.0, RATE), RATE)
    blocks = reader.stream(path, RATE)
    next(blocks)
    path.unlink()
    write(path, noise(3.0, RATE), RATE)
    with pytest.raises(AudioError, match="reading it failed for a moment"):
        list(blocks)


def test_a_header_without_samples_is_an_error(tmp_path):
    path = write(tmp_path / "a.wav", np.empty(0), RATE)
    with pytest.raises(AudioError, match="holds no sound"):
        read(path)


def test_a_wav_that_is_cut_behind_its_header_is_an_error(tmp_path):
    path = write(tmp_path / "a.wav", noise(1.0, RATE), RATE)
    os.truncate(path, 44)
    assert reader.probe(path).seconds == 0
    with pytest.raises(AudioError, match="holds no sound"):
        read(path)


def test_a_wav_of_an_unknown_codec_is_an_error(tmp_path):
    path = write(tmp_path / "a.wav", noise(0.1, RATE), RATE)
    content = bytearray(path.read_bytes())
    for tag in range(0x500):
        content[20:22] = struct.pack("<H", tag)
        path.write_bytes(content)
        with suppress(AudioError):
            read(path)
    with pytest.raises(AudioError, match="cannot be decoded"):
        read(path)


def test_what_is_no_regular_file_is_an_error_instead_of_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "endless.wav").symlink_to("/dev/zero")
    (tmp_path / "folder.wav").mkdir()
    for name in ("pipe", "endless", "folder"):
        for attempt in (reader.probe, read):
            with pytest.raises(AudioError, match=f"{name}.wav: cannot be read .it is not a regular file"):
                attempt(tmp_path / f"{name}.wav")


def test_a_recording_that_may_not_be_read_is_an_error(tmp_path):
    path = write(tmp_path / "a.wav", noise(0.1, RATE), RATE)
    path.chmod(0)
    with ordinary_user(tmp_path), pytest.raises(AudioError, match="Permission denied"):
        read(path)


@pytest.mark.parametrize("rate", [1, 99, 10_000_001, 2**31 - 1])
def test_an_impossible_sampling_rate_is_an_error_and_takes_no_memory(tmp_path, rate):
    path = write(tmp_path / "a.wav", noise(20.0, 8000), 8000)
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    for attempt in (reader.probe, read):
        with pytest.raises(AudioError, match=f"has a sampling rate of {rate} Hz in its header"):
            attempt(path)


def test_a_low_sampling_rate_is_resampled_in_constant_memory(tmp_path):
    path = write(tmp_path / "a.wav", noise(20_000.0, 100), 100)
    assert peak_of_stream(path, 48_000, "mix") < 50e6


@pytest.mark.parametrize("name", [b"LIST", b"fact", b"bext", b"junk"])
def test_a_chunk_that_claims_to_be_huge_takes_no_memory(tmp_path, name):
    path = write(tmp_path / "a.wav", noise(1.0, RATE), RATE)
    content = path.read_bytes()
    path.write_bytes(content[:36] + name + struct.pack("<I", 0xFFFFFFF0) + content[36:])
    code = f"""
import resource
from lib.audio import reader
from lib.core.errors import AudioError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    list(reader.stream({str(path)!r}, 22050))
except AudioError:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000  # KB


def test_a_compressed_wav_of_more_than_2_gb_is_as_long_as_it_is(tmp_path):
    path = write(tmp_path / "a.wav", noise(1.0, 16_000), 16_000, "IMA_ADPCM")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    size = 2_160_000_000
    content[at : at + 4] = struct.pack("<I", size)
    content[4:8] = struct.pack("<I", size + at - 4)
    path.write_bytes(content)
    os.truncate(path, at + 4 + size)
    seconds_a_byte = 1 / struct.unpack_from("<I", content, 28)[0]
    assert reader.probe(path).seconds == pytest.approx(size * seconds_a_byte, rel=0.01)  # 74 hours


def test_a_damaged_mp3_prints_nothing(tmp_path, capfd):
    path = write(tmp_path / "a.mp3", noise(10.0, 44100), 44100)
    content = path.read_bytes()
    path.write_bytes(content[:40_000] + bytes(3000) + content[43_000:])
    _, notes = read(path)
    assert len(notes) == 1 and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("channel", ["mix", "cleanest"])
def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path, channel):
    paths = [tmp_path / "short.flac", tmp_path / "long.flac"]
    for path, seconds in zip(paths, (300, 1800), strict=True):
        with soundfile.SoundFile(path, "w", 8000, 2) as file:
            for _ in range(seconds // 30):
                file.write(noise(60, 8000).reshape(-1, 2))
    short, long = (peak_of_stream(path, 16000, channel) for path in paths)
    assert long < 1.2 * short


@pytest.mark.parametrize(("rate", "is_noted"), [(16000, False), (11025, True)])
def test_a_recording_that_lacks_most_of_the_band_is_noted(tmp_path, rate, is_noted):
    path, problems = write(tmp_path / "a.wav", sine(1000, 1.0, rate), rate), []
    audio = AudioSettings(sampling_rate=32000, min_freq=1000, max_freq=15000, spec_duration=0.5)
    list(recording_windows(path, audio, 0.5, 8, note=problems.append))
    assert [problem.fault for problem in problems] == (
        [f"recorded at {rate:,} Hz, which lacks most of the band that is analyzed"] if is_noted else []
    )
    assert not any(problem.lost for problem in problems)

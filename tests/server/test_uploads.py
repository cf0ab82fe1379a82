"""What comes in the name of a recording."""

import asyncio
import tempfile

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lib.server.uploads import received
from tests.recordings import noise, sine, wav_header, write
from tests.training_data.builders import RATE

SCRIPT = "<script>alert(1)</script>.wav"


def wav(seconds_promised: float, seconds: float, rate: int = 48000) -> bytes:
    """A WAV file whose header promises more than there is."""
    return wav_header(seconds_promised, rate) + (noise(seconds, rate) * 32767).astype("<i2").tobytes()


def line_of(response) -> str:
    assert response.status_code == 422, response.text
    (fault,) = response.json()["detail"]
    assert "\n" not in fault["msg"]
    return fault["msg"]


@pytest.mark.parametrize("promised", [50, 36000])
def test_a_header_that_promises_10_h_with_1_s_behind_is_refused(server, promised):
    line = line_of(server.predict(wav(promised, 1)))
    assert line == f"sound.wav: truncated or damaged: 1.0 of {promised}.0 s could be read; check the file"


def test_a_recording_that_is_too_long_is_refused(server, tmp_path):
    long = write(tmp_path / "long.flac", sine(500, 61.0, RATE), RATE)
    assert "is longer than 60 s" in line_of(server.predict(long))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"<!doctype html><html><body onload=alert(1)></body></html>", "cannot be decoded"),
        (b"RIFF", "cannot be decoded"),
        (b"RIFF\xff\xff\xff\x7fWAVEfmt \xff\xff\xff\x7f", "is damaged"),
        (bytes(5000), "cannot be decoded"),
        (b"fLaC" + bytes(range(256)) * 20, "cannot be decoded"),
        (b"OggS" + bytes(range(256)) * 20, "cannot be decoded"),
        (b"\x80\x04\x95cposix\nsystem\n(S'touch /tmp/x'\ntR.", "cannot be decoded"),
    ],
)
def test_what_is_no_sound_gets_one_clear_line(server, content, fault):
    line = line_of(server.predict(content, name="page.wav"))
    assert line.startswith("page.wav: ")
    assert fault in line
    assert "/" not in line.replace("WAV", "")


def test_one_bad_file_of_several_is_named(server, served):
    response = server.predict(served / "data/set/recordings/r00.wav", b"no sound")
    assert response.json()["detail"][0]["loc"] == ["body", "audio_files", 1]


@pytest.mark.parametrize(
    "name",
    [
        SCRIPT,
        "../../etc/cron.d/x.wav",
        "a\\b\\c.wav",
        "a\r\nSet-Cookie: x.wav",
        5000 * "n",
        "\U0001f438.wav",
        "x\0y.wav",
    ],
)
def test_file_names_are_shown_and_nothing_else(server, name):
    response = server.predict(b"no sound", name=name)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/json"
    assert "set-cookie" not in response.headers
    assert len(response.text) < 1000
    if name == SCRIPT:
        assert line_of(response).startswith(f"{SCRIPT}: cannot be decoded")


def test_other_fields_and_other_bodies_are_refused(server, served):
    sound = served / "data/set/recordings/r00.wav"
    wrong_field = server.post("/model/predict-files", files={"file": ("a.wav", sound.read_bytes())})
    assert line_of(wrong_field) == "recordings belong into fields named audio_files"
    assert server.post("/model/predict-files", files={"audio_files": "x"}, data={"a": "b"}).status_code == 413
    assert line_of(server.post("/model/predict-files", content=b"RIFF")).startswith("send recordings as multipart")
    broken = server.post(
        "/model/predict-files", content=b"--c\r\nhello", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert (broken.status_code, broken.json()) == (400, {"detail": "is not multipart/form-data"})
    empty = server.post(
        "/model/predict-files", content=b"--b--\r\n", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert line_of(empty) == "holds no file"
    assert server.post("/model/predict-files", files=[("audio_files", ("a", b""))] * 5).status_code == 413


def test_uploads_are_removed(server, served):
    server.predict(served / "data/set/recordings/r00.wav", b"no sound")
    assert list((served / "uploads").iterdir()) == []


def test_an_upload_that_the_disk_has_no_room_for_is_told_to_come_back(tmp_path, monkeypatch):
    """Here, the folder of temporary files is gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    body = b'--b\r\nContent-Disposition: form-data; name="audio_files"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}

    async def receive() -> dict:
        return {"type": "http.request", "body": body}

    async def work() -> None:
        async with received(Request(scope, receive), 1):
            pass

    with pytest.raises(HTTPException, match="503: the server has no room for the upload"):
        asyncio.run(work())

"""What goes wrong in a decoder costs the recording that it reads, and no other."""

import asyncio
import json
import os
import resource
import signal
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest
import soundfile
from starlette.testclient import TestClient

from lib.config.load import load_settings
from lib.core.errors import AudioError
from lib.inference.streams import WindowReader
from lib.server.app import make_app
from lib.server.decoder_messages import DecoderMessage, DecodingJob
from lib.server.decoder_pool import Decoder, DecoderPool
from tests.recordings import noise, wav_header, write
from tests.server.server_process import server_params
from tests.training_data.builders import AUDIO, RATE
from tests.waiting import wait_until

HARMLESS = {
    "PATH",
    "LANG",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONPATH",
    "LC_CTYPE",
}
"""Variables of the environment that hold no secrets."""
WINDOWS = WindowReader(AUDIO, 0.25, 8)


def sparse_wav(path: Path, seconds: int, rate: int = 48000) -> Path:
    """A WAV file of silence that takes no room."""
    head = wav_header(seconds, rate)
    path.write_bytes(head)
    os.truncate(path, len(head) + 2 * seconds * rate)
    return path


async def read(job: DecodingJob, memory_mb: int = 1024, seconds: int = 60) -> tuple[list, Decoder]:
    decoder = await Decoder.start(memory_mb, seconds)
    try:
        return [message async for message in decoder.read(job)], decoder
    finally:
        await decoder.stop()


def test_a_recording_that_takes_too_long_is_given_up(tmp_path):
    endless = sparse_wav(tmp_path / "endless.wav", 4 * 3600)
    with pytest.raises(AudioError, match="takes too long to decode"):
        asyncio.run(read(DecodingJob(path=str(endless), windows=WINDOWS), seconds=1))


def test_a_recording_that_takes_too_much_memory_is_given_up(tmp_path):
    file = sparse_wav(tmp_path / "wide.wav", 600)
    greedy = WindowReader(AUDIO, 0.0125, 100_000)  # windows of 1 GB together
    with pytest.raises(AudioError, match="needs more memory than the server allows to decode"):
        asyncio.run(read(DecodingJob(path=str(file), windows=greedy), memory_mb=100))


def test_a_decoder_that_dies_is_replaced(tmp_path):
    file = write(tmp_path / "a.wav", noise(300.0, RATE), RATE)
    job = DecodingJob(path=str(file), windows=WINDOWS)

    async def work() -> tuple[int, int, int]:
        pool = DecoderPool(1, 1024, 60)
        await pool.start()
        try:
            with pytest.raises(
                AudioError, match=r"cannot be decoded \(its decoder crashed\); convert it to WAV or FLAC"
            ):
                async with pool.decoder(60) as decoder:
                    async for _ in decoder.read(job):
                        with suppress(ProcessLookupError):  # it is dead, and what it wrote before still comes
                            decoder._process.send_signal(signal.SIGSEGV)
            async with pool.decoder(60) as decoder:
                n = sum([len(message.starts) async for message in decoder.read(job)])
            return n, pool.n_alive, pool.n_replaced
        finally:
            await pool.stop()

    n_windows, n_alive, n_replaced = asyncio.run(work())
    assert (n_windows, n_alive, n_replaced) == (1199, 1, 1)


def test_a_decoder_whose_recording_nobody_waits_for_stands_ready_again(tmp_path):
    """Clients that go away again and again do not keep the others waiting for new processes."""
    job = DecodingJob(path=str(write(tmp_path / "a.wav", noise(300.0, RATE), RATE)), windows=WINDOWS)

    async def some_of_it(pool: DecoderPool) -> None:
        async with pool.decoder(60) as decoder:
            async for _ in decoder.read(job):
                await asyncio.sleep(0.05)

    async def work() -> tuple[list[int], int]:
        pool = DecoderPool(1, 1024, 60)
        await pool.start()
        try:
            for seconds in (0.001, 0.01, 0.03, 0.1):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(some_of_it(pool), seconds)
            async with pool.decoder(60) as decoder:
                return [len(message.starts) async for message in decoder.read(job)], pool.n_replaced
        finally:
            await pool.stop()

    n_windows, n_replaced = asyncio.run(work())
    assert (sum(n_windows), n_replaced) == (1199, 0)


def test_a_cancellation_that_comes_with_a_message_loses_neither(tmp_path):
    job = DecodingJob(path=str(write(tmp_path / "a.wav", noise(3.0, RATE), RATE)), windows=WINDOWS)

    async def work() -> list[str]:
        decoder = await Decoder.start(1024, 60)
        messages = list[DecoderMessage]()

        async def read_all() -> None:
            async for message in decoder.read(job):
                messages.append(message)

        try:
            reading = asyncio.create_task(read_all())
            while decoder._reading is None:
                await asyncio.sleep(0)
            decoder._reading.add_done_callback(lambda _: reading.cancel())
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert not messages
            return [(await decoder._next()).kind, (await decoder._next()).kind, (await decoder._next()).kind]
        finally:
            await decoder.stop()

    assert asyncio.run(work()) == ["windows", "windows", "end"]


def test_a_stream_ends_with_a_line_if_no_decoder_starts_any_more(served, tmp_path, monkeypatch):
    settings = load_settings(server_params(tmp_path / "params.yaml", served, workers=1, timeout=2.0))
    asked = {"params": {"model_ckpt_path": "model.pt"}, "json": ["set"]}
    with TestClient(make_app(settings), "http://localhost") as client:
        wait_until(lambda: client.get("/ready").status_code == 200)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(tmp_path / "missing"))
            for child in psutil.Process().children():
                if "lib.server.decoder" in child.cmdline():
                    child.kill()
            wait_until(lambda: client.get("/ready").status_code == 503)
            (line,) = client.post("/model/predict-directory-stream", **asked).text.splitlines()
            assert json.loads(line) == {"error": "the server: no decoder starts; try again later"}
            assert client.get("/ready").status_code == 503
        wait_until(lambda: client.get("/ready").status_code == 200)
        assert len(client.post("/model/predict-directory-stream", **asked).text.splitlines()) == 4


def wait_for_decoders(server) -> None:
    wait_until(lambda: server.metric("earshot_decoders ") == 2)


def test_a_crash_costs_one_request(server, served):
    """A decoder is shot while it reads; requests that the other reads are answered, and so are all later ones."""
    sound = served / "data/set/recordings/r00.wav"
    wait_for_decoders(server)
    before, answers = server.metric("earshot_decoders_replaced"), list[httpx2.Response]()
    asking = [threading.Thread(target=lambda: answers.append(server.predict(sound))) for _ in range(3)]
    first, other = server.decoders()
    with server.suspended(first):
        for thread in asking:
            thread.start()
        # Decoders take turns: once the other has read two recordings, the suspended one has the third.
        wait_until(lambda: len(answers) == 2)
        first.send_signal(signal.SIGSEGV)
    for thread in asking:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert "sound.wav: cannot be decoded (its decoder crashed)" in answers[-1].text
    assert other.is_running()
    assert server.predict(served / "data/set/recordings/r00.wav").status_code == 200
    wait_for_decoders(server)
    assert server.metric("earshot_decoders_replaced") == before + 1


@pytest.mark.parametrize("block_align", [0, 1, 4, 255, 65535])
@pytest.mark.parametrize("samples", [0, 1, 505, 65535])
def test_hostile_headers_of_ima_adpcm_harm_nobody(server, tmp_path, block_align, samples):
    """libsndfile 1.2.2 writes beyond a buffer where these do not fit together (CVE-2026-37555)."""
    path = tmp_path / "ima.wav"
    soundfile.write(path, noise(1.0, RATE), RATE, subtype="IMA_ADPCM")
    content = bytearray(path.read_bytes())
    start = content.index(b"fmt ") + 8
    struct.pack_into("<H", content, start + 12, block_align)
    struct.pack_into("<H", content, start + 18, samples)
    assert server.predict(bytes(content)).status_code in (200, 422)


def test_decoders_have_limits_and_no_secrets(server):
    wait_for_decoders(server)
    for decoder in server.decoders():
        assert decoder.rlimit(resource.RLIMIT_AS)[0] > 0
        assert decoder.rlimit(resource.RLIMIT_FSIZE) == (0, 0)
        assert decoder.rlimit(resource.RLIMIT_CORE) == (0, 0)
        assert decoder.environ().keys() <= HARMLESS

"""Decoder processes that stand ready; one that dies is replaced."""

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

import numpy as np

from lib.core.errors import AudioError, EarshotError
from lib.server.decoder_messages import LONGEST_LINE, OUT_OF_MEMORY, DecoderMessage, DecodingJob, parse
from lib.server.process_limits import PROJECT, bare_environment

START_SECONDS = 120.0
"""By which a decoder must have started; it takes 2 s on a machine that has time for it."""
GIVE_UP_SECONDS = 5.0
"""By which a decoder must have stopped to read a recording that nobody waits for any more; else it is replaced."""
RETRY_SECONDS = 1.0
BROKEN = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError)
"""What reading raises if a decoder ends, or writes what is no message."""
LOG = logging.getLogger("uvicorn.error")


class NoDecoder(EarshotError):
    """There is no decoder, and none starts."""


class Decoder:
    """One process. It stands ready for a recording, reads one, or is dead."""

    def __init__(self, process: Process, seconds: float) -> None:
        self._process, self._seconds = process, seconds
        self._reading: asyncio.Task[DecoderMessage] | None = None
        self.is_ready = False

    @classmethod
    async def start(cls, memory_mb: int, seconds: int) -> "Decoder":
        """Raises EarshotError if it does not start."""
        command = [sys.executable, "-m", "lib.server.decoder", str(memory_mb), str(seconds)]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=None,
                env=bare_environment(),
                cwd=PROJECT,
                limit=LONGEST_LINE,
                start_new_session=True,  # Ctrl-C is for the server, which lets requests finish
            )
        except OSError as error:
            raise EarshotError("", f"a decoder does not start ({error.strerror})", "lower serve.workers") from None
        decoder = cls(process, seconds)
        try:
            async with asyncio.timeout(START_SECONDS):
                await decoder._message()
        except (TimeoutError, *BROKEN):
            await decoder.stop()
            remedy = "see the lines above, or else correct serve.decoder_memory_mb"
            raise EarshotError("", "a decoder does not start", remedy) from None
        except asyncio.CancelledError:
            await decoder.stop()
            raise
        decoder.is_ready = True
        return decoder

    async def read(self, job: DecodingJob) -> AsyncIterator[DecoderMessage]:
        """Windows of a recording, and what is unusual about it, up to its end. Raises AudioError."""
        self.is_ready = False
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(job.model_dump_json().encode() + b"\n")
            await self._process.stdin.drain()
            while True:
                message = await self._next()
                if message.kind in ("end", "failed"):
                    self.is_ready = True
                if message.kind == "failed":
                    raise AudioError(job.path, message.text)
                yield message
                if message.kind == "end":
                    return
        except TimeoutError:
            raise AudioError(job.path, "takes too long to decode", "convert it to WAV or FLAC") from None
        except BROKEN as error:
            raise AudioError(job.path, await self._how_it_ended(error), "convert it to WAV or FLAC") from None

    async def give_up(self) -> None:
        """Stop in the midst of a recording, so that it stands ready again, unless it does not in time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"\n")
            async with asyncio.timeout(GIVE_UP_SECONDS):
                while (await self._next()).kind not in ("end", "failed"):
                    pass
            self.is_ready = True
        except (TimeoutError, *BROKEN):
            pass

    async def _next(self) -> DecoderMessage:
        """The next message. It is not lost if the caller is cancelled: it comes with the next call."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._message())
        async with asyncio.timeout(self._seconds):
            message = await asyncio.shield(self._reading)
        self._reading = None
        return message

    async def _message(self) -> DecoderMessage:
        output = self._process.stdout
        assert output is not None
        message, shape = parse(await output.readuntil(b"\n"))
        content = await output.readexactly(4 * int(np.prod(shape)))
        return message._replace(values=np.frombuffer(content, "<f4").reshape(shape))

    async def _how_it_ended(self, error: Exception) -> str:
        if isinstance(error, ValueError | asyncio.LimitOverrunError):
            return "cannot be decoded (its decoder gave nonsense)"
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._process.wait()
        if self._process.returncode == -signal.SIGXCPU:
            return "takes too long to decode"
        if self._process.returncode == OUT_OF_MEMORY:
            return "needs more memory than the server allows to decode"
        return "cannot be decoded (its decoder crashed)"

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)


class DecoderPool:
    """Decoders, each for one recording at a time.

    Args:
        n: how many.
        memory_mb, seconds: limits of each, see ServeSettings.
    """

    def __init__(self, n: int, memory_mb: int, seconds: int) -> None:
        self.n, self._limits = n, (memory_mb, seconds)
        self._all: set[Decoder] = set()
        self._ready: asyncio.Queue[Decoder] = asyncio.Queue()
        self._tasks: set[asyncio.Task] = set()
        self._start_failed = False  # the last attempt to start a decoder failed
        self.n_replaced = 0

    async def start(self) -> None:
        """Raises EarshotError if decoders do not start."""
        starts = [Decoder.start(*self._limits) for _ in range(self.n)]
        results = await asyncio.gather(*starts, return_exceptions=True)
        failures = list[BaseException]()
        for result in results:
            if isinstance(result, Decoder):
                self._add(result)
            else:
                failures.append(result)
        if failures:
            await self.stop()
            raise failures[0]

    def _add(self, decoder: Decoder) -> None:
        self._start_failed = False
        self._all.add(decoder)
        self._ready.put_nowait(decoder)

    @property
    def n_alive(self) -> int:
        return sum(decoder.is_alive for decoder in self._all)

    @asynccontextmanager
    async def decoder(self, patience: float) -> AsyncIterator[Decoder]:
        """A decoder for one recording; waits until one is free.

        Raises NoDecoder if there is none after `patience` (s), and none starts.
        """
        while not (decoder := await self._next_ready(patience)).is_alive:  # it may die while it waits
            self._replace(decoder)
        try:
            yield decoder
        finally:
            if decoder.is_ready and decoder.is_alive:
                self._ready.put_nowait(decoder)
            else:
                self._start_task(self._recover(decoder))

    async def _next_ready(self, patience: float) -> Decoder:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    return await self._ready.get()
            if self._start_failed and not self.n_alive:
                raise NoDecoder("the server", "no decoder starts", "try again later")

    def _start_task(self, work: Coroutine) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _recover(self, decoder: Decoder) -> None:
        """Let a decoder that did not read to the end stand ready again, or replace it."""
        if decoder.is_alive:
            await decoder.give_up()
        if decoder.is_ready and decoder.is_alive:
            self._ready.put_nowait(decoder)
        else:
            self._replace(decoder)

    def _replace(self, decoder: Decoder) -> None:
        self.n_replaced += 1
        self._all.discard(decoder)
        self._start_task(self._replacement(decoder))

    async def _replacement(self, decoder: Decoder) -> None:
        await decoder.stop()
        while True:
            try:
                self._add(await Decoder.start(*self._limits))
                return
            except EarshotError as error:  # the machine may lack memory for a moment
                if not self._start_failed:  # else it says so each second
                    LOG.error("%s", error)
                self._start_failed = True
                await asyncio.sleep(RETRY_SECONDS)

    async def stop(self) -> None:
        """End all processes."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(decoder.stop() for decoder in self._all))

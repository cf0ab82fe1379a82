"""Scores of windows, computed in batches across requests by one thread, which owns the models.

There is nothing to wait for: while a batch is computed, windows of other requests arrive, and make the next one.
"""

import asyncio
import logging
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lib.config.schema import InferSettings, Settings
from lib.core.errors import EarshotError
from lib.inference.streams import WindowReader, window_reader
from lib.models.description import Description
from lib.models.score_scaling import min_scores
from lib.server.decoder_messages import most_windows
from lib.sound.classes import ClassList

if TYPE_CHECKING:
    from lib.inference.predictor import Predictor

BATCHES_AHEAD = 4
"""Batches of windows that may wait; then decoders do."""
LOG = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class ServedModel:
    """What requests need to know of a model.

    Args:
        file: the checkpoint.
        stamp: of the file, see stamp_of.
        description: of the model.
        infer: settings.
    """

    file: Path
    stamp: tuple[int, int]
    description: Description
    infer: InferSettings

    @cached_property
    def windows(self) -> WindowReader:
        most = most_windows(self.description.window_shapes[0])
        infer = self.infer.model_copy(update={"batch_size": min(self.infer.batch_size, most)})
        return window_reader(self.description.audio, infer, 1, self.description.takes)

    @cached_property
    def classes(self) -> ClassList:
        return ClassList(self.description.classes)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """The score from which on each class is present, float32 (n_classes,)."""
        return min_scores(self.infer, [self.description])


class _Work(NamedTuple):
    """Windows of a model to score; none: it is to be loaded."""

    model: ServedModel
    windows: np.ndarray | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future

    def finish(self, result: Any = None, error: Exception | None = None) -> None:
        def give() -> None:
            if not self.future.done():  # else nobody waits for it any more
                self.future.set_exception(error) if error else self.future.set_result(result)

        self.loop.call_soon_threadsafe(give)


def stamp_of(file: Path) -> tuple[int, int]:
    """By which a file that was replaced is noticed: ns of its last change, and bytes. Raises EarshotError."""
    try:
        status = file.stat()
    except OSError:
        raise EarshotError(file, "cannot be read", "see GET /models") from None
    return status.st_mtime_ns, status.st_size


class BatchScorer:
    """Args:
    settings: `infer` is used, and serve.max_models.
    note_batch: called with the number of windows of each batch.
    """

    def __init__(self, settings: Settings, note_batch: Callable[[int], None] = lambda n: None) -> None:
        self._settings, self._note_batch = settings, note_batch
        self._most = settings.infer.batch_size
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._predictors: OrderedDict[tuple[Path, tuple[int, int]], Predictor] = OrderedDict()
        self._room = asyncio.Condition()
        self.n_waiting = 0
        """Windows that wait or are computed."""
        self._thread = threading.Thread(target=self._run, name="scores", daemon=True)
        """Runs from the first work on: what only describes the server leaves no thread."""

    async def load(self, model: ServedModel) -> None:
        """Load a model, unless it is. Raises EarshotError if it cannot be used."""
        await self._submitted(model, None)

    def _submitted(self, model: ServedModel, windows: np.ndarray | None) -> asyncio.Future:
        loop = asyncio.get_running_loop()
        work = _Work(model, windows, loop, loop.create_future())
        if self._thread.ident is None:
            self._thread.start()
        self._work.put(work)
        return work.future

    async def submit(self, model: ServedModel, windows: np.ndarray) -> asyncio.Future:
        """A future of scores, float32 (n, n_classes), of windows as the model takes them, of which there may be none.

        Waits until there is room for them.
        """
        n, most = len(windows), BATCHES_AHEAD * self._most
        async with self._room:
            await self._room.wait_for(lambda: not self.n_waiting or self.n_waiting + n <= most)
            self.n_waiting += n
        future = self._submitted(model, windows)
        future.add_done_callback(lambda _: asyncio.ensure_future(self._make_room(n)))
        return future

    async def _make_room(self, n: int) -> None:
        async with self._room:
            self.n_waiting -= n
            self._room.notify_all()

    def _run(self) -> None:
        from lib.core.devices import leave_room_for_reading

        waiting: deque[_Work] = deque()
        with leave_room_for_reading():
            while True:
                if not waiting:
                    waiting.append(self._work.get())  # type: ignore[arg-type]
                while not self._work.empty():
                    waiting.append(self._work.get())  # type: ignore[arg-type]
                if None in waiting:
                    return
                batch = self._next_batch(waiting)
                try:
                    self._finish(batch)
                except EarshotError as error:
                    _fail(batch, error)
                except Exception:
                    LOG.exception("a batch of %d requests failed", len(batch))
                    _fail(batch, EarshotError(batch[0].model.file, "could not score", "the server's log says why"))

    def _next_batch(self, waiting: deque[_Work]) -> list[_Work]:
        """What is computed together: all that fits of the model that has waited longest.

        Removed from `waiting`, and so is what nobody waits for any more.
        """
        wanted = [work for work in waiting if not work.future.done()]
        waiting.clear()
        batch, n = list[_Work](), 0
        for work in wanted:
            size = 0 if work.windows is None else len(work.windows)
            if not batch or (work.model is batch[0].model and n + size <= self._most):
                batch.append(work)
                n += size
            else:
                waiting.append(work)
        return batch

    def _finish(self, batch: list[_Work]) -> None:
        if not batch:
            return
        predictor = self._predictor(batch[0].model)
        parts = [work.windows for work in batch if work.windows is not None]
        scores = predictor.score_windows(np.concatenate(parts))[0] if parts else None
        self._note_batch(0 if scores is None else len(scores))
        start = 0
        for work in batch:
            if work.windows is None or scores is None:
                work.finish()
                continue
            work.finish(scores[start : start + len(work.windows)])
            start += len(work.windows)

    def _predictor(self, model: ServedModel) -> "Predictor":
        from lib.inference.predictor import Predictor

        key = model.file, model.stamp
        if key not in self._predictors:
            while len(self._predictors) >= self._settings.serve.max_models:
                self._predictors.popitem(last=False)
            predictor = Predictor(model.file, self._settings.infer.device, self._settings)
            if stamp_of(model.file) != model.stamp:  # it was not tried, and its classes may be others
                raise EarshotError(model.file, "was replaced while it was read", "try again")
            self._predictors[key] = predictor
        self._predictors.move_to_end(key)
        return self._predictors[key]

    def close(self) -> None:
        """End the thread after the batch that it computes."""
        if self._thread.ident is None:
            return
        self._work.put(None)
        self._thread.join(timeout=self._settings.serve.shutdown_timeout)


def _fail(batch: list[_Work], error: Exception) -> None:
    for work in batch:
        work.finish(error=error)

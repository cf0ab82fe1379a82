"""Work in threads, in order and with bounded memory. Decoding, transforms and compression release Python's lock."""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

RESULTS_AHEAD = 32
_END = object()


def n_processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_workers(workers: int) -> int:
    """The number of workers meant by a setting in which 0 stands for one a processor."""
    return workers or n_processors()


def map_ordered(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Yield function(item) in the order of the items, computed by threads at most two items a thread ahead."""
    items = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(items, 2 * workers))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(items, 1))
        finally:
            for future in waiting:
                future.cancel()


def ahead(results: Iterable[Result], n: int) -> Iterator[Result]:
    """The results of an iterable that a thread of its own works through, at most `n` results before the consumer."""
    stream = _Stream(results, n)
    try:
        yield from stream
    finally:
        stream.stop()


def map_streams(
    function: Callable[[Item], Iterable[Result]], items: Iterable[Item], workers: int, ahead: int | None = None
) -> Iterator[tuple[Item, Iterator[Result]]]:
    """Yield (item, stream of function(item)'s results) in the order of the items.

    The streams of `workers` items are filled at the same time, from this call on, each by a thread that is at most
    `ahead` results before the consumer; by default they share RESULTS_AHEAD, so that memory does not grow with workers.
    An exception in a stream is raised where that stream is consumed.
    """
    items = iter(items)
    ahead = ahead or max(2, RESULTS_AHEAD // workers)
    streams = deque((item, _Stream(function(item), ahead)) for item in islice(items, workers))
    return _in_order(function, items, streams, ahead)


def _in_order(function: Callable, items: Iterator, streams: deque, ahead: int) -> Iterator:
    try:
        while streams:
            item, stream = streams[0]
            yield item, iter(stream)
            streams.popleft()[1].stop()
            streams.extend((item, _Stream(function(item), ahead)) for item in islice(items, 1))
    finally:
        for _, stream in streams:
            stream.stop()


class _Stream:
    """Results of an iterable, produced in a thread of their own."""

    def __init__(self, results: Iterable, ahead: int) -> None:
        self._queue: queue.Queue = queue.Queue(ahead)
        self._stopped = threading.Event()
        threading.Thread(target=self._produce, args=(results,), daemon=True).start()

    def _produce(self, results: Iterable) -> None:
        try:
            for result in results:
                if not self._put((result, None)):
                    return
            self._put((_END, None))
        except BaseException as error:  # it belongs to the consumer, whatever it is
            self._put((_END, error))

    def _put(self, entry: tuple) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator:
        while True:
            result, error = self._queue.get()
            if error is not None:
                raise error
            if result is _END:
                return
            yield result

    def stop(self) -> None:
        self._stopped.set()

"""Ctrl-C that work may answer when it suits: once asks for an end, twice ends at once.

Only what owns its process, such as a stage, may take Ctrl-C (SIGINT) over; a library must leave that to its caller.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """What Ctrl-C does in a block of `answering_ctrl_c`.

    Attributes:
        is_asked: whether it was pressed.
        can_wait: whether the first one only asks; until then each ends the block at once, by a KeyboardInterrupt.
        must_finish: whether to let none end the block, which is about to be over.
        notice: a line to answer the first one with, where it only asks.
        reason: the text of the KeyboardInterrupt where it does not.
    """

    def __init__(self, notice: str, reason: str) -> None:
        self.is_asked = self.can_wait = self.must_finish = False
        self.notice, self.reason = notice, reason
        self._process = os.getpid()

    def asked(self) -> bool:
        """Whether to end; raises the KeyboardInterrupt of `answer` where Python dropped it, as it does at a fork."""
        if self.is_asked and not (self.can_wait or self.must_finish):
            raise KeyboardInterrupt(self.reason)
        return self.is_asked

    def answer(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signal."""
        if os.getpid() != self._process:
            return  # a terminal sends it to forked processes as well, which this one ends
        is_first, self.is_asked = not self.is_asked, True
        if self.must_finish:
            return
        if not self.can_wait or not is_first:
            # What is half made in this moment, such as a DataLoader that starts its processes, cannot be ended cleanly;
            # the process is about to end, so Python needs to tell nobody.
            sys.unraisablehook = lambda unraisable: None
            raise KeyboardInterrupt("" if self.can_wait else self.reason)
        os.write(2, f"\n{self.notice}\n".encode())  # print is not allowed while a print is under way


@contextmanager
def answering_ctrl_c(notice: str, reason: str) -> Iterator[Interruption]:
    """Take Ctrl-C over while the block lasts; arguments and what is yielded: see Interruption.

    Other threads than the main one get no signals: there, nothing changes.
    """
    interruption = Interruption(notice, reason)
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGINT, interruption.answer)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)

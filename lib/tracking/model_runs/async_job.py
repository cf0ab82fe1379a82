"""Jobs that run in the background and report their progress."""

import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from lib.core.errors import EarshotError

COMPLETED, ERRORED, RUNNING = "Completed", "Errored", "Running"
Report = Callable[[int], None]
"""Called with the number of completed steps."""


class AsyncJob:
    """A job of several steps. It runs to its end even if this object is dropped.

    Args:
        executor: to run it.
        work: called with a Report for its completed steps; returns a summary.
        steps: number of steps.

    Attributes:
        job_id: unique.
    """

    def __init__(self, executor: Executor, work: Callable[[Report], dict[str, Any]], steps: int) -> None:
        self.job_id = f"job_{uuid.uuid4().hex}"
        self._steps, self._done = steps, 0
        self._future: Future[dict[str, Any]] = executor.submit(work, self._report)

    def _report(self, done: int) -> None:
        self._done = done

    def status(self) -> dict[str, Any]:
        """job_id, status (Running, Completed or Errored), message, job_progress (0..1 as text), completed_steps and
        total_steps; once it has completed, the work's summary is the message.
        """
        status: str = RUNNING
        message: str | dict[str, Any] = ""
        if self._future.done():
            error = self._future.exception()
            status, message = (ERRORED, _line(error)) if error else (COMPLETED, self._future.result())
        progress = 1.0 if status == COMPLETED else self._done / max(1, self._steps)
        state = {"job_id": self.job_id, "status": status, "message": message, "job_progress": f"{progress:.2f}"}
        return state | {"completed_steps": self._done, "total_steps": self._steps}

    def errors(self) -> list[str]:
        """The lines of the error that ended the job; empty if there was none."""
        error = self._future.exception() if self._future.done() else None
        return [] if error is None else _line(error).splitlines()

    def sleep_until_complete(self, verbose_std_out: bool = True) -> None:
        """Wait until the job is done. Raises the error that ended it.

        verbose_std_out: print its status at the end.
        """
        try:
            self._future.result()
        finally:
            if verbose_std_out:
                state = self.status()
                print(
                    f"{state['job_id']}: {state['status']}, {state['completed_steps']} of {state['total_steps']} steps"
                )


def _line(error: BaseException) -> str:
    return str(error) if isinstance(error, EarshotError) else f"{type(error).__name__}: {error}"

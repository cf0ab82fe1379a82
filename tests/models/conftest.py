"""One thread: exporting a small model and running it takes longer with several, above all on a busy machine."""

from tests.training.conftest import one_thread

__all__ = ["one_thread"]

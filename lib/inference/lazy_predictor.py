"""A predictor that is made when it is first needed: work that is done already does not wait for torch."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lib.config.schema import Settings
from lib.models.model_files import check_digests

if TYPE_CHECKING:
    from lib.inference.predictor import Predictor


@contextmanager
def lazy_predictor(
    model: str | Path, settings: Settings, digests: Iterable[str]
) -> Iterator[Callable[[], "Predictor"]]:
    """A function that returns the predictor of a model, for use within the block, beside threads that read recordings.

    Its first call, which imports torch, takes seconds; it raises EarshotError if the model cannot be used, or if its
    checkpoints are not of these digests any more.
    """
    with ExitStack() as stack:

        @cache
        def predictor() -> "Predictor":
            from lib.core.devices import leave_room_for_reading
            from lib.inference.predictor import Predictor

            stack.enter_context(leave_room_for_reading())
            loaded = Predictor(model, settings.infer.device, settings)
            check_digests(model, digests)
            return loaded

        yield predictor

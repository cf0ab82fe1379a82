"""How work that may fail is answered."""

from collections.abc import Callable
from typing import TypeVar

from starlette.exceptions import HTTPException

from lib.core.errors import EarshotError
from lib.server.public_text import public_line

Result = TypeVar("Result")


def done(work: Callable[[], Result], name: str = "review", status: int = 422) -> Result:
    """The result of work; what goes wrong becomes an answer of this status, a line without paths of this machine."""
    try:
        return work()
    except EarshotError as error:
        raise HTTPException(status, public_line(error, name)) from None
    except OSError as error:
        raise HTTPException(422, f"{name}: {error.strerror or 'cannot be read or written'}") from None

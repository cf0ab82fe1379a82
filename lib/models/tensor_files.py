"""Files of tensors and plain data, as torch writes them."""

from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any

import torch

from lib.core.files import atomic


class _File(BufferedWriter):
    """A file that remembers why writing to it failed, since torch reports only that it did.

    Buffered, because an unbuffered file may write a part of what it is given and say so, which torch does not notice.
    """

    error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.error = error
            raise


def write_tensors(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors and plain data, which torch.load(weights_only=True) reads. Raises OSError."""
    with atomic(path) as part, _File(FileIO(part, "w")) as file:
        try:
            torch.save(content, file)
        except RuntimeError:
            if file.error is None:
                raise
            raise file.error from None

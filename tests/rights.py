"""What an administrator may do, and other users may not."""

import encodings.utf_8_sig  # noqa: F401  within the block, Python's own modules may be out of reach
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def ordinary_user(folder: Path) -> Iterator[None]:
    """Within the block, file permissions apply even if the tests run as root; `folder` can be reached and changed."""
    if os.geteuid() != 0:
        yield
        return
    modes = {path: path.stat().st_mode for path in (folder, *folder.parents)}
    opened = {path: mode for path, mode in modes.items() if mode & 0o011 != 0o011}
    for path, mode in opened.items():
        path.chmod(mode | 0o011)
    os.chown(folder, NOBODY, -1)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.chown(folder, 0, -1)
        for path, mode in opened.items():
            path.chmod(mode)

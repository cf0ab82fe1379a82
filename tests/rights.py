"""What an administrator may do, and other users may not."""

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
    for parent in (folder, *folder.parents):
        parent.chmod(parent.stat().st_mode | 0o011)
    os.chown(folder, NOBODY, -1)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)

"""Recordings that come with a request, as files that are removed once it is answered."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from lib.server.answers import unprocessable
from lib.server.request_guard import RETRY_SECONDS

FIELD = "audio_files"
LOG = logging.getLogger("uvicorn.error")


class Upload(NamedTuple):
    """A recording as the client calls it, and the file that holds it."""

    name: str
    file: Path


class _Parser(MultiPartParser):
    spool_max_size = 2**16  # of each file in memory: many may come at a time


@asynccontextmanager
async def received(request: Request, most: int) -> AsyncIterator[list[Upload]]:
    """The files of a multipart request, at most that many.

    Raises HTTPException if it is none, or holds others, or if the server has no room for them.
    """
    async with AsyncExitStack() as stack:
        try:
            uploads = await _written(request, most, stack)
        except OSError as error:
            LOG.error("an upload could not be written: %s", error)
            retry = {"retry-after": str(RETRY_SECONDS)}
            raise HTTPException(503, "the server has no room for the upload", retry) from None
        yield uploads


async def _written(request: Request, most: int, stack: AsyncExitStack) -> list[Upload]:
    """Uploads whose files are removed when the stack is closed."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise unprocessable([], f"send recordings as multipart/form-data, in fields named {FIELD}")
    try:
        form = await _Parser(request.headers, request.stream(), max_files=most, max_fields=0).parse()
    except MultiPartException as error:
        status = 413 if error.message.startswith("Too many") else 400
        text = f"at most {most} files are taken, and no other fields" if status == 413 else "is not multipart/form-data"
        raise HTTPException(status, text) from None
    uploads = list[Upload]()
    try:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="earshot-"))
        for number, (field, upload) in enumerate(form.multi_items()):
            if field != FIELD or not isinstance(upload, UploadFile):
                raise unprocessable([field], f"recordings belong into fields named {FIELD}")
            file = Path(folder, str(number))
            with file.open("wb") as target:
                await asyncio.to_thread(shutil.copyfileobj, upload.file, target, 2**20)
            uploads.append(Upload(upload.filename or "", file))
    finally:
        await form.close()
    if not uploads:
        raise unprocessable([FIELD], "holds no file")
    return uploads

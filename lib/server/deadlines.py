"""Answers that come in time, or not at all; and streams of lines."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from lib.server.answers import json_line
from lib.server.request_guard import LINES, RETRY_SECONDS

Result = TypeVar("Result")
WATCH_SECONDS = 0.5
"""From one look whether the client is still there to the next."""
GONE = 499
"""Status of answers that nobody waits for any more; it is counted, and sent to no one."""


async def in_time(work: Awaitable[Result], seconds: float) -> Result:
    """The result of work. Raises HTTPException if it takes longer."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise HTTPException(503, f"took longer than {seconds:g} s", {"retry-after": str(RETRY_SECONDS)}) from None


async def unless_gone(request: Request, work: Awaitable[Result], seconds: float) -> Result:
    """The result of work, which is given up when the client goes away. Raises HTTPException then, and as in_time."""
    working = asyncio.ensure_future(work)

    async def watch() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(WATCH_SECONDS)
        working.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await in_time(working, seconds)
    except asyncio.CancelledError:
        if watching.done():
            raise HTTPException(GONE, "the client is gone") from None
        raise
    finally:
        watching.cancel()
        working.cancel()


def stream_lines(contents: AsyncGenerator[Any, None]) -> StreamingResponse:
    """A line of JSON (NDJSON) for each content, as it comes.

    What goes wrong on the way is told in a last line, {"error": ...}: the status is sent by then.
    """

    async def lines() -> AsyncIterator[str]:
        async with aclosing(contents):
            try:
                async for content in contents:
                    yield f"{json_line(content)}\n"
            except HTTPException as error:
                yield f"{json_line({'error': error.detail})}\n"

    return StreamingResponse(lines(), media_type=LINES)

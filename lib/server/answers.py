"""What requests are answered with: the shapes of the technical documentation that the server follows."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from lib.server.batch_scorer import ServedModel
from lib.server.recognition import ScoredRecording

Presence = dict[str, int]
"""For each class of the model, by code or else name: 1 if it is present, 0 if not."""


class Failure(BaseModel):
    """Why there is no prediction of a recording."""

    model_config = ConfigDict(extra="forbid")

    error: str


Predictions = dict[str, Presence | Failure]
"""By name of recording, which is its file name without suffix."""


class TestFigures(BaseModel):
    """Figures of clips, see lib.evaluation.clip_metrics; and with serve.add_instrument_metrics those of each class."""

    model_config = ConfigDict(extra="allow")
    __test__ = False  # it is no test for pytest

    accuracy: float
    hamming_distance: float
    f1: float
    precision: float
    recall: float


class TestAnswer(TestFigures):
    """Figures, and predictions of the recordings that they are about."""

    predictions: Predictions


class Fault(BaseModel):
    """What is wrong with a request: where, and what."""

    loc: list[str | int]
    msg: str
    type: str


class Unprocessable(BaseModel):
    detail: list[Fault]


class Refused(BaseModel):
    detail: str


class Picture(BaseModel):
    """A matrix of bytes, rows from the lowest frequency up, in base64."""

    height: int
    width: int
    values: str


class Waveform(BaseModel):
    """Lowest and highest sample of each of many short stretches, -1..1."""

    low: list[float]
    high: list[float]


class FileAnalysis(BaseModel):
    """A recording as the page shows it.

    scores: of each window and class; clip: the means over windows; found: whether these reach the thresholds.
    """

    file: str
    seconds: float
    window_seconds: float
    min_freq: float
    max_freq: float
    freq_scale: str
    classes: list[str]
    starts: list[float]
    scores: list[list[float]]
    clip: list[float]
    thresholds: list[float]
    found: list[bool]
    waveform: Waveform
    spectrogram: Picture = Field(description="levels in 0..255")


class PlainJSONResponse(JSONResponse):
    """JSON in ASCII, which any text can be written in, and any client reads."""

    def render(self, content: Any) -> bytes:
        return json_line(content).encode()


def json_line(content: Any) -> str:
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def unprocessable(place: Iterable[str | int], line: str, part: str = "body") -> HTTPException:
    """422 with one line about that place in the body, or in another part of the request."""
    return HTTPException(422, [{"loc": [part, *place], "msg": line, "type": "value_error"}])  # type: ignore[arg-type]


def presence(model: ServedModel, recording: ScoredRecording) -> Presence:
    return dict(zip(class_keys(model), map(int, recording.found), strict=True))


def class_keys(model: ServedModel) -> list[str]:
    """What classes are called: their codes, or their names where codes are missing or shared."""
    codes, names = model.classes.called("codes"), model.classes.names
    return codes if len(set(codes)) == len(codes) else names


def rounded(values: np.ndarray) -> list:
    return np.round(values.astype(float), 4).tolist()


def add_refusals(app: FastAPI) -> None:
    """Let an application answer what is refused as PlainJSONResponse does."""
    app.add_exception_handler(HTTPException, _refuse)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _refuse_values)  # type: ignore[arg-type]


async def _refuse(request: Request, error: HTTPException) -> Response:
    return PlainJSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def _refuse_values(request: Request, error: RequestValidationError) -> Response:
    """What is wrong with the values of a request, without the values: these may be anything."""
    faults = [{"loc": fault["loc"], "msg": fault["msg"], "type": fault["type"]} for fault in error.errors()]
    return PlainJSONResponse({"detail": faults}, 422)

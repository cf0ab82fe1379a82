"""The application: which request is answered how."""

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Body, Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import Field
from starlette.exceptions import HTTPException

from lib.config.schema import Settings
from lib.core.errors import AudioError, EarshotError
from lib.evaluation.clip_metrics import clip_figures
from lib.formats import READERS
from lib.formats.data_set_paths import INFERENCE
from lib.server.answers import (
    Failure,
    FileAnalysis,
    Picture,
    PlainJSONResponse,
    Predictions,
    Presence,
    Refused,
    TestAnswer,
    Unprocessable,
    Waveform,
    add_refusals,
    presence,
    rounded,
    unprocessable,
)
from lib.server.batch_scorer import ServedModel
from lib.server.deadlines import in_time, stream_lines, unless_gone
from lib.server.decoder_pool import NoDecoder
from lib.server.public_text import public_line, shown_name
from lib.server.recognition import Recognition, ScoredRecording
from lib.server.request_guard import RETRY_SECONDS, RequestGuard
from lib.server.served_data import ServedData, TypedDataSetPath
from lib.server.served_folder import ServedFolder
from lib.server.server_metrics import ServerMetrics
from lib.server.uploads import FIELD, received
from lib.sound.recordings import Recordings

PAGE = Path(__file__).with_name("page")
DESCRIPTION = """Find out which classes sound in recordings.

1. `GET /models` lists the models; copy the path of one into `model_ckpt_path`.
2. `POST /model/predict-files` takes recordings; `predict-directory` and `test-directory` name folders of the server.
3. A `-stream` request answers with a line of JSON for each recording as soon as it is done.
"""
COLUMNS = 1200
"""Of the pictures on the page, at most."""
LOG = logging.getLogger("uvicorn.error")
Result = TypeVar("Result")
Refusals: dict[int | str, dict[str, Any]] = {
    401: {"model": Refused, "description": "The bearer token is missing or wrong"},
    404: {"model": Refused, "description": "There is no such model or folder"},
    408: {"model": Refused, "description": "The request did not arrive in time"},
    413: {"model": Refused, "description": "The request is too large"},
    422: {"model": Unprocessable, "description": "A value, a recording or a model cannot be used"},
    429: {"model": Refused, "description": "Too many requests at a time; come back after Retry-After seconds"},
    503: {"model": Refused, "description": "The answer took too long, or the model failed"},
}
FILES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
                    },
                }
            }
        },
    }
}


ModelPath = Annotated[
    str, Query(description="path of a model, as GET /models lists it", max_length=4096, examples=["model.pt"])
]
Folders = Annotated[
    list[Annotated[str, Field(max_length=4096)]], Body(min_length=1, max_length=100, examples=[["sample/test"]])
]
DataSets = Annotated[
    list[TypedDataSetPath],
    Body(min_length=1, max_length=100, examples=[[{"dataset_type": "segments", "dataset_path": "sample/test"}]]),
]


def make_app(settings: Settings, token: str = "") -> FastAPI:
    """The application of a server, with models and decoders of its own from start-up to shutdown.

    Raises SettingsError if serve.model_dir or serve.data_dir is missing.
    """
    serve = settings.serve
    models = ServedFolder(serve.model_dir, "serve.model_dir")
    data = ServedData(ServedFolder(serve.data_dir, "serve.data_dir"), serve.timeout)
    metrics = ServerMetrics()
    recognition = Recognition(settings, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await recognition.start()
        app.state.is_ready = False
        preparation = asyncio.create_task(_prepare(app, recognition, models))
        try:
            yield
        finally:
            preparation.cancel()
            await recognition.stop()

    app = FastAPI(
        title="Earshot",
        description=DESCRIPTION,
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        default_response_class=PlainJSONResponse,
    )
    upload_bytes = round(serve.max_upload_mb * 1e6)
    app.add_middleware(RequestGuard, network=serve, token=token, metrics=metrics, upload_bytes=upload_bytes)  # type: ignore[arg-type]
    add_refusals(app)

    async def chosen_model(model_ckpt_path: ModelPath) -> ServedModel:
        file = models.find(model_ckpt_path)
        if file is None or not file.is_file() or file.suffix != ".pt":
            raise HTTPException(404, "no such model; GET /models lists them")
        try:
            return await in_time(recognition.model(file), serve.timeout)
        except (EarshotError, OSError) as error:
            error = error if isinstance(error, EarshotError) else EarshotError("", "cannot be read")
            line = public_line(error, model_ckpt_path, [models.path])
            raise unprocessable(["model_ckpt_path"], line, "query") from None

    Model = Annotated[ServedModel, Depends(chosen_model)]

    async def predictions(model: ServedModel, recordings: Recordings) -> AsyncGenerator[tuple[str, Any, Any], None]:
        """Name, prediction and clip scores of each recording, as they come; scores are None if it cannot be read."""
        inside, outside = await asyncio.to_thread(data.split, recordings)
        for name in outside:
            yield name, Failure(error="lies outside of the served folder").model_dump(), None
        async with aclosing(recognition.score_each(model, inside.items())) as results:
            try:
                async for name, result in results:
                    if isinstance(result, AudioError):
                        yield name, Failure(error=data.line(result, name)).model_dump(), None
                    else:
                        yield name, presence(model, result), result.clip
            except EarshotError as error:
                raise unavailable(error) from None

    def unavailable(error: EarshotError) -> HTTPException:
        """What is answered where a loaded model fails, or no decoder starts; the recordings may be fine."""
        name = error.subject if isinstance(error, NoDecoder) else "the model"
        line = public_line(error, name, [models.path])
        return HTTPException(503, line, {"retry-after": str(RETRY_SECONDS)})

    async def figures(model: ServedModel, truths: list[np.ndarray], scores: list[np.ndarray]) -> dict[str, float]:
        """Of clips, of which there is at least one; of many, they take seconds, in which others are answered."""
        names = model.classes.names if serve.add_instrument_metrics else None
        return await asyncio.to_thread(clip_figures, np.stack(truths), np.stack(scores), model.thresholds, names)

    @app.get("/models", tags=["resources"], responses={401: Refusals[401]})
    async def get_models() -> list[str]:
        """Paths of all models (.pt) below serve.model_dir, for `model_ckpt_path`."""
        return sorted(await asyncio.to_thread(lambda: list(models.files(".pt"))))

    @app.get("/dataset-types", tags=["resources"], responses={401: Refusals[401]})
    async def get_dataset_types() -> list[str]:
        """How labels of a data set may be stored. `inference` stands for recordings without labels."""
        return [INFERENCE, *READERS]

    @app.post("/model/predict-files", tags=["model"], responses=Refusals, openapi_extra=FILES)
    async def predict_files(request: Request, model: Model) -> list[Presence]:
        """Which classes are present in uploaded recordings, in their order: 1 or 0 for each class."""
        async with received(request, serve.max_files) as uploads:
            jobs = [recognition.score(model, each.file, serve.max_seconds, must_be_whole=True) for each in uploads]
            results = await unless_gone(request, asyncio.gather(*jobs, return_exceptions=True), serve.timeout)
            for number, (upload, result) in enumerate(zip(uploads, results, strict=True)):
                if isinstance(result, AudioError):
                    line = public_line(result, upload.name, [upload.file.parent])
                    raise unprocessable([FIELD, number], line)
                if isinstance(result, EarshotError):
                    raise unavailable(result)
            return [presence(model, _checked(result)) for result in results]

    @app.post("/model/predict-directory", tags=["model"], responses=Refusals)
    async def predict_directory(request: Request, model: Model, dataset_paths: Folders) -> Predictions:
        """Which classes are present in the recordings of folders below serve.data_dir, by file name without suffix.

        A folder may also be a CSV file with a column `file`. Of large folders, get a stream.
        """
        recordings = await data.recordings(dataset_paths)

        async def collected() -> dict[str, Any]:
            return {name: prediction async for name, prediction, _ in predictions(model, recordings)}

        found = await unless_gone(request, collected(), serve.timeout)
        return {name: found[name] for name in recordings}

    @app.post("/model/predict-directory-stream", tags=["model"], responses=Refusals | _STREAM)
    async def predict_directory_stream(model: Model, dataset_paths: Folders) -> StreamingResponse:
        """The same as predict-directory, as a line of JSON for each recording, `{name: {class: 1 or 0}}`, once done."""
        recordings = await data.recordings(dataset_paths)

        async def lines() -> AsyncGenerator[Any, None]:
            async with aclosing(predictions(model, recordings)) as results:
                async for name, prediction, _ in results:
                    yield {name: prediction}

        return stream_lines(lines())

    @app.post("/model/test-directory", tags=["model"], responses=Refusals)
    async def test_directory(request: Request, model: Model, dataset_paths_with_type: DataSets) -> TestAnswer:
        """How right the model is about labelled recordings: figures of clips, and predictions."""
        recordings, truths = await data.labelled_recordings(dataset_paths_with_type, model.classes)

        async def collected() -> list[tuple[str, Any, np.ndarray | None]]:
            return [result async for result in predictions(model, recordings)]

        results = await unless_gone(request, collected(), serve.timeout)
        by_name = {name: prediction for name, prediction, _ in results}
        scored = {name: scores for name, _, scores in results if scores is not None}
        if not scored:
            raise unprocessable([], "no recording could be read")
        values = await figures(model, [truths[name] for name in scored], list(scored.values()))
        return TestAnswer(**values, predictions={name: by_name[name] for name in recordings})  # type: ignore[arg-type]

    @app.post("/model/test-directory-stream", tags=["model"], responses=Refusals | _STREAM)
    async def test_directory_stream(model: Model, dataset_paths_with_type: DataSets) -> StreamingResponse:
        """The same as test-directory: a line for each recording, once done, and the figures in the last line."""
        recordings, truths = await data.labelled_recordings(dataset_paths_with_type, model.classes)

        async def lines() -> AsyncGenerator[Any, None]:
            truth, scored = list[np.ndarray](), list[np.ndarray]()
            async with aclosing(predictions(model, recordings)) as results:
                async for name, prediction, scores in results:
                    if scores is not None:
                        truth.append(truths[name])
                        scored.append(scores)
                    yield {"predictions": {name: prediction}}
            yield await figures(model, truth, scored) if scored else {"error": "no recording could be read"}

        return stream_lines(lines())

    @app.post(
        "/model/analyze-file", tags=["page"], response_model=FileAnalysis, responses=Refusals, openapi_extra=FILES
    )
    async def analyze_file(request: Request, model: Model) -> Response:
        """An uploaded recording as the page shows it: waveform, spectrogram and scores over time."""
        async with received(request, 1) as (upload,):
            job = recognition.score(model, upload.file, serve.max_seconds, must_be_whole=True, columns=COLUMNS)
            try:
                result = await unless_gone(request, job, serve.timeout)
            except AudioError as error:
                raise unprocessable([FIELD, 0], public_line(error, upload.name, [upload.file.parent])) from None
            except EarshotError as error:
                raise unavailable(error) from None
            # Of many windows and classes, this takes seconds, in which others are answered.
            return await asyncio.to_thread(
                lambda: PlainJSONResponse(_analysis(model, upload.name, result).model_dump())
            )

    @app.get("/health", tags=["server"])
    async def health() -> dict[str, str]:
        """That the server runs."""
        return {"status": "ok"}

    @app.get("/ready", tags=["server"], responses={503: Refusals[503]})
    async def ready() -> dict[str, str]:
        """That the server can answer requests without delay: decoders run, and its only model is loaded."""
        if not app.state.is_ready or not recognition.decoders.n_alive:
            raise HTTPException(503, "not ready yet", {"retry-after": str(RETRY_SECONDS)})
        return {"status": "ok"}

    @app.get("/metrics", tags=["server"], response_class=Response, responses={401: Refusals[401]})
    async def get_metrics() -> Response:
        """Figures of the server for Prometheus."""
        decoders = recognition.decoders
        text = metrics.text(decoders.n_alive, decoders.n_replaced, recognition.scorer.n_waiting)
        return Response(text, media_type="text/plain; version=0.0.4")

    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        app.add_api_route(path, _page(name), include_in_schema=False)
    app.mount("/static/docs", StaticFiles(directory=_docs_folder()))
    app.mount("/static", StaticFiles(directory=PAGE))
    _describe_token(app, token)
    return app


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "A line of JSON for each recording", "content": {"application/x-ndjson": {}}}
}


async def _prepare(app: FastAPI, recognition: Recognition, models: ServedFolder) -> None:
    """Load the model if there is only one: the first request need not wait for it."""
    try:
        files = await asyncio.to_thread(lambda: list(models.files(".pt")))
        if len(files) == 1:
            await recognition.model(models.root / files[0])
    except (EarshotError, OSError):
        pass  # requests for it will be told what is wrong with it
    except Exception:
        LOG.exception("the only model could not be prepared")
    app.state.is_ready = True


def _checked(result: Result | BaseException) -> Result:
    if isinstance(result, BaseException):
        raise result
    return result


def _analysis(model: ServedModel, name: str, result: ScoredRecording) -> FileAnalysis:
    audio, pictures = model.description.audio, {message.kind: message.values for message in result.overview}
    spectrogram = (255 * pictures["spectrogram"]).astype(np.uint8)
    height, width = spectrogram.shape
    low, high = pictures["waveform"]
    return FileAnalysis(
        file=shown_name(name),
        seconds=round(result.seconds, 3),
        window_seconds=audio.spec_duration,
        min_freq=audio.min_freq,
        max_freq=audio.max_freq,
        freq_scale=audio.freq_scale,
        classes=[shown_name(name) for name in model.classes.names],
        starts=rounded(np.array(result.starts)),
        scores=rounded(result.scores),
        clip=rounded(result.clip),
        thresholds=rounded(model.thresholds),
        found=result.found.tolist(),
        waveform=Waveform(low=rounded(low), high=rounded(high)),
        spectrogram=Picture(height=height, width=width, values=base64.b64encode(spectrogram.tobytes()).decode()),
    )


def _page(name: str) -> Any:
    async def page() -> FileResponse:
        return FileResponse(PAGE / name)

    return page


def _docs_folder() -> Path:
    """Where an installed package has the files of Swagger UI, which would else come from the internet."""
    spec = find_spec("fastapi_offline")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).with_name("static")


def _describe_token(app: FastAPI, token: str) -> None:
    """Say in the description of the API that a token is needed; the page of the docs then asks for it."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        content = original()
        if token:
            schemes = content.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["token"] = {"type": "http", "scheme": "bearer"}
            content["security"] = [{"token": []}]
        return content

    app.openapi = openapi  # type: ignore[method-assign]

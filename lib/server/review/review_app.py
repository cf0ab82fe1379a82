"""The review page's application: which request is answered how."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Query
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from lib.audio.sound_stretches import LONGEST
from lib.audio.spectrogram_tiles import COLORS, TileLook
from lib.config.schema import Settings
from lib.curation.clip_filter import ClipFilter
from lib.curation.clip_index import ORDERS, Clip
from lib.curation.reviewed_issues import ReviewedIssues
from lib.server.answers import PlainJSONResponse, add_refusals
from lib.server.request_guard import HEADERS, RequestGuard
from lib.server.review.clip_requests import MOST_CLIPS, clip_filter
from lib.server.review.issues_api import add_issues
from lib.server.review.review_answers import (
    ClipView,
    ExportedClips,
    MapPoint,
    NewDecision,
    NewExport,
    Overview,
    Person,
    ShownClip,
    ShownPage,
    Similar,
    shown_clip,
)
from lib.server.review.review_work import done
from lib.server.review.reviewed_project import ReviewedProject, checked_clip
from lib.server.review.verification_answers import ShownVerification
from lib.server.server_metrics import ServerMetrics

PAGE = Path(__file__).with_name("page")
ICON = Path(__file__).parents[1] / "page" / "icon.svg"
NONCE = "NONCE"
"""What stands in the page for a number that is used once, which the styles of the audio component need."""
KEPT = {"cache-control": "private, max-age=3600"}
"""Pictures and sound: their addresses change with what they show."""
MOST_SAMPLED = 2000
JSON_BYTES = 2**18
"""Of a request, at most: decisions may be about as many clips as review_answers.MOST_CHOSEN."""

Seconds = Annotated[float, Query(ge=-LONGEST, le=1e8)]
Hertz = Annotated[float, Query(ge=0, le=5e6)]


def _look(
    width: Annotated[int, Query(ge=16, le=2400)] = 800,
    height: Annotated[int, Query(ge=16, le=1000)] = 240,
    min_freq: Annotated[float | None, Query(ge=0, le=5e6)] = None,
    max_freq: Annotated[float | None, Query(ge=10, le=5e6)] = None,
    range_db: Annotated[float, Query(ge=10, le=150)] = 60.0,
    contrast: Annotated[float, Query(ge=0.1, le=5)] = 1.0,
    colors: Annotated[str, Query(pattern=f"^({'|'.join(COLORS)})$")] = "viridis",
) -> TileLook:
    return TileLook(width, height, min_freq, max_freq, range_db, contrast, colors)


def make_review_app(
    settings: Settings, project: ReviewedProject, token: str = "", issues: ReviewedIssues | None = None
) -> FastAPI:
    """The application of a review page.

    Args:
        settings: of the project, of which `review` says who may use the page.
        project: what is reviewed; it is closed at shutdown.
        token: that requests must carry; "": none.
        issues: about what is reviewed; None: there are none to be seen or made. They are closed at shutdown.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        project.close()
        if issues is not None:
            issues.close()

    app = FastAPI(
        title="Earshot review",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        default_response_class=PlainJSONResponse,
    )
    app.add_middleware(
        RequestGuard,  # type: ignore[arg-type]
        network=settings.review,
        token=token,
        metrics=ServerMetrics(),
        json_bytes=JSON_BYTES,
    )
    add_refusals(app)

    def clip_of(number: int) -> Clip:
        return done(lambda: checked_clip(project.index, number), f"clip {number}", 404)

    Chosen = Annotated[Clip, Depends(clip_of)]
    Look = Annotated[TileLook, Depends(_look)]

    @app.get("/overview")
    def overview() -> Overview:
        """Classes, counts, figures and confusion, after a look whether the pipeline has run meanwhile."""
        done(project.refresh)
        return done(project.overview)

    @app.get("/clips")
    def clips(
        chosen: Annotated[ClipFilter, Depends(clip_filter)],
        order: Annotated[str, Query(pattern=f"^({'|'.join(ORDERS)})$")] = "score",
        offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
        limit: Annotated[int, Query(ge=0, le=MOST_CLIPS)] = 100,
        sample: Annotated[int, Query(ge=0, le=MOST_SAMPLED)] = 0,
    ) -> ShownPage:
        """Some clips of a list. sample: only those of the verification sample of the class that is so large."""
        if sample:
            chosen = done(partial(project.sampled, chosen, sample), "sample")
        page = done(lambda: project.index.page(chosen, order, offset, limit))
        return ShownPage(total=page.total, serial=page.serial, clips=[shown_clip(clip) for clip in page.clips])

    @app.get("/verification")
    def verification(
        class_name: Annotated[str, Query(min_length=1, max_length=300)],
        n: Annotated[int, Query(ge=1, le=MOST_SAMPLED)] = 96,
        wanted: Annotated[float, Query(gt=0, lt=1)] = 0.9,
    ) -> ShownVerification:
        """How far a class is verified by a sample, and its precision by score."""
        return done(lambda: project.verification(class_name, n, wanted), class_name)

    @app.get("/media/view/{number}")
    def view(clip: Chosen, start: Seconds, end: Seconds, look: Look) -> ClipView:
        """What is drawn over a clip's spectrogram."""
        return done(lambda: project.view(clip, start, end, look), clip.recording)

    @app.get("/media/tile/{number}", response_class=Response)
    def tile(clip: Chosen, start: Seconds, end: Seconds, look: Look) -> Response:
        """The spectrogram of a stretch of a clip's recording, a PNG file."""
        content = done(lambda: project.tile(clip, start, end, look), clip.recording)
        return Response(content, media_type="image/png", headers=KEPT)

    @app.get("/media/sound/{number}", response_class=Response)
    def sound(
        clip: Chosen,
        start: Seconds,
        end: Seconds,
        slow: Annotated[float, Query(ge=1, le=100)] = 1.0,
        frequency: Hertz = 0.0,
    ) -> Response:
        """The sound of a stretch of a clip's recording, a WAV file: exactly what a tile of the same stretch shows.

        slow: times slower, at a lower sampling rate; frequency: by which it is shifted down, as a bat detector does.
        """
        content = done(lambda: project.sound(clip, start, end, slow, frequency), clip.recording)
        return Response(content, media_type="audio/wav", headers=KEPT)

    @app.post("/decisions")
    def decide(new: NewDecision) -> list[ShownClip]:
        """Decide about clips, in one step."""
        if new.decision == "relabel" and new.new_class not in project.index.classes:
            raise HTTPException(422, "there is no such class")
        values = new.clips, new.decision, new.new_class, new.by, new.reason
        return [shown_clip(clip) for clip in done(lambda: project.index.decide(*values))]

    @app.post("/decisions/undo")
    def undo(person: Person) -> list[ShownClip]:
        """Take back what a person decided last, in one step."""
        return [shown_clip(clip) for clip in done(lambda: project.index.undo(person.by))]

    @app.post("/similar/{number}")
    def similar(clip: Chosen) -> Similar:
        """Look for sounds like a clip in all recordings with embeddings."""
        return done(lambda: project.similar(clip), clip.recording)

    @app.get("/map")
    def sound_map() -> list[MapPoint]:
        """Clips by the similarity of their sounds."""
        return done(project.map)

    @app.post("/export")
    def export(new: NewExport) -> ExportedClips:
        """Write clips as files of sound with their table, into a folder of the project."""
        return done(lambda: project.export(new))

    if issues is not None:
        add_issues(app, project, issues)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """That the server runs."""
        return {"status": "ok"}

    @app.get("/")
    async def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        policy = HEADERS["content-security-policy"].replace("style-src 'self'", f"style-src 'self' 'nonce-{nonce}'")
        text = (PAGE / "index.html").read_text(encoding="utf-8").replace(NONCE, nonce)
        return HTMLResponse(text, headers={"content-security-policy": policy})

    @app.get("/static/icon.svg")
    async def icon() -> FileResponse:
        return FileResponse(ICON)

    app.mount("/static", StaticFiles(directory=PAGE))
    return app

"""What tells, without reading the labels of a set, that they may have changed."""

from pathlib import Path

from sqlalchemy import Row, func, select

from lib.config.schema import DataSettings
from lib.core.digests import state_of
from lib.core.files import project_root, walk_files
from lib.curation.store.curation_database import CurationDatabase
from lib.curation.store.curation_tables import FRAME, UPLOAD_VERSION
from lib.curation.store.frame_catalog import INFERENCES
from lib.curation.store.linked_truth import linked_url
from lib.sound.labels import RESULTS_FILE
from lib.sound.recordings import SUFFIXES


def set_state(database: CurationDatabase, row: Row, data: DataSettings) -> list:
    """Plain data that differ whenever the labels of a set do, and at times when they do not.

    row: of the set. data: whose decisions and reviewed recordings linked data sets take.
    """
    if row.DataUrl is None:
        query = select(UPLOAD_VERSION).where(UPLOAD_VERSION.c.FrameSetID == row.ID).order_by(UPLOAD_VERSION.c.ID)
        frames = select(func.count(), func.max(FRAME.c.ID), func.max(FRAME.c.UpdatedAt))
        frames = frames.where(FRAME.c.FrameSetID == row.ID)
        return [row.ID, row.UpdatedAt, *(list(each) for each in [*database.rows(query), *database.rows(frames)])]
    if row.Kind == INFERENCES:
        path = project_root() / row.DataUrl.removeprefix("file://")
        return [row.DataUrl, _states(path / RESULTS_FILE if path.is_dir() else path)]
    url = linked_url(row.DataUrl)
    places = [url.settings.path, data.decisions, data.reviewed]
    return [row.DataUrl, *(_states(project_root() / place, bool(url.window)) for place in places if place)]


def _states(path: Path, of_sounds: bool = True) -> list:
    """Sizes and times of change of a file, or of all files in a folder; empty where there is nothing.

    of_sounds: also of recordings, whose length tells how many windows they have; else only their names.
    """
    if path.is_dir():
        return [
            [str(file), state_of(file) if of_sounds or file.suffix.lower() not in SUFFIXES else ""]
            for file in walk_files(path)
        ]
    return [state_of(path)] if path.exists() else []

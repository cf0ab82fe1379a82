"""Uploads into a set: the rules of its project, one transaction, files that are mirrored."""

import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path

from sqlalchemy import Connection, Row, delete

from lib.core.digests import digest_file, digest_of
from lib.core.downloads import fetch, is_url
from lib.core.errors import EarshotError, Problem
from lib.core.files import atomic, fitting_name, open_regular, printable, project_root
from lib.curation.client.client_base import FRAME_CLASSES, ClientBase, Source
from lib.curation.frames.frame_parts import Content
from lib.curation.frames.frame_streams import DAMAGE, EMBEDDING_PARTS, LONGEST_LINE, content_of_line, damage
from lib.curation.frames.inferences_frame import InferencesFrame
from lib.curation.frames.labeled_frame import audio_place
from lib.curation.store.curation_tables import INGEST_ERROR
from lib.curation.store.embedding_rows import write_embeddings
from lib.curation.store.frame_ingest import FrameIngest, IngestRules, last_version, note_error
from lib.curation.store.label_rows import FramePlace, LabelRules

STREAM_SUFFIXES = (".jsonl", ".ndjson", ".json")
"""Of files of frames, one a line; other data_urls are links."""
ASSETS = "curation_assets"


class FrameUploads(ClientBase):
    """How frames get into the database."""

    def upload_asset_from_filepath(self, project_id: str, dataset_id: str, filepath: str | Path) -> str:
        """Copy a file beside the database; returns its path there, the same for the same content.

        Raises EarshotError if it cannot be read.
        """
        self.catalog.project(project_id)
        source = Path(filepath)
        try:
            with open_regular(source):
                digest = digest_file(source)
            name = printable(source.name).replace("/", "_")
            target = self._assets / digest_of([project_id, dataset_id])[:16] / fitting_name(f"{digest[:16]}-{name}", "")
            if not target.is_file():
                with atomic(target) as part:
                    shutil.copyfile(source, part)
        except OSError as error:
            raise EarshotError(source, f"cannot be copied ({error.strerror})", "check the path") from None
        return str(target)

    def upload_asset_from_url(self, project_id: str, dataset_id: str, source_url: str) -> str:
        """Fetch a file from an http(s)://, s3:// or file:// URL; see upload_asset_from_filepath."""
        with tempfile.TemporaryDirectory() as folder:
            return self.upload_asset_from_filepath(
                project_id, dataset_id, fetch(source_url, folder, allow_private=True)
            )

    @property
    def _assets(self) -> Path:
        path = Path(self.database.name)
        return path.parent / ASSETS if path.is_file() else project_root() / "data" / ASSETS

    def _mirrored(self, project_id: str, dataset_id: str, lines: Iterable[str]) -> dict[str, str | EarshotError]:
        """Copy the files that frames ask to mirror; where they are then, or why they are not, by what frames name.

        This comes before the transaction of an upload, so that nobody waits for a network behind its lock.
        """
        mirrored: dict[str, str | EarshotError] = {}
        for line in lines:
            for url in _urls_to_mirror(line):
                if url not in mirrored:
                    try:
                        mirrored[url] = self._mirror(project_id, dataset_id, url)
                    except EarshotError as error:  # of that frame alone
                        mirrored[url] = error
        return mirrored

    def _mirror(self, project_id: str, dataset_id: str, url: str) -> str:
        if is_url(url):
            return self.upload_asset_from_url(project_id, dataset_id, url)
        return self.upload_asset_from_filepath(project_id, dataset_id, project_root() / url)

    def _upload(
        self,
        connection: Connection,
        project: Row,
        frame_set: Row,
        lines: Iterable[str],
        version: str | None,
        mirrored: Mapping[str, str | EarshotError],
        parse: Callable[[Content], Content] | None = None,
        base: Source | None = None,
    ) -> None:
        """Take frames into a set that is uploaded.

        Args:
            connection: in a transaction.
            lines: JSON texts.
            version: name of the upload version; None: the last one.
            mirrored: files that frames ask to mirror, see _mirrored.
            parse: of lines that change frames; None: they are frames.
            base: of an inference set: the data set.
        """
        if frame_set.DataUrl is not None:
            fault = f"is linked to {frame_set.DataUrl}, and has no frames of its own"
            remedy = "change what it is linked to (decisions: stages.decide), or create another data set"
            raise EarshotError(f"data set {frame_set.Name!r}", fault, remedy)
        mode = frame_set.Content.get("pipeline_mode")
        if mode == "BATCH" and version is not None:
            raise EarshotError(f"data set {frame_set.Name!r}", "is not streaming", "create it with STREAMING")
        frame_class = FRAME_CLASSES[frame_set.Kind]
        fields = {each["name"]: each["type"] for each in frame_set.ObjectFields}
        classes = {entry.name: entry.class_id for entry in self._class_map(project).entries}
        rules = IngestRules(
            parse or (lambda content: frame_class.from_dict(content).to_dict()),
            LabelRules(classes, fields),
            {metric["name"]: metric["metrics_type"] for metric in project.Content["custom_metrics"]},
            None if base is None else lambda names: _places(base, names),
            parse is not None,
            lambda url: _copy_of(mirrored, url),
        )
        version = version or last_version(connection, frame_set.ID)
        FrameIngest(connection, frame_set.ID, version, rules).take(lines)

    def _take_embeddings(self, connection: Connection, frame_set: Row, path: Path) -> None:
        """Take embeddings of frames and labels from a file that write_embeddings_to_file wrote."""
        earlier = delete(INGEST_ERROR).filter_by(FrameSetID=frame_set.ID, UploadVersionID=None)
        connection.execute(earlier)
        for number, line in enumerate(lines_of_stream(path), 1):
            if not line.strip():
                continue
            try:
                content = content_of_line(line)
                parts = {key: content[key] for key in ("frame_id", *EMBEDDING_PARTS) if key in content}
                write_embeddings(connection, frame_set.ID, [InferencesFrame.from_dict(parts).to_dict()])
            except EarshotError as error:
                note_error(connection, frame_set.ID, None, number, "", error.problem())
            except DAMAGE as error:
                problem = Problem("line", damage(error), "write it with write_embeddings_to_file")
                note_error(connection, frame_set.ID, None, number, "", problem)


def is_stream(url: str) -> bool:
    """Whether a data_url names a file of frames, and is no link."""
    return url.partition("?")[0].lower().endswith(STREAM_SUFFIXES)


@contextmanager
def fetched_stream(url: str) -> Iterator[Path]:
    """A file of frames, until the block's end. A path counts from the project's folder; a URL is fetched.

    Raises EarshotError if it cannot be.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield fetch(url, folder, allow_private=True) if is_url(url) else project_root() / url


def lines_of_stream(path: Path) -> Iterator[str]:
    """The lines of a file of frames. Raises EarshotError if it cannot be read."""
    try:
        with TextIOWrapper(BufferedReader(open_regular(path)), encoding="utf-8", errors="backslashreplace") as file:
            yield from iter(lambda: file.readline(LONGEST_LINE + 1), "")
    except OSError as error:
        raise EarshotError(path, f"cannot be read ({error.strerror})", "check data_url") from None


def _urls_to_mirror(line: str) -> list[str]:
    """What the sensors of a frame name that are to be mirrored; a damaged line has none."""
    if '"mirror_asset"' not in line:
        return []
    try:
        sensors = content_of_line(line)["sensor_data"]
        return [sensor["audio_url"].partition("#")[0] for sensor in sensors if sensor.get("mirror_asset")]
    except (EarshotError, *DAMAGE):  # becomes an ingest error
        return []


def _copy_of(mirrored: Mapping[str, str | EarshotError], url: str) -> str:
    place = mirrored.get(url, EarshotError(url, "was added while its frames were uploaded", "upload them again"))
    if isinstance(place, EarshotError):
        raise place
    return place


def _places(base: Source, names: list[str]) -> Mapping[str, FramePlace]:
    """Where frames of a data set lie, by id."""
    places = {}
    for frame in base.frames(names):
        end = None if math.isinf(frame.end_time) else frame.end_time
        places[frame.frame_id] = FramePlace(frame.recording, audio_place(frame.audio_url)[0], frame.start_time, end)
    return places

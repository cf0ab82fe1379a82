"""Whether results are of a certain file: two data sets may have different recordings of the same name."""

from pathlib import Path

from lib.core.digests import digest_known_file
from lib.core.files import printable
from lib.core.incremental import AGAIN, Item, Job, Source
from lib.results.manifest import Manifest
from lib.results.prediction_keys import content_of
from lib.results.results_store import RecordingResult


def is_of_file(manifest: Manifest, result: RecordingResult, file: Path, folder: Path) -> bool:
    """Whether a recording was analyzed with the content that a file has now.

    The key of the result tells it, unless that depends on the place of the recording, too; then the file that was
    analyzed does, if it is still there. Where neither does, the files must have the same path in their data sets.

    Args:
        manifest: of the store.
        result: of the recording.
        file: a recording of that name, in the data set's folder.
        folder: the data set's.
    """
    try:
        content = digest_known_file(file)
        if manifest.occurrences is None:
            key = content_of(result.key) if manifest.external_run else result.key
            return key.removesuffix(AGAIN) == result_key(manifest, result.name, content)
        return digest_known_file(result.path) == content
    except OSError:
        path = Path(printable(str(file.relative_to(folder) if file.is_relative_to(folder) else file)))
        return Path(result.path).parts[-len(path.parts) :] == path.parts


def result_key(manifest: Manifest, name: str, content: str) -> str:
    """The key by which lib.core.incremental keeps what was made of a recording with that content, without a place.

    Of an external run it is the first part of the key, see lib.results.prediction_keys.
    """
    job: Job[None] = Job("", lambda source: iter(()), manifest.key if manifest.external_run is None else None, "", 1)
    return job.key_of(Source(Item(name, Path(name)), content))

"""Results that earlier versions kept as CSV files, before there was a results store; they are replaced by a store's.

Besides label files, such a folder holds scores/<recording>.csv, labels/<recording>.csv and, where a place was set,
occurrences/<recording>.csv; scores.csv whatever the label formats; and recordings.csv, by which it is recognized.
"""

import csv
import io
from contextlib import suppress
from pathlib import Path

import yaml

from lib.core.files import header_line, read_text
from lib.results.manifest import Manifest
from lib.results.results_store import EarlierResults
from lib.sound.labels import RECORDING_COLUMNS, RECORDINGS_FILE

COLUMNS = [*RECORDING_COLUMNS, "settings", "files", "key"]
FOLDERS = ("scores", "labels", "occurrences")


def has_csv_results(folder: Path) -> bool:
    """Whether an earlier version wrote to a folder."""
    try:
        return header_line(folder / RECORDINGS_FILE) == ",".join(COLUMNS)
    except OSError:
        return False


def with_csv_results(folder: Path, earlier: EarlierResults) -> EarlierResults:
    """What a folder holds before a run, CSV files of an earlier version included."""
    manifests = _manifests(folder)
    key = manifests[0].key if manifests else ""
    recordings = {name: (path, key) for name, path in _recordings(folder).items()}
    return EarlierResults(recordings | earlier.recordings, [*manifests, *earlier.manifests])


def remove_csv_results(folder: Path) -> None:
    """Remove an earlier version's files that no label format claims; those that others put there stay."""
    for name in _recordings(folder):
        for kind in FOLDERS:
            file = folder / kind / f"{name}.csv"
            file.unlink(missing_ok=True)
            with suppress(OSError):  # one is missing, or holds other files
                for parent in file.relative_to(folder).parents[:-1]:
                    (folder / parent).rmdir()


def _recordings(folder: Path) -> dict[str, str]:
    """Path of each recording, by name."""
    if not has_csv_results(folder):
        return {}
    table = csv.reader(io.StringIO(read_text(folder / RECORDINGS_FILE, "replace"), newline=""))
    rows = [row for row in table if len(row) == len(COLUMNS)][1:]  # a killed run left a part of a row
    return {name: path for name, path, *_ in rows if not Path(name).is_absolute() and ".." not in Path(name).parts}


def _manifests(folder: Path) -> list[Manifest]:
    if not has_csv_results(folder):
        return []
    try:
        content = yaml.safe_load(read_text(folder / "manifest.yaml"))
        content["infer"]["formats"] = [*content["infer"]["formats"], "scores"]
        return [Manifest.model_validate(content)]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):  # missing, where the first run was killed
        return []

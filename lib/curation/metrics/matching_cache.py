"""Matched events of data sets and inference sets: computed once, kept in files, recomputed where labels change."""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.core.code_digest import digest_code
from lib.core.digests import digest_of
from lib.core.files import project_root
from lib.core.locks import sole_writer
from lib.curation.metrics.event_sources import Stratification, comparable, event_table, merged_classes
from lib.curation.metrics.matched_events import MatchedEvents, match_events, read_matched, write_matched
from lib.curation.store.set_state import set_state

if TYPE_CHECKING:
    from lib.curation.client.client import Client

IN_MEMORY = 4
"""Sets of matched events that are kept in memory."""
ON_DISK = 64
"""Files that are kept; those that were not used for longest go first."""
CACHE = Path(".cache/matches")
"""Folder in the project's for files of databases that are no files."""


class MatchingCache:
    """Matched events of a project's sets. Threads may share it, and processes its folder.

    client: whose data sets they are. project: its name.
    """

    def __init__(self, client: "Client", project: str) -> None:
        self._client, self._project = client, project
        self._code = digest_code(match_events, event_table, comparable)
        name, database = client.database.name, Path(client.database.name)
        self.folder = (
            database.with_name(f"{database.name}.matches")
            if database.is_file()
            else project_root() / CACHE / digest_of(name)
        )
        self._recent: OrderedDict[str, MatchedEvents] = OrderedDict()
        self._lock = threading.Lock()

    def matched(self, data_set: str, inferences: str, confidence: float, iou: float) -> MatchedEvents:
        """The predictions of an inference set matched with the truth of a data set.

        The first time it takes as long as reading and matching them. confidence, iou: thresholds, see match_events.
        """
        content = self._client.catalog.project(self._project).Content
        strata, merged = stratifications(content), merged_classes(content.get("label_class_map") or [])
        states = [self._state(data_set), self._state(data_set, inferences)]
        key = digest_of([states, confidence, iou, merged, strata, self._code])
        with self._lock:
            matched = self._recent.get(key)
        if matched is None:  # others may go on meanwhile
            matched = self._read_or_match(key, data_set, inferences, confidence, iou, merged, strata)
        with self._lock:
            self._recent[key] = matched
            self._recent.move_to_end(key)
            while len(self._recent) > IN_MEMORY:
                self._recent.popitem(last=False)
        return matched

    def _state(self, *names: str) -> list:
        row = self._client.catalog.frame_set(self._project, *names)
        return set_state(self._client.database, row, self._client._data)

    def _read_or_match(
        self,
        key: str,
        data_set: str,
        inferences: str,
        confidence: float,
        iou: float,
        merged: Mapping[str, str | None],
        strata: list[Stratification],
    ) -> MatchedEvents:
        path = self.folder / f"{key}.npz"
        with sole_writer(path, seconds=-1):  # others who need the same wait, and read it
            matched = read_matched(path)
            if matched is None:
                client, project = self._client, self._project
                frames = {frame.frame_id: frame for frame in client.frames(project, data_set)} if strata else {}
                truth = event_table(client.truth(project, data_set), merged, strata, frames)
                found = event_table(client.predictions(project, data_set, inferences), merged, strata, frames)
                names = [each.name for each in strata]
                matched = match_events(*comparable(truth, found), iou, confidence, names)
                write_matched(path, matched)
                self._remove_old()
            with suppress(OSError):
                os.utime(path)
        return matched

    def _remove_old(self) -> None:
        with suppress(FileNotFoundError):  # which another process has removed
            files = sorted(self.folder.glob("*.npz"), key=lambda file: file.stat().st_mtime_ns)
            for file in files[:-ON_DISK]:
                file.unlink(missing_ok=True)


def stratifications(content: Mapping[str, Any]) -> list[Stratification]:
    """The attributes over which a project stratifies its metrics; content: of the project's row."""
    return [
        Stratification(entry["name"], tuple(map(str, entry["ordered_values"])))
        for entry in content.get("stratified_metrics") or []
    ]

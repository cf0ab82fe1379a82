"""The files through which scenarios and regression tests reach the evaluate stage: decisions, under version control."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Row, select

from lib.core.errors import EarshotError
from lib.core.files import project_root
from lib.core.locks import sole_writer
from lib.curation.issues.scenarios import REGRESSION_TEST, SCORED
from lib.curation.store.curation_tables import ISSUE
from lib.sound.scenario_tables import Scenario, ScenarioStretch, scenario_path, write_scenario

if TYPE_CHECKING:
    from lib.curation.client.client import Client

WAIT_SECONDS = 60.0
"""How long to wait for another process that writes the same scenario."""


LONGEST_FILE = 240
"""Bytes of a file name, so that there is room for what the names of its temporary files add."""


class ScenarioFiles:
    """Files of a project's scenarios in data.scenarios.

    client: of the curation database. project: its name.
    """

    def __init__(self, client: "Client", project: str) -> None:
        self._client, self._project = client, project
        self._folder = project_root() / client._data.scenarios

    @contextmanager
    def new_name(self, name: str) -> Iterator[None]:
        """Keep others from giving a scenario this name while the block does.

        Raises EarshotError if another scenario has it, a file of it is there already, or it is too long for one.
        """
        path = scenario_path(self._folder, name)
        if len(os.fsencode(path.name)) > LONGEST_FILE:
            fault = f"makes a file name of more than {LONGEST_FILE} bytes"
            raise EarshotError(f"scenario {name[:40]!r}...", fault, "choose a shorter name")
        with sole_writer(path, WAIT_SECONDS):
            query = select(ISSUE.c.ID).where(ISSUE.c.Name == name, ISSUE.c.Type.in_(SCORED))
            if self._client.database.rows(query) or path.exists():
                raise EarshotError(f"scenario {name!r}", "there is one of this name", "choose another name")
            yield

    def write(self, issue: Row, elements: Callable[[], Iterable[Row]]) -> Path:
        """Write the stretches of an issue's elements; elements: their rows, read while nobody else writes the file."""
        path = scenario_path(self._folder, issue.Name)
        with sole_writer(path, WAIT_SECONDS):
            stretches = self._stretches(issue, list(elements()))
            write_scenario(self._folder, Scenario(issue.Name, tuple(stretches), issue.Type == REGRESSION_TEST))
        return path

    def remove(self, name: str) -> None:
        """Remove the file of a scenario."""
        scenario_path(self._folder, name).unlink(missing_ok=True)

    def _stretches(self, issue: Row, elements: list[Row]) -> set[ScenarioStretch]:
        """Where the elements are: frames as a whole, true labels with their class, inferences without, since what
        sounds there is to be seen."""
        frames = {element.FrameName for element in elements}
        found = {frame.frame_id: frame for frame in self._client.frames(self._project, issue.Dataset, frames)}
        stretches = set()
        for element in elements:
            frame = found.get(element.FrameName)
            if frame is not None and not element.CropName:
                stretches.add(ScenarioStretch(frame.recording or frame.frame_id, frame.start_time, frame.end_time))
        for crop_type, inferences in (("label", None), ("inference", issue.InferenceSet)):
            crops = {element.CropName: element.FrameName for element in elements if element.CropType == crop_type}
            if not crops:
                continue
            source = self._client.source(self._project, issue.Dataset, inferences)
            for table in source.labels(set(crops.values())):
                for row in table[table["label_id"].isin(list(crops))].to_dict("records"):
                    frame = found.get(row["frame_id"])
                    if frame is None or crops[row["label_id"]] != row["frame_id"]:
                        continue
                    end = math.inf if row["end_time"] != row["end_time"] else row["end_time"]
                    name = row["class"] if crop_type == "label" else ""
                    stretches.add(ScenarioStretch(frame.recording or frame.frame_id, row["start_time"], end, name))
        return stretches

"""The manifest of results: the model, settings and code that they come from."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from lib.config.schema import Settings
from lib.core.digests import digest_file, digest_of
from lib.models.description import Description
from lib.models.model_files import model_digests
from lib.models.score_scaling import scaling_of
from lib.sound.classes import LABEL_FIELDS, ClassList

WITHOUT_EFFECT = {"model", "workers", "strict", "device"}
"""Settings of infer that change neither results nor label files; of the model, the digests of its files count."""
FOR_LABEL_FILES = {"formats", "label_field", "escape_formulas"}
"""Settings of infer that change label files only, which can be written again from the results."""


class ExternalRun(BaseModel):
    """An external model run: its predictions were made elsewhere, not by infer.

    Args:
        model_id, name: of its model.
        metadata: whatever else is to be kept, as JSON can hold it.
        all_recordings: whether all recordings of the data set count as analyzed, else those that were named, or that
            predictions are about.
    """

    model_config = ConfigDict(frozen=True)

    model_id: str
    name: str
    metadata: dict[str, Any] = {}
    all_recordings: bool = True


class Manifest(BaseModel):
    """What all results of a store come from.

    Args:
        segment_len: length of a window, s.
        overlap: of neighbouring windows, s.
        start_seconds: start of the first window of each recording, s.
        sed_fps: frames a second; None: labels are made of whole windows.
        classes: name, code, alt_name, alt_code of each, in the order of the scores.
        models: digests of the checkpoints, by file name.
        scaling: coefficient and intercept of each model's Platt scaling, by file name.
        infer, audio: settings.
        occurrences: digest of the occurrence filter; None: no place was set.
        excluded: names of classes that are left out, sorted.
        code: digest of the code that computes results.
        external_run: where the predictions were made, if not by infer: they come without windows and scores.
    """

    model_config = ConfigDict(frozen=True, validate_by_name=True, serialize_by_alias=True)

    segment_len: float
    overlap: float
    start_seconds: float = 0.0
    sed_fps: float | None = None
    classes: list[dict[str, str]]
    models: dict[str, str]
    scaling: dict[str, tuple[float, float]]
    infer: dict[str, Any]
    audio: dict[str, Any]
    occurrences: str | None = None
    excluded: list[str] = []
    code: str = ""
    external_run: ExternalRun | None = Field(None, alias="brought")  # its name in files

    @property
    def hop(self) -> float:
        """Seconds from one window to the next."""
        return self.segment_len - self.overlap

    @cached_property
    def class_list(self) -> ClassList:
        return ClassList(self.classes)

    @cached_property
    def key(self) -> str:
        """Digest of all that results depend on, besides the recordings."""
        run = {"all_recordings"} if self.external_run else True  # of which to exclude what labels do not depend on
        content = self.model_dump(exclude={"infer": True, "external_run": run})
        return digest_of(content | {"infer": self._of_results()})

    def difference(self, other: "Manifest") -> str:
        """How the results of another manifest were made, as far as it differs from this one, in words."""
        was, is_now = other._of_results(), self._of_results()
        if settings := [f"infer.{key} = {value}" for key, value in was.items() if is_now.get(key) != value]:
            return ", ".join(settings)
        if other.models != self.models:
            return "another model"
        differing = [name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)]
        return ", ".join(f"other {name}" for name in differing if name != "infer")

    def _of_results(self) -> dict[str, Any]:
        return {key: value for key, value in self.infer.items() if key not in FOR_LABEL_FILES}

    def is_of(self, model: str | Path) -> bool:
        """Whether the results come from this checkpoint, or folder of checkpoints."""
        return self.models == model_digests(model)

    def text(self) -> str:
        """The manifest as YAML."""
        content = self.model_dump(mode="json", exclude=None if self.external_run else {"external_run"})
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def manifest_of(files: list[Path], descriptions: list[Description], settings: Settings, **others: Any) -> Manifest:
    """The manifest of results that models give with these settings; others: its other fields."""
    first, infer = descriptions[0], settings.infer
    uses_frames = infer.initial_offsets or any(one.sed_fps for one in descriptions)
    return Manifest(
        segment_len=first.audio.spec_duration,
        overlap=infer.overlap,
        start_seconds=infer.start_seconds,
        sed_fps=frame_rate(descriptions, settings) if uses_frames else None,
        classes=[{key: entry.get(key, "") for key in LABEL_FIELDS.values()} for entry in first.classes],
        models={file.name: digest_file(file) for file in files},
        scaling={file.name: scaling_of(infer, one) for file, one in zip(files, descriptions, strict=True)},
        infer=infer.model_dump(exclude=WITHOUT_EFFECT),
        audio=first.audio.model_dump(),
        **others,
    )


def manifest_of_predictions(classes: Iterable[Mapping[str, str]], external_run: ExternalRun) -> Manifest:
    """The manifest of an external run with these classes."""
    nothing: dict[str, Any] = {"models": {}, "scaling": {}, "infer": {}, "audio": {}}
    return Manifest(
        segment_len=0.0, overlap=0.0, classes=ClassList(classes).entries, external_run=external_run, **nothing
    )


def frame_rate(descriptions: list[Description], settings: Settings) -> float:
    """Frames a second of a frame map: that of the models, or train.sed_fps where they do not score frames."""
    return next((one.sed_fps for one in descriptions if one.sed_fps), settings.train.sed_fps)

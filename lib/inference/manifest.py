"""What results come from, models, settings and code, as manifest.yaml says it, and when such results go together."""

from pathlib import Path
from typing import Any

import yaml

from lib.config import Settings
from lib.digests import digest_file, digest_of
from lib.inference.labels import LABEL_FIELDS
from lib.inference.scaling import scaling_of
from lib.models.description import Description

SCORED_BY = (
    *(f"audio/{name}.py" for name in ("reader", "spectrogram", "windows")),
    *(f"inference/{name}.py" for name in ("networks", "predictor", "scaling")),
    *(f"models/{name}.py" for name in ("backbones", "checkpoint", "heads", "recognizer")),
)
"""What a window's scores and embedding are made by: what depends on them is made anew after a change there."""
WORKINGS = {"workers", "strict", "device"}
"""Settings that do not change results."""
ABOUT_FILES = {"formats", "label_field"}
"""Settings that only the label files depend on, which can be made again from the labels."""


def model_manifest(files: list[Path], descriptions: list[Description], settings: Settings) -> dict[str, Any]:
    """Classes, windows, models and settings as plain data. segment_len, overlap: of windows, s. sed_fps: frames a
    second, None where labels are made of whole windows.
    """
    first, infer = descriptions[0], settings.infer
    by_frames = infer.initial_offsets or any(one.sed_fps for one in descriptions)
    return {
        "segment_len": first.audio.spec_duration,
        "overlap": infer.overlap,
        "sed_fps": frame_rate(descriptions, settings) if by_frames else None,
        "classes": [{key: entry.get(key, "") for key in LABEL_FIELDS.values()} for entry in first.classes],
        "models": {file.name: digest_file(file) for file in files},
        "scaling": {
            file.name: list(scaling_of(infer, description))
            for file, description in zip(files, descriptions, strict=True)
        },
        "infer": infer.model_dump(exclude=WORKINGS),
        "audio": first.audio.model_dump(),
    }


def frame_rate(descriptions: list[Description], settings: Settings) -> float:
    """Frames a second of a frame map: the models' own, or train.sed_fps where they know nothing of frames."""
    return next((one.sed_fps for one in descriptions if one.sed_fps), settings.train.sed_fps)


def manifest_text(manifest: dict[str, Any]) -> str:
    """A manifest as YAML."""
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder; {} if there is none that can be read."""
    try:
        manifest = yaml.safe_load((folder / "manifest.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("infer"), dict) else {}


def manifest_key(manifest: dict[str, Any]) -> str:
    """Digest of all that labels and scores depend on, besides the recording itself."""
    return digest_of(manifest | {"infer": _of_labels(manifest)})


def difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What another manifest has that this one has not, by which its labels differ, in words."""
    was, is_now = _of_labels(before), _of_labels(now)
    if settings := [f"infer.{key} = {value}" for key, value in was.items() if is_now.get(key) != value]:
        return ", ".join(settings)
    if before.get("models") != now["models"]:
        return "another model"
    return ", ".join(f"other {key}" for key in now if key != "infer" and before.get(key) != now[key])


def _of_labels(manifest: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest["infer"].items() if key not in ABOUT_FILES}

"""What a manifest.yaml says of the models and settings that results come from."""

from pathlib import Path
from typing import Any

import yaml

from lib.config import Infer
from lib.digests import digest_file
from lib.inference.labels import LABEL_FIELDS
from lib.inference.scaling import scaling_of
from lib.models.description import Description

WORKINGS = {"workers", "strict", "device"}
"""Settings that do not change results."""


def model_manifest(files: list[Path], descriptions: list[Description], infer: Infer) -> dict[str, Any]:
    """Classes, windows, models and settings as plain data. segment_len, overlap: of windows, s."""
    first = descriptions[0]
    return {
        "segment_len": first.audio.spec_duration,
        "overlap": infer.overlap,
        "classes": [{key: entry.get(key, "") for key in LABEL_FIELDS.values()} for entry in first.classes],
        "models": {file.name: digest_file(file) for file in files},
        "scaling": {
            file.name: list(scaling_of(infer, description))
            for file, description in zip(files, descriptions, strict=True)
        },
        "infer": infer.model_dump(exclude=WORKINGS),
        "audio": first.audio.model_dump(),
    }


def manifest_text(manifest: dict[str, Any]) -> str:
    """A manifest as YAML."""
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)

"""Format `json`: a list of recordings, one per line, each with its list of labels."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lib.core.files import atomic_text, printable
from lib.formats import WRITERS, LabelScheme, Writer
from lib.sound.labels import RecordingLabels


def _write(path: Path, recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> None:
    with atomic_text(path) as file:
        before = "[\n"
        for labelled in recordings:
            entry = {"recording": labelled.recording, "path": printable(str(labelled.path))}
            file.write(f'{before}{_json(entry | {"seconds": labelled.seconds})[:-1]}, "labels": [')
            before = ""
            for name, start, end, score in labelled.labels:
                times = {"start_time": round(start, 3), "end_time": round(end, 3)}
                file.write(before + _json({"name": scheme.shown[name]} | times | {"score": round(score, 6)}))
                before = ", "
            file.write("]}")
            before = ",\n"
        file.write("[]\n" if before == "[\n" else "\n]\n")


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)


WRITERS.register("json", Writer(_write, together="labels.json"))

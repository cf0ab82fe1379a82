"""Annotations in every format that is read, beside two recordings."""

import random
import shutil
from pathlib import Path

import soundfile
from soundevent import data

from lib.config.schema import DataSetSettings
from lib.core.files import write_json
from lib.formats import READERS, WRITERS, LabelScheme
from lib.formats.data_sets import read_data_set
from lib.sound.classes import ClassList
from lib.sound.labels import Label, RecordingLabels
from tests.formats.test_aoef import clip, event, recording, save, wren
from tests.formats.test_batdetect2 import CALL, content
from tests.fuzz.fuzzing import Target
from tests.recordings import noise

NAMES = ("a", "b")


def annotations(folder: Path) -> dict[str, bytes]:
    """Files by the format's name and theirs, such as `raven a.selections.txt`."""
    classes = ClassList([{"name": "Wren", "code": "WR"}, {"name": "Toad, common"}])
    scheme = LabelScheme(classes, "names", 50.0, 7000.0, 3.0)
    found = [Label("Wren", 0.0, 0.3, 0.9), Label("Toad, common", 0.1, 0.5, 0.6)]
    labelled = [RecordingLabels(name, folder / f"{name}.wav", 1.0, found) for name in NAMES]
    for name in sorted(set(READERS) & set(WRITERS)):
        writer = WRITERS[name]
        file = writer.together or Path(str(writer.each).format("a")).name
        writer.write(folder / f"{name} {file}", labelled if writer.together else labelled[:1], scheme)
    of = recording("a.wav")
    save(
        folder / "aoef",
        clip(of, event(of, data.BoundingBox(coordinates=[0.5, 2000, 0.9, 4000]), wren()), tags=(wren("x"),)),
    )
    (folder / "aoef/annotations.json").rename(folder / "aoef annotations.json")
    (folder / "batdetect2 a.wav.json").write_text(content(CALL, CALL | {"start_time": 0.1}))
    lines = (
        "recording,class,start_time,end_time,low_freq,confidence",
        "a,Wren,0.1,0.3,100,0.5",
        'b,"Toad, common",0,1,,',
    )
    (folder / "segments annotations.csv").write_text("\n".join(lines) + "\n")
    (folder / "segments classes.csv").write_text(
        "name,code,alt_name,category,color\nWren,WR,W,bird,#ff0000\nToad,T,,,\n"
    )
    write_json(folder / "audacity a.json", {})
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def read_annotations(path: Path, rng: random.Random) -> None:
    format_name, _, name = path.name.partition(" ")
    folder = path.parent / "data set"
    shutil.rmtree(folder, ignore_errors=True)
    place = folder / "recordings" if format_name == "segments" else folder
    place.mkdir(parents=True)
    for stem in NAMES:
        soundfile.write(place / f"{stem}.wav", noise(0.02, 8000), 8000)
    if name == "classes.csv":
        (folder / "annotations.csv").write_text("recording,class,start_time,end_time\na,Wren,0,1\nb,Toad,0,1\n")
    shutil.copy(path, folder / name)
    found = read_data_set(DataSetSettings(path=str(folder), format=rng.choice(("auto", format_name))))
    assert found.annotations["class"].isin(found.classes["name"]).all() and found.digest


WORDS = (
    *(
        b"nan",
        b"-inf",
        b"1e999",
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b'"',
        b",",
        b"\t",
        b";",
        b"-1",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
    *(
        b"recording",
        b"class",
        b"null",
        b"[]",
        b"{}",
        b"true",
        b"9" * 400,
        b"[" * 2000,
        "\u2028".encode(),
        b"\\",
        b"\\ud800",
    ),
)
TARGET = Target(annotations, read_annotations, WORDS)

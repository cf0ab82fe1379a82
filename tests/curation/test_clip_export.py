import csv

import numpy as np
import soundfile

from lib.curation.clip_export import export_clips
from lib.curation.clip_index import Clip
from tests.recordings import noise, write

CLIP = Clip(1, "found", "a", "low", 1.0, 2.0, None, None, 0.5, "", "", "", "", "", "", "", "a", None, False)


def exported(folder) -> list[dict]:
    return list(csv.DictReader((folder / "clips.csv").open()))


def test_clips_of_the_same_start_and_class_have_files_of_their_own(tmp_path):
    path = write(tmp_path / "a.wav", noise(5.0, 8000), 8000, "FLOAT")
    clips = [
        CLIP._replace(path=str(path), end_time=end, class_name=name) for end, name in ((2, "b?"), (3, "b?"), (2, "b*"))
    ]
    assert export_clips(clips, tmp_path / "out", "wav") == (3, [])
    rows = exported(tmp_path / "out")
    assert len({row["file"] for row in rows}) == 3
    assert [soundfile.info(tmp_path / "out" / row["file"]).frames for row in rows] == [8000, 16000, 8000]


def test_an_annotation_to_the_end_of_a_recording_ends_there(tmp_path):
    path = write(tmp_path / "a.wav", noise(5.0, 8000), 8000)
    export_clips([CLIP._replace(path=str(path), end_time=float("inf"))], tmp_path / "out", "wav", 0.5)
    (row,) = exported(tmp_path / "out")
    assert (row["start_time"], row["end_time"]) == ("0.5", "5.0")
    assert soundfile.info(tmp_path / "out" / row["file"]).frames == 4.5 * 8000


def test_the_channel_is_the_one_that_is_analyzed(tmp_path):
    both = np.stack([noise(3.0, 8000, 1), noise(3.0, 8000, 2)], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 8000, subtype="FLOAT")
    export_clips([CLIP._replace(path=str(tmp_path / "a.wav"))], tmp_path / "out", "wav", channel="first")
    (row,) = exported(tmp_path / "out")
    assert np.array_equal(soundfile.read(tmp_path / "out" / row["file"], dtype="float32")[0], both[8000:16000, 0])


def test_what_flac_cannot_hold_is_a_problem_and_the_others_are_written(tmp_path):
    high = write(tmp_path / "high.wav", noise(2.0, 700_000), 700_000)
    low = write(tmp_path / "low.wav", noise(2.0, 8000), 8000)
    n, problems = export_clips([CLIP._replace(path=str(path)) for path in (high, low)], tmp_path / "out", "flac")
    assert n == 1
    assert [problem.fault for problem in problems] == ["700,000 Hz is more than FLAC holds"]

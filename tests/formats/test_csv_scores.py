from pathlib import Path

import numpy as np

from lib.formats import WRITERS, LabelScheme
from lib.sound.classes import ClassList
from lib.sound.labels import RecordingLabels


def test_each_score_above_0_is_a_row(tmp_path):
    scores = np.array([[0.5, 0], [0, 0], [1 / 3, 1e-5]], np.float32)
    windows = [(np.array([0.0]), scores[:1]), (np.array([1.5, 3.0]), scores[1:])]
    recordings = [RecordingLabels("a", Path("a.wav"), 6.0, [], iter(windows)), RecordingLabels("b", Path(), 0.0, [])]
    scheme = LabelScheme(ClassList([{"name": "x", "code": "X"}, {"name": "y"}]), "codes", 0.0, 1.0, 3.0)
    WRITERS["scores"].write(tmp_path / "scores.csv", recordings, scheme)
    assert (tmp_path / "scores.csv").read_text().splitlines() == [
        "recording,name,start_time,end_time,score",
        "a,X,0.000,3.000,0.5",
        "a,X,3.000,6.000,0.333333",
        "a,y,3.000,6.000,1e-05",
    ]

"""What results say about where they come from."""

from lib.inference.analyzer import CODE
from lib.inference.manifest import SCORED_BY, difference, manifest_key
from tests.code import EVERYWHERE, PROJECT, reached

ASIDE = {
    *("lib/audio/audio.py", "lib/inference/frames.py", "lib/inference/labels.py", "lib/inference/manifest.py"),
    *("lib/inference/label_formats.py", "lib/inference/streams.py"),
    *("lib/models/calibration.py", "lib/models/description.py", "lib/models/device.py", "lib/models/files.py"),
}
"""What the Predictor uses besides: its scores of a spectrogram do not depend on it, or settings and models tell it."""


def code(*modules):
    return {f"lib/{module}" for module in modules}


def test_all_code_that_scores_are_made_by_is_known():
    used = reached(PROJECT / "lib/inference/predictor.py") - EVERYWHERE
    assert used - ASIDE <= code(*SCORED_BY)
    assert all((PROJECT / path).is_file() for path in code(*SCORED_BY))


def test_all_code_that_labels_are_made_by_is_known():
    used = reached(PROJECT / "lib/inference/findings.py") - EVERYWHERE
    assert {path for path in used if path.startswith("lib/inference")} - ASIDE <= code(*CODE)
    assert {"lib/inference/frames.py", "lib/inference/labels.py", "lib/inference/streams.py"} <= code(*CODE)


def test_difference_names_what_other_labels_come_from():
    one = {"infer": {"min_score": 0.5, "formats": ["raven"]}, "models": {"a.pt": "1"}, "code": "x"}
    assert manifest_key(one) == manifest_key(one | {"infer": {"min_score": 0.5, "formats": []}})
    other = one | {"infer": {"min_score": 0.3, "formats": []}}
    assert manifest_key(one) != manifest_key(other)
    assert difference(other, one) == "infer.min_score = 0.3"
    assert difference(one | {"models": {"a.pt": "2"}, "code": "y"}, one) == "another model"
    assert difference(one | {"code": "y"}, one) == "other code"


def test_no_room_above_uses_curation():
    """Or a change there would make `dvc repro` infer again."""
    above = [path for path in (PROJECT / "lib").glob("*/*.py") if path.parent.name not in ("curation", "server")]
    assert len(above) > 100 and not [path for path in above if "lib.curation" in path.read_text(encoding="utf-8")]

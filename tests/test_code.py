"""Which edits of the real code each kind of result depends on; see lib.core.code_digest."""

import shutil
from pathlib import Path

import pytest

from lib.config.schema import TrainSettings
from lib.core import code_digest
from lib.core.code_digest import digest_code
from lib.curation.recording_embeddings import EMBEDDING_CODE, embed_batches
from lib.inference.analyzer import INFERENCE_CODE
from lib.training.training_state import training_code
from lib.training_data.extraction import EXTRACTION_CODE

PROJECT = Path(__file__).parents[1]
RESULTS = {
    "extraction": EXTRACTION_CODE,
    "training": training_code(TrainSettings()),
    "inference": INFERENCE_CODE,
    "embedding": (*EMBEDDING_CODE, embed_batches),
}
ALL = set(RESULTS)
NETWORK = ALL - {"extraction"}
WINDOWS = ALL - {"training"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project's code, to edit."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def changed_by(project):
    """A function that makes an edit, returns the results that it changes, and takes it back."""

    def digests() -> dict[str, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(code_digest, "PROJECT", project)
            forget()
            values = {name: digest_code(*entries) for name, entries in RESULTS.items()}
        forget()
        return values

    before = digests()

    def changed_by(file: str, old: str, new: str) -> set[str]:
        path = project / "lib" / file
        content = path.read_text(encoding="utf-8")
        assert old in content
        path.write_text(content.replace(old, new, 1), encoding="utf-8")
        after = digests()
        path.write_text(content, encoding="utf-8")
        return {name for name in RESULTS if before[name] != after[name]}

    return changed_by


def forget() -> None:
    code_digest._known_digest.cache_clear()
    code_digest._module.cache_clear()


@pytest.mark.parametrize(
    ("file", "old", "new", "results"),
    [
        ("config/schema.py", "round(self.spec_duration * self.frame_rate)", "4", ALL),
        ("audio/spectrograms.py", "FRAMES_AT_ONCE = 200", "FRAMES_AT_ONCE = 100", WINDOWS),
        ("sound/grid/presence.py", "+ TOLERANCE", "- TOLERANCE", {"extraction"}),
        ("audio/augment/mixup.py", "torch.where(hit[:, None], targets, y)", "y", {"training"}),
        ("audio/augment/tensors/mixing.py", "wanted > SILENCE", "wanted < SILENCE", {"training"}),
        ("audio/augment/tensors/masking.py", "kept.view(n, width) == 0", "kept.view(n, width) == 1", {"training"}),
        ("training/learning_rate_schedule.py", "math.cos(math.pi * share)", "math.cos(3 * share)", {"training"}),
        ("training/optimizer.py", '"weight_decay": 0.0', '"weight_decay": 0.1', {"training"}),
        ("models/losses.py", "(1 - frame_loss_weight) * loss", "loss", {"training"}),
        ("models/heads.py", "frames.mean(dim=2) + ", "", NETWORK),
        ("models/frontends/mfcc.py", "self.dct @ levels", "levels", NETWORK),
        ("models/frontends/multi_spectrogram.py", "FAINTEST = 1e-18", "FAINTEST = 1e-9", NETWORK),
        ("models/frontends/scalogram.py", "OMEGA = 6.0", "OMEGA = 5.0", NETWORK),
        ("models/frontends/ast_filter_bank.py", "PREEMPHASIS = 0.97", "PREEMPHASIS = 0.9", NETWORK),
        ("models/frontends/raw_waveform.py", "VARIANCE_FLOOR = 1e-7", "VARIANCE_FLOOR = 1e-5", NETWORK),
        ("models/precision.py", 'precision == "bf16"', "True", NETWORK),
        ("models/platt_scaling.py", "def apply_platt(", "def apply_platt(*_, ", {"inference"}),
        ("inference/findings.py", "np.float32(0), factors", "np.float32(1), factors", {"inference"}),
        ("inference/labelling.py", " >= ", " > ", {"inference"}),
        ("results/results_store.py", ">= np.float32(least)", "> np.float32(least)", {"inference"}),
        ("results/results_store.py", "enumerate(class_names)", "enumerate(sorted(class_names))", {"inference"}),
        ("curation/embedding_store.py", '"<f2"', '">f2"', {"embedding"}),
    ],
)
def test_a_changed_formula_changes_what_is_computed_with_it_and_nothing_else(changed_by, file, old, new, results):
    assert changed_by(file, old, new) == results


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config/schema.py", "passes over the data", "how often the data are shown"),
        ("audio/augment/mixup.py", "that a window is mixed with another", "how often windows are mixed"),
        ("audio/augment/pitch.py", "/ 12), batch)", "/ 13), batch)"),  # which the default does not list
        ("training/trainer.py", "infer.min_score holds for it", "it has no threshold"),
        ("audio/spectrograms.py", "import numpy as np", "import numpy as np  # arrays"),
        ("formats/audacity.py", "{score:.3f}", "{score:.2f}"),
        ("results/results_store.py", "vacuum(self", "vacuum(+self"),
        ("results/exports.py", "write_csv(table", "write_csv(+table"),
        ("curation/embedding_store.py", "fix_header(self.path", "fix_header(+self.path"),
        ("evaluation/metrics.py", "def ", "def another_"),
        ("core/progress.py", "LINE_SECONDS = 15.0", "LINE_SECONDS = 5.0"),
    ],
)
def test_what_computes_no_results_changes_none(changed_by, file, old, new):
    assert changed_by(file, old, new) == set()

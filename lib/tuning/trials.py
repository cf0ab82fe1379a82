"""What a run of a trial does: extract, train, infer and evaluate as the stages do, in a scratch folder.

All in one process: starting the stages would cost ten seconds of imports a run, and their results depend on seeds and
data alone, not on what the process did before.

What does not depend on the varied values is made once: a training database for the same audio settings, and models for
the same settings of training and the same seed, are kept in the scratch folder under their digests, for other processes
and later searches, too. A training that was killed there resumes.
"""

import fcntl
import gc
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock

from lib.config.load import with_changes
from lib.config.named_parts import flat_values
from lib.config.schema import Parameter, Section, Settings
from lib.core.code_digest import digest_code
from lib.core.csv_files import read_csv
from lib.core.digests import digest_file, digest_known_file, digest_of
from lib.core.errors import DataSetError, EarshotError, Problem, SettingsError
from lib.core.progress import quiet
from lib.evaluation.segment_metrics import measure
from lib.evaluation.units import segment_units
from lib.formats.data_sets import DataSet, read_training_set
from lib.inference.analyzer import INFERENCE_CODE, analyze
from lib.models.model_files import model_files
from lib.occurrence.occurrence_filter import occurrence_filter
from lib.results.results_store import ResultsStore
from lib.training.trainer import Trainer
from lib.training.training_state import TRAINING_CODE, input_digests, settings_digest, training_code
from lib.training_data import training_tables
from lib.training_data.extraction import EXTRACTION_CODE, extract_windows
from lib.tuning.search_space import sections_of, with_values
from lib.tuning.studies import Figures, Run
from lib.tuning.tuning_metrics import AREAS

WORKINGS = {"workers", "strict", "device", "precision"}
"""Settings that say how a machine does its work, in which machines that share a study may differ."""
N_SEEDS = 2**32


@dataclass(frozen=True, eq=False)
class ModelSource:
    """Where the runs get their models from; exactly one of these is given.

    Args:
        model: a checkpoint, or a folder of them, to use as it is.
        database: a training database to train with.
        recordings: labelled recordings to extract from and to train with.
    """

    model: Path | None = None
    database: Path | None = None
    recordings: DataSet | None = None

    @cached_property
    def digest(self) -> str:
        """Digest of its content."""
        if self.model is not None:
            return digest_of([digest_file(file) for file in model_files(self.model)])
        if self.recordings is not None:
            return digest_of([self.recordings.digest, digest_code(*EXTRACTION_CODE)])
        try:
            return digest_known_file(self.database or "")
        except OSError:
            remedy = "run the extract stage, or give --extract to extract for the search alone"
            raise EarshotError(self.database, "no such file", remedy) from None


def choose_source(
    space: list[Parameter],
    settings: Settings,
    model: Path | None = None,
    database: Path = Path("data/training.db"),
    extract: bool = False,
    classes: Path | None = None,
) -> ModelSource:
    """The source that a space needs: the recordings of data.train if settings of audio or extract vary, or if `extract`
    or `classes` ask for it; else the database.

    Args:
        model: use this one instead, and do not train.
        classes: CSV file with a column name of the classes to train with.

    Raises SettingsError if the model does not go with the rest.
    """
    varied = sections_of(space)
    if model is not None:
        if fixed := sorted(varied - {"infer"}):
            fault = f"varies settings of {' and '.join(fixed)}, but the model is used as it is"
            raise SettingsError("tune.space", fault, "take them out of the space, or let the search train")
        if extract or classes:
            fault = "extracting is of no use where the model is used as it is"
            raise SettingsError("", fault, "leave out one of the two")
        model_files(model)
        return ModelSource(model=model)
    if extract or classes or varied & {"audio", "extract"}:
        data_set = read_training_set(settings.data, settings.extract.min_seconds)
        return ModelSource(recordings=_restrict_to(data_set, classes) if classes else data_set)
    return ModelSource(database=database)


@dataclass(frozen=True, eq=False)
class Bench:
    """Where runs are made.

    Args:
        test: recordings with annotations, to compare models by.
        scratch: folder for what the runs make; several processes may share it.
        keep_models: whether another run may need the same model, as it does where settings of inference vary.
        occurrences: pickle for the filter by place.
        problems: what was unusual in the runs, each once; for the caller to show.
    """

    settings: Settings
    test: DataSet
    source: ModelSource
    scratch: Path
    keep_models: bool = True
    occurrences: Path = Path("data/occurrences.pkl")
    problems: dict[Problem, None] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Digest of what is the same for all runs: data and code."""
        code = digest_code(*INFERENCE_CODE, segment_units, measure)
        training = "" if self.source.model else digest_code(*TRAINING_CODE)
        return digest_of([self.source.digest, self.test.digest, code, training])

    def settings_of(self, run: Run) -> Settings:
        """The settings of a run. Its seed is train.seed plus its number: runs differ, trials have the same ones."""
        settings = with_values(self.settings, run.values)
        changes: dict[str, Any] = {"train.seed": (settings.train.seed + run.number) % N_SEEDS}
        if self.source.recordings is not None:
            changes["train.spec_group"] = training_tables.DEFAULT  # the only one that an extraction fills
        return with_changes(settings, changes)

    def key(self, run: Run) -> str:
        """Digest of everything that a run's figures depend on."""
        workings = {name: value for name, value in run.values.items() if name.rpartition(".")[2] in WORKINGS}
        settings = self.settings_of(run)
        training = "" if self.source.model else digest_code(*training_code(settings.train))  # of its augmentations, too
        return digest_of([self.digest, self._inputs(settings), workings, training])

    def digest_without(self, keys: Collection[str]) -> str:
        """Digest of the data, the code and the settings, without those (`section.key`) that a search varies."""
        within = tuple(f"{key}." for key in keys)  # of a list of parts that varies as a whole
        inputs = self._inputs(self.settings)
        rest = {name: value for name, value in inputs.items() if name not in keys and not name.startswith(within)}
        return digest_of([self.digest, rest])

    def _inputs(self, settings: Settings) -> dict[str, Any]:
        """The settings that figures depend on, by `section.key`, and digests of the files that they name."""
        sections: dict[str, Section] = {"infer": settings.infer}
        if self.source.model is None:
            sections["train"] = settings.train
        if self.source.recordings is not None:
            sections |= {"audio": settings.audio, "extract": settings.extract}
        inputs: dict[str, Any] = {"evaluate.min_seconds": settings.evaluate.min_seconds}
        for name, section in sections.items():
            inputs |= flat_values(section.model_dump(exclude=WORKINGS), f"{name}.")
        # A file that is missing is reported by the run.
        if self.source.model is None:
            with suppress(SettingsError):
                if any(digests := input_digests(settings.train)):
                    inputs["train.files"] = digests
        named = (settings.infer.exclude, settings.infer.recordings_table, self.occurrences)
        files = [Path(path) for path in named if path]
        return inputs | {str(file): digest_known_file(file) for file in files if file.is_file()}

    def measure(self, run: Run) -> Figures:
        """The figures of a run. Raises EarshotError if its values give no model, or nothing to measure."""
        settings = self.settings_of(run)
        with quiet(), _memory_freed():
            model = self.source.model or self._model(settings)
            with TemporaryDirectory(dir=self._folder("labels")) as labels:
                figures = self._evaluate(settings, model, Path(labels))
            if not (self.keep_models or self.source.model):
                shutil.rmtree(model)
            return figures

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Use the scratch folder. The last user removes everything but the models from it."""
        with (self._folder(".") / "users.lock").open("w") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            yield
            with suppress(BlockingIOError):  # raised while others use it
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for name in ("databases", "labels", "locks"):
                    shutil.rmtree(self.scratch / name, ignore_errors=True)

    def _model(self, settings: Settings) -> Path:
        """The folder of the models for these settings."""

        def train(folder: Path) -> list[Problem]:
            folder.mkdir(exist_ok=True)
            return Trainer(cfg=settings, database=self._database(settings), output=folder).train().problems

        extraction = self._extraction_settings(settings) if self.source.recordings is not None else None
        name = digest_of([[self.source.digest, extraction], settings_digest(settings.train)])
        return self._make_once("models", name, train)

    def _database(self, settings: Settings) -> Path:
        """The training database for these settings."""
        recordings = self.source.recordings
        if recordings is None:
            assert self.source.database is not None
            return self.source.database

        def extract(database: Path) -> list[Problem]:
            return extract_windows(recordings, settings.audio, settings.extract, database)[2]

        name = digest_of([self.source.digest, self._extraction_settings(settings)])
        return self._make_once("databases", f"{name}.db", extract)

    @staticmethod
    def _extraction_settings(settings: Settings) -> list[dict[str, Any]]:
        """The settings that the content of a training database depends on."""
        return [settings.audio.model_dump(), settings.extract.model_dump(exclude=WORKINGS)]

    def _make_once(self, kind: str, name: str, make: Callable[[Path], list[Problem]]) -> Path:
        """What `make` writes to the path that it is given, unless it is there; other processes wait for it."""
        path = self._folder(kind) / name
        with FileLock(self._folder("locks") / name):
            if not path.exists():
                part = path.with_name(f"{name}.part")
                self.problems.update(dict.fromkeys(make(part)))
                part.rename(path)
        return path

    def _evaluate(self, settings: Settings, model: Path, labels: Path) -> Figures:
        class_filter = occurrence_filter(settings.infer, self.occurrences)
        analysis = analyze(self.test.recordings, model, settings, labels, class_filter)
        with ResultsStore(labels) as store:
            units, problems = segment_units(self.test, store, settings.evaluate.min_seconds)
            figures = measure(units, settings.evaluate.threshold, resamples=0, scratch=labels).figures
        self.problems.update(dict.fromkeys([*analysis.problems, *problems]))
        if undefined := [name for name in AREAS if name not in figures]:
            fault = f"{undefined[0]} is not defined, for want of segments with and without a class"
            raise DataSetError(self.test.folder, fault, "annotate more recordings to compare models by")
        return {name: figures[name] for name in AREAS}

    def _folder(self, name: str) -> Path:
        folder = self.scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _restrict_to(data_set: DataSet, classes: Path) -> DataSet:
    """A data set with only the classes that a CSV file names; everything else in its recordings is background."""
    names = set(read_csv(classes, ["name"], {"name": ("name",)})["name"]) - {""}
    kept_classes = data_set.classes[data_set.classes["name"].isin(names)].reset_index(drop=True)
    if unknown := sorted(names - set(kept_classes["name"])):
        raise DataSetError(classes, f"{unknown[0]} is not a class of {data_set.folder}", "correct or remove it")
    annotations = data_set.annotations
    annotations = annotations[annotations["class"].isin(names)].reset_index(drop=True)
    return replace(data_set, annotations=annotations, classes=kept_classes)


@contextmanager
def _memory_freed() -> Iterator[None]:
    """Free the GPU's memory at the end; if it does not suffice, that is a fault of the values that were tried."""
    try:
        yield
    except torch.OutOfMemoryError:
        remedy = "try smaller values, for example of train.batch_size"
        raise EarshotError("", "needs more memory than the GPU has", remedy) from None
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

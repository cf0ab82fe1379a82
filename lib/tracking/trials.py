"""What a run of a trial does: extract, train, infer and evaluate as the stages do, in a scratch folder.

All in one process: to start the stages anew would cost ten seconds of imports a run, and their results follow from
seeds and data alone, not from what the process did before. What would outlast a run, the number of threads and memory
held for the GPU, is set back after it.

What does not depend on the values that differ is done once: a training database for the same audio settings, and
models for the same settings of training and the same seed, are found again in the scratch folder by their digests,
also by other processes and by later searches. A run that is killed there goes on where it stopped.
"""

import gc
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock, Timeout

from lib.config import Parameter, Section, Settings, with_changes
from lib.console import quiet
from lib.database import schema
from lib.database.extraction import CODE as EXTRACTION
from lib.database.extraction import extract
from lib.datasets.contents import Contents
from lib.datasets.tables import read_csv
from lib.digests import digest_code, digest_file, digest_known_file, digest_of
from lib.errors import DataSetError, EarshotError, Problem, SettingsError
from lib.evaluation.predictions import read_predictions
from lib.evaluation.results import measure
from lib.evaluation.units import segment_units
from lib.inference.analyzer import CODE as INFERENCE
from lib.inference.analyzer import analyze
from lib.models.files import model_files
from lib.occurrence.filter import occurrence_filter
from lib.training.space import Values, sections_of, with_values
from lib.training.state import CODE as TRAINING
from lib.training.state import settings_digest
from lib.training.trainer import Trainer
from lib.training.tuner import FIGURES, Figures, Run

EVALUATION = ("evaluation/metrics.py", "evaluation/results.py", "evaluation/units.py")
WORKINGS = {"workers", "strict", "device", "precision"}
"""How a machine does its work, in which those that share a study may differ."""
N_SEEDS = 2**32


@dataclass(frozen=True, eq=False)
class Source:
    """Where the runs get their models from: exactly one of these is given.

    model: a checkpoint, or a folder of them, that is used as it is. database: a training database that is there, to
    train with. recordings: labelled recordings, to extract from and to train with.
    """

    model: Path | None = None
    database: Path | None = None
    recordings: Contents | None = None

    @cached_property
    def digest(self) -> str:
        """Digest of its content."""
        if self.model is not None:
            return digest_of([digest_file(file) for file in model_files(self.model)])
        if self.recordings is not None:
            return digest_of([_digest(self.recordings), digest_code(*EXTRACTION)])
        try:
            return digest_known_file(self.database or "")
        except OSError:
            fault = f"{self.database}: no such file; run the extract stage"
            raise EarshotError(f"{fault}, or give --extract to extract for the search alone") from None


def choose_source(
    space: list[Parameter],
    settings: Settings,
    model: Path | None = None,
    database: Path = Path("data/training.db"),
    extract: bool = False,
    classes: Path | None = None,
) -> Source:
    """The source that a space needs: the recordings of data.train if settings of audio or extract vary, or if told so
    by `extract` or by `classes`, a CSV file with a column name of the classes to train with; else the database.

    model: use this one instead, and do not train. Raises SettingsError if that does not go with the space.
    """
    varied = sections_of(space)
    if model is not None:
        if fixed := sorted(varied - {"infer"}):
            fault = f"tune.space varies settings of {' and '.join(fixed)}, but the model is used as it is"
            raise SettingsError(f"{fault}; take them out of the space, or let the search train")
        if extract or classes:
            raise SettingsError("extracting is of no use where the model is used as it is; leave out one of the two")
        model_files(model)
        return Source(model=model)
    if extract or classes or varied & {"audio", "extract"}:
        from lib.datasets.contents import read_data_set

        contents = read_data_set(settings.data.train)
        return Source(recordings=_restricted(contents, classes) if classes else contents)
    return Source(database=database)


@dataclass(frozen=True, eq=False)
class Bench:
    """Where runs are made.

    settings: as they are where nothing is varied. test: recordings with annotations, by which models are compared.
    scratch: folder for what the runs make, which several processes may use. keep_models: whether a model may be asked
    for again, as where settings of inference vary. occurrences: pickle for the filter by place. problems: what the runs
    found odd, each once, for whoever shows it.
    """

    settings: Settings
    test: Contents
    source: Source
    scratch: Path
    keep_models: bool = True
    occurrences: Path = Path("data/occurrences.pkl")
    problems: dict[Problem, None] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Digest of what is the same for all runs: data and code."""
        code = digest_code(*INFERENCE, *EVALUATION)
        training = "" if self.source.model else digest_code(*TRAINING)
        return digest_of([self.source.digest, _digest(self.test), code, training])

    def settings_of(self, run: Run) -> Settings:
        """The settings of a run. Its seed is train.seed plus its number: runs differ, trials have the same ones."""
        settings = with_values(self.settings, run.values)
        changes: dict[str, Any] = {"train.seed": (settings.train.seed + run.number) % N_SEEDS}
        if self.source.recordings is not None:
            changes["train.spec_group"] = schema.DEFAULT  # the only one that an extraction fills
        return with_changes(settings, changes)

    def key(self, run: Run) -> str:
        """Digest of all that a run's figures depend on."""
        return digest_of([self.digest, self._read(self.settings_of(run)), _how(run.values)])

    def digest_without(self, keys: Collection[str]) -> str:
        """Digest of the data, the code and the settings, but for settings (`section.key`) that a search varies."""
        return digest_of([self.digest, {k: v for k, v in self._read(self.settings).items() if k not in keys}])

    def _read(self, settings: Settings) -> dict[str, Any]:
        """The settings that figures depend on, by `section.key`."""
        sections: dict[str, Section] = {"infer": settings.infer}
        if self.source.model is None:
            sections["train"] = settings.train
        if self.source.recordings is not None:
            sections |= {"audio": settings.audio, "extract": settings.extract}
        found = {
            f"{name}.{key}": value
            for name, section in sections.items()
            for key, value in section.model_dump(exclude=WORKINGS).items()
        }
        return found | {"evaluate.min_seconds": settings.evaluate.min_seconds} | self._named(settings)

    def _named(self, settings: Settings) -> dict[str, str]:
        """Digests of the files that settings name, by their paths; one that is missing, the run will miss."""
        named = (settings.infer.exclude, settings.infer.recordings_table, settings.train.load_checkpoint)
        files = [str(path) for path in (*named, self.occurrences) if path]
        return {file: digest_known_file(file) for file in files if Path(file).is_file()}

    def measure(self, run: Run) -> Figures:
        """The figures of a run. Raises EarshotError if there is no model, or nothing to measure, with its values."""
        settings = self.settings_of(run)
        with quiet(), _set_back():
            model = self.source.model or self._trained(settings)
            with TemporaryDirectory(dir=self._folder("labels")) as labels:
                figures = self._evaluated(settings, model, Path(labels))
            if not (self.keep_models or self.source.model):
                shutil.rmtree(model)
            return figures

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While this lasts, nobody else tidies up; at its end, all but the models goes unless others still use it."""
        folder = self._folder("users")
        with TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as mine, FileLock(Path(mine) / "lock"):
            yield
            if not any(_is_locked(lock) for lock in folder.glob("*/lock") if lock.parent != Path(mine)):
                for name in ("databases", "labels", "locks"):
                    shutil.rmtree(self.scratch / name, ignore_errors=True)

    def _trained(self, settings: Settings) -> Path:
        """The folder of the models for these settings, trained unless they are there."""
        folder = self._model_folder(settings)
        with FileLock(self._folder("locks") / folder.name):
            if not folder.exists():
                part = folder.with_name(f"{folder.name}.part")
                part.mkdir(exist_ok=True)
                _, problems = Trainer(cfg=settings, database=self._database(settings), output=part).train()
                self.problems.update(dict.fromkeys(problems))
                part.rename(folder)
        return folder

    def _model_folder(self, settings: Settings) -> Path:
        audio = [settings.audio.model_dump(), settings.extract.model_dump(exclude=WORKINGS)]
        made = [self.source.digest, audio if self.source.recordings is not None else None]
        return self._folder("models") / digest_of([made, settings_digest(settings.train)])

    def _database(self, settings: Settings) -> Path:
        """The training database for these settings, extracted unless it is there."""
        if self.source.recordings is None:
            assert self.source.database is not None
            return self.source.database
        made = [settings.audio.model_dump(), settings.extract.model_dump(exclude=WORKINGS)]
        database = self._folder("databases") / f"{digest_of([self.source.digest, made])}.db"
        with FileLock(self._folder("locks") / database.name):
            if not database.exists():
                part = database.with_name(f"{database.name}.part")
                _, _, problems = extract(self.source.recordings, settings.audio, settings.extract, part)
                self.problems.update(dict.fromkeys(problems))
                part.rename(database)
        return database

    def _evaluated(self, settings: Settings, model: Path, labels: Path) -> Figures:
        allowed = occurrence_filter(settings.infer, self.occurrences)
        _, _, problems = analyze(self.test.recordings, model, settings, labels, allowed)
        units, odd = segment_units(self.test, read_predictions(labels), settings.evaluate.min_seconds)
        self.problems.update(dict.fromkeys([*problems, *odd]))
        figures = measure(units, settings.evaluate.threshold, resamples=0).figures
        if missing := [name for name in FIGURES if name not in figures]:
            fault = f"{self.test.folder}: {missing[0]} is not defined, for want of segments with and without a class"
            raise DataSetError(f"{fault}; annotate more recordings to compare models by")
        return {name: figures[name] for name in FIGURES}

    def _folder(self, name: str) -> Path:
        folder = self.scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _restricted(contents: Contents, classes: Path) -> Contents:
    """A data set with only the classes that a CSV file names: all else in its recordings is background."""
    table = read_csv(classes, [])
    column = next((column for column in table.columns if column.lower() == "name"), None)
    if column is None:
        raise DataSetError(f"{classes}: lacks the column name; its first line must hold it")
    wanted = set(table[column]) - {""}
    known = contents.classes[contents.classes["name"].isin(wanted)].reset_index(drop=True)
    if unknown := sorted(wanted - set(known["name"])):
        raise DataSetError(f"{classes}: {unknown[0]} is no class of {contents.folder}; correct or remove it")
    annotations = contents.annotations
    annotations = annotations[annotations["class"].isin(wanted)].reset_index(drop=True)
    return replace(contents, annotations=annotations, classes=known)


def _digest(contents: Contents) -> str:
    files = {}
    for name, path in contents.recordings.items():
        try:
            files[name] = digest_known_file(path)
        except OSError as error:  # it is passed over by all runs, and told by them
            files[name] = str(error.strerror)
    tables = [table.astype(str).to_numpy().tolist() for table in (contents.annotations, contents.classes)]
    return digest_of([files, tables])


def _how(values: Values) -> Values:
    """Those of a combination's values that its key would lack: how a machine works may be what is tried."""
    return {name: value for name, value in values.items() if name.rpartition(".")[2] in WORKINGS}


@contextmanager
def _set_back() -> Iterator[None]:
    """Leave the process as it was; the GPU's lack of memory is a fault of the values that were tried."""
    threads = torch.get_num_threads()
    try:
        yield
    except torch.OutOfMemoryError:
        fault = "needs more memory than the GPU has"
        raise EarshotError(f"{fault}; try smaller values, for example of train.batch_size") from None
    finally:
        torch.set_num_threads(threads)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _is_locked(file: Path) -> bool:
    """Whether a living process holds the lock; what a killed one left is removed."""
    try:
        with FileLock(file, timeout=0):
            pass
    except Timeout:
        return True
    shutil.rmtree(file.parent, ignore_errors=True)
    return False

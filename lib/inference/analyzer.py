"""Many recordings in; a results store and label files out, incrementally (see lib.core.incremental)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lib.config.load import get_config, read_seconds
from lib.config.schema import Settings
from lib.core.code_digest import digest_code
from lib.core.digests import digest_known_file
from lib.core.errors import AudioError, EarshotError, Problem, SettingsError
from lib.core.files import printable
from lib.core.incremental import Item, Job, Source, run
from lib.core.locks import sole_writer
from lib.core.parallel import n_workers
from lib.core.part_registry import one_of
from lib.formats import WRITERS, LabelScheme
from lib.inference.lazy_predictor import lazy_predictor
from lib.inference.streams import Batch, hop_of, stream_windows, window_reader
from lib.models.description import Description, read_description
from lib.models.model_files import model_files
from lib.occurrence.occurrence_filter import OccurrenceFilter, Reason, occurrence_filter
from lib.results.csv_results import remove_csv_results, with_csv_results
from lib.results.exports import LabelFiles, write_tables
from lib.results.manifest import Manifest, manifest_of
from lib.results.results_store import EarlierResults, RecordingResult, ResultsStore, earlier_results
from lib.sound.classes import ClassList, read_excluded
from lib.sound.labels import RESULTS_FILE
from lib.sound.recordings import Recordings, recordings_of

if TYPE_CHECKING:
    from lib.inference.predictor import Predictor

INFERENCE_CODE = (
    "lib.inference.streams:window_reader",
    "lib.inference.streams:WindowReader.read",
    "lib.inference.findings:find_sounds",
    "lib.results.results_store:insert_parts",
)
"""What computes scores and labels and stores them, by name: importing it would import torch."""


class Analysis(NamedTuple):
    """What became of recordings: a result of each, sorted by name; how many were analyzed now; and problems."""

    results: list[RecordingResult]
    n_new: int
    problems: list[Problem]


def analyze(
    recordings: Recordings,
    model: str | Path,
    settings: Settings,
    output: Path,
    occurrences: OccurrenceFilter | None = None,
    keep_others: bool = False,
    pack: bool = False,
) -> Analysis:
    """Analyze recordings with a model into the results store and the label files of a folder.

    Args:
        recordings: name -> file.
        model: a checkpoint, or a folder of them whose scores are averaged.
        settings: `infer` is used, and train.sed_fps as Predictor uses it.
        output: the folder.
        occurrences: lowers or drops classes by place and season.
        keep_others: keep results in the folder of recordings that are not among these, and label files of formats that
            earlier runs wrote; else they are removed.
        pack: let the store's bytes follow from what it holds alone, see ResultsStore.finish.

    Raises EarshotError if the model cannot be used, another process writes to the folder, or the folder holds what must
    not be overwritten or mixed.
    """
    infer, files = settings.infer, model_files(model)
    descriptions = [read_description(file) for file in files]
    audio, classes = descriptions[0].audio, ClassList(descriptions[0].classes)
    excluded, problems = read_excluded(infer.exclude, classes)
    place = occurrences.digest if occurrences else None
    problems += occurrences.unknown_classes(classes.names) if occurrences else []
    problems += _stopped_trainings(files, descriptions)
    code = digest_code(*INFERENCE_CODE)
    length, escape = audio.spec_duration, infer.escape_formulas
    scheme = LabelScheme(classes, infer.label_field, audio.min_freq, audio.max_freq, length, escape)
    windows = window_reader(audio, infer, len(files), descriptions[0].takes)
    items = [Item(name, path, occurrences and occurrences.key(name, path)) for name, path in recordings.items()]
    with sole_writer(output / RESULTS_FILE):
        earlier = with_csv_results(output, earlier_results(output))
        if any(one.external_run for one in earlier.manifests):
            raise EarshotError(output, "holds predictions that were made elsewhere", "give another --output")
        formats_before = {name for one in earlier.manifests for name in one.infer["formats"]} & set(WRITERS)
        if keep_others:  # formats that were asked for before stay, too
            formats = [*infer.formats, *sorted(formats_before - set(infer.formats))]
            settings = settings.model_copy(update={"infer": infer.model_copy(update={"formats": formats})})
        manifest = manifest_of(files, descriptions, settings, occurrences=place, excluded=sorted(excluded), code=code)
        job = Job("infer", windows.read, manifest.key, "", n_workers(infer.workers))
        label_files = LabelFiles(output, manifest.infer["formats"], formats_before, scheme)
        label_files.check_free(recordings, earlier)
        others = _others(output, recordings, manifest, earlier) if keep_others else set()
        with ResultsStore(output, manifest) as store:
            with lazy_predictor(model, settings, manifest.models.values()) as predictor:
                analysis_store = _AnalysisStore(store, label_files, predictor, classes, excluded, occurrences)
                outcome = run(items, job, analysis_store)
            kept = analysis_store.kept
            for name in sorted(earlier.recordings.keys() - recordings.keys() - others):
                kept += label_files.remove(store, name)
                store.remove(name)
            store.commit()
            results = store.recordings()
            kept += label_files.update(store, results.values())
            remove_csv_results(output)
            kept += write_tables(store, results.values(), label_files)
            store.finish(pack)
    chosen = [result for name, result in results.items() if name in recordings]
    return Analysis(chosen, len(outcome.new), [*problems, *outcome.problems, *dict.fromkeys(kept)])


def _stopped_trainings(files: list[Path], descriptions: list[Description]) -> list[Problem]:
    """A Problem for each checkpoint whose training was stopped before it was complete."""
    trainings = {file: one.training for file, one in zip(files, descriptions, strict=True)}
    stopped = {file: training["epochs"] for file, training in trainings.items() if training.get("interrupted")}
    remedy = "train with the same settings to resume it"
    return [
        Problem(printable(str(file)), f"its training was stopped; this is epoch {epoch}", remedy, lost=False)
        for file, epoch in stopped.items()
    ]


def _others(output: Path, recordings: Recordings, manifest: Manifest, earlier: EarlierResults) -> set[str]:
    """Names of recordings that are not among these, whose results in the folder stay.

    A recording that was analyzed under another name, before there were two of that name, does not stay. Raises
    EarshotError if results of different settings would be mixed, or if results of a recording of the same name, which
    still exists, would be overwritten.
    """
    paths = {printable(str(path)) for path in recordings.values()}
    others: dict[str, str] = {}  # and the keys of their manifests
    for name, (path, key) in earlier.recordings.items():
        before, now = Path(path), recordings.get(name)
        if now is None and path not in paths:
            others[name] = key
        elif now is not None and before.is_file() and not _are_same(before, now):
            fault = f"holds results of {before}, which has the same name as {printable(str(now))}"
            raise EarshotError(output, fault, "give another --output, or analyze both at once")
    if different := [key for key in others.values() if key != manifest.key]:
        made_by = next((one for one in earlier.manifests if one.key in different), None)
        how = manifest.difference(made_by) if made_by else "another version"
        fault = f"holds results of {len(different)} other recordings, made with {how}"
        raise EarshotError(output, fault, "give another --output")
    return set(others)


def _are_same(file: Path, other: Path) -> bool:
    return file.samefile(other) or digest_known_file(file) == digest_known_file(other)


class _AnalysisStore:
    """Writes the results and the label files of recordings, as lib.core.incremental asks for it.

    Label files of a recording are written once its results are permanent.
    """

    def __init__(
        self,
        store: ResultsStore,
        label_files: LabelFiles,
        predictor: Callable[[], "Predictor"],
        classes: ClassList,
        excluded: set[str],
        occurrences: OccurrenceFilter | None,
    ) -> None:
        self._store, self._label_files, self._predictor = store, label_files, predictor
        self._class_names = classes.called("names")
        self._is_excluded = np.isin(self._class_names, list(excluded))
        self._occurrences = occurrences
        self._known, self._done = store.recordings(), list[RecordingResult]()
        self.kept: list[Problem] = []
        """Of label files that a person changed."""

    def keys(self) -> dict[str, str]:
        return self._store.keys()

    def prepare(self) -> None:
        self._predictor()

    def keep(self, item: Item) -> list[Problem]:
        known, path = self._known[item.name], printable(str(item.path))
        if known.path != path:
            self._store.move(item.name, path)
        self._done.append(known._replace(path=path))
        return known.problems

    def write(self, source: Source, key: str, pieces: Iterator[Batch], problems: list[Problem]) -> None:
        from lib.inference.findings import find_sounds

        item = source.item
        factors, reasons = np.ones(len(self._class_names), np.float32), list[Reason]()
        if self._occurrences:
            factors, reasons, place_problems = self._occurrences.factors(self._class_names, item.name, item.path)
            problems += place_problems
        parts = find_sounds(self._predictor(), pieces, factors, self._is_excluded)
        self._done.append(self._store.write(item.name, printable(str(item.path)), key, parts, problems, reasons))

    def fail(self, item: Item, error: AudioError) -> None:
        self._store.write_failure(item.name, printable(str(item.path)), error.problem())

    def commit(self) -> None:
        if self._done:  # else the model may turn out not to be usable, and results by another one must stay
            self._store.commit()
            self.kept += self._label_files.update(self._store, self._done)
            self._done.clear()


class Analyzer:
    """Finds sounds in recordings and writes label files.

    Args:
        model: a checkpoint, or a folder of them.
        cfg: settings as analyze() uses them; None: get_config().
        occurrences: the occurrence pickle that is used where the settings name a place.
    """

    def __init__(
        self,
        model: str | Path = "data/models",
        cfg: Settings | None = None,
        occurrences: str | Path = "data/occurrences.pkl",
    ) -> None:
        self.model = model
        self.cfg = cfg or get_config()
        self.occurrences = occurrences

    def run(
        self,
        input_path: str | Path,
        output_path: str | Path,
        rtype: str = "audacity",
        start_seconds: float | str = 0,
        show: bool = False,
    ) -> Analysis:
        """Find the sounds in a recording, or in those of a folder, and write label files into the output folder.

        Args:
            input_path: a recording, a folder of them, or a list (.txt).
            output_path: the folder; results of other recordings in it stay.
            rtype: audacity; csv (labels.csv and scores.csv); both; or any label formats, with commas between.
            start_seconds: where to start in each recording, s or m:ss, whatever infer.start_seconds says.
            show: print the scores of the first recording's first window, and stop.

        Returns what became of each recording, with a Problem for each that cannot be read or is unusual; with show,
        the problems alone. Raises EarshotError if nothing can be analyzed.
        """
        changes = {"formats": _formats(rtype), "start_seconds": read_seconds("start_seconds", start_seconds)}
        settings = self.cfg.model_copy(update={"infer": self.cfg.infer.model_copy(update=changes).checked()})
        recordings, problems = recordings_of(input_path)
        if show:
            self._show(next(iter(recordings.values())), settings)
            return Analysis([], 0, problems)
        place = occurrence_filter(settings.infer, self.occurrences)
        analysis = analyze(recordings, self.model, settings, Path(output_path), place, keep_others=True)
        if not any(result.is_ok for result in analysis.results):
            reasons = "; ".join(sorted({result.reason for result in analysis.results}))
            raise EarshotError(input_path, f"no recording could be analyzed ({reasons})")
        return analysis._replace(problems=[*problems, *analysis.problems])

    def _show(self, recording: Path, settings: Settings) -> None:
        from lib.inference.predictor import Predictor

        predictor, infer = Predictor(self.model, settings.infer.device, settings), settings.infer
        audio, start = predictor.description.audio, infer.start_seconds
        takes = predictor.description.takes
        first = next(stream_windows(recording, audio, hop_of(audio, infer.overlap), 1, start, takes=takes), None)
        if first is None:
            raise EarshotError(recording, f"is over before {start:g} s", "start earlier")
        print(f"{recording}, from {start:g} s:")
        predictor.show_scores(*predictor.get_block_scores(first.windows.inputs, [0.0]))


def _formats(rtype: str) -> list[str]:
    """The label formats that a type of results means; csv includes the scores of windows, as in the reference."""
    names = [name.strip() for name in rtype.replace("both", "audacity, csv").split(",")]
    for name in names:
        if name not in WRITERS:
            raise SettingsError(f"rtype = {name!r}", f"{one_of(WRITERS)}, both")
    return [*names, *(["scores"] if "csv" in names else [])]

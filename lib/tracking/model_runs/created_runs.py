"""Model runs for predictions of models that are not ours."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lib.core.console import show_problems
from lib.core.errors import EarshotError, SettingsError
from lib.core.files import printable
from lib.core.locks import sole_writer
from lib.core.wording import shortened
from lib.formats.data_sets import DataSet
from lib.results.external_recordings import note_recordings
from lib.results.manifest import ExternalRun, Manifest, manifest_of_predictions
from lib.results.predictions import as_json
from lib.results.results_store import ResultsStore, earlier_results
from lib.sound.classes import LABEL_FIELDS, class_label
from lib.sound.labels import RESULTS_FILE


def create_run(folder: str | Path, data_set: DataSet, manifest: Manifest, recordings: Iterable[str] | None) -> None:
    """Make a results store that holds recordings of a data set, all of them by default, and no predictions.

    Recordings that cannot be read are shown. Raises SettingsError if the data set has no recording of such a name, and
    EarshotError if the folder holds results.
    """
    names = list(data_set.recordings if recordings is None else recordings)
    if unknown := sorted({str(name) for name in names if name not in data_set.recordings}):
        raise SettingsError("recordings", f"are not in the data set: {shortened(unknown)}", "correct them")
    with sole_writer(Path(folder) / RESULTS_FILE):
        if earlier_results(Path(folder)).manifests:
            raise EarshotError(folder, "holds results already", "give another folder, or remove it")
        with ResultsStore(folder, manifest) as store:
            show_problems(note_recordings(store, {name: data_set.recordings[name] for name in names}))


def external_manifest(
    classes: Iterable[str | Mapping[str, str]],
    name: str,
    model_id: str,
    metadata: Mapping[str, Any] | None,
    all_recordings: bool,
) -> Manifest:
    """The manifest of a run, see ModelRun.create and ExternalRun. Raises SettingsError if one cannot be used."""
    entries = [_class_entry(each) for each in classes]
    names = [entry["name"] for entry in entries]
    if not names or len(set(names)) < len(names) or not all(names):
        raise SettingsError("classes", "need names, each once", "correct them")
    for argument, value in {"name": name, "model_id": model_id}.items():
        if not isinstance(value, str) or printable(value) != value:
            raise SettingsError(f"{argument} = {value!r}", "must be a text without control characters")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, Mapping) or as_json(metadata) is None:
        raise SettingsError("metadata", "must be a mapping that JSON can hold, with texts as keys")
    run = ExternalRun(model_id=model_id, name=name, metadata=dict(metadata), all_recordings=all_recordings)
    return manifest_of_predictions(entries, run)


def _class_entry(given: str | Mapping[str, str]) -> dict[str, str]:
    entry = {"name": given} if isinstance(given, str) else given
    if not isinstance(entry, Mapping) or not all(isinstance(text, str) for text in entry.values()):
        raise SettingsError(f"class {given!r}", "must be a name, or a mapping of name, code, alt_name, alt_code")
    return {field: class_label(entry.get(field, "")) for field in LABEL_FIELDS.values()}

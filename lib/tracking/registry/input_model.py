"""InputModel: a registered model as the reference's callers know it, on lib.tracking.registry.registered_models.

It is read-only: what it says about the model is what the registry says at that moment.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self

from lib.config.load import get_config
from lib.config.schema import TrackingSettings
from lib.core.console import show_problems
from lib.core.errors import EarshotError, Problem
from lib.tracking.mlflow_store import existing_store, open_experiment, store_errors
from lib.tracking.registry.fetched_models import fetch_model, files_in
from lib.tracking.registry.imported_models import import_weights, model_of_url
from lib.tracking.registry.metadata_values import metadata_entry, metadata_value
from lib.tracking.registry.model_changes import archive_model, publish_model, set_metadata_entries, unarchive_model
from lib.tracking.registry.model_connections import connect_model
from lib.tracking.registry.model_design import ModelDesign, read_design
from lib.tracking.registry.model_history import history_at
from lib.tracking.registry.model_queries import current_version, find_models, model_at
from lib.tracking.registry.model_reports import ModelReports
from lib.tracking.registry.model_versions import remove_model
from lib.tracking.registry.registered_models import HistoryEntry, ModelError, RegisteredModel

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_P = ParamSpec("_P")


def _reporting(
    report: Callable[Concatenate[ModelReports, _P], None],
) -> Callable[Concatenate["InputModel", _P], None]:
    """A call of ModelReports as one of InputModel, with the same arguments and documentation."""

    @wraps(report)
    def reported(model: "InputModel", *args: _P.args, **kwargs: _P.kwargs) -> None:
        report(ModelReports(model._client, model._registered()), *args, **kwargs)

    return reported


class InputModel:
    """A model of the registry, found by id, or by any of name, project and tags: the one that was changed last.

    >>> InputModel(name="frogs", tags=["__$all", "bats", "verified"])  # doctest: +SKIP
    InputModel(frogs/3)

    Args:
        model_id: id (`m-...`), NAME/VERSION or NAME@ALIAS; the other arguments are ignored then.
        name: of the registered model.
        project: name of the MLflow experiment that it belongs to.
        tags: a filter by tags, see lib.tracking.registry.tag_filter.
        only_published: leave out drafts.
        tracking: where the registry is; default: as in params.yaml of the current folder.

    Raises ModelError, which is a ValueError, if there is no such model.
    """

    @store_errors()
    def __init__(
        self,
        model_id: str | None = None,
        name: str | None = None,
        project: str | None = None,
        tags: Sequence[str] | None = None,
        only_published: bool = False,
        tracking: TrackingSettings | None = None,
    ) -> None:
        if not (model_id or name or project or tags):
            raise ModelError("InputModel", "needs something to find a model by", "give model_id, name, project or tags")
        self._client = _existing(tracking)
        if model_id:
            self._version = model_at(self._client, model_id)
        else:
            found = find_models(self._client, project, name, tags or (), only_published, max_results=1)
            if not found:
                wanted = {"name": name, "project": project, "tags": tags, "only_published": only_published}
                text = ", ".join(f"{key} = {value!r}" for key, value in wanted.items() if value)
                raise ModelError(text, "no model of the registry matches", "see InputModel.query_models")
            self._version = found[0]
        self._design: ModelDesign | None = None

    @classmethod
    def _of(cls, client: "MlflowClient | None", version: RegisteredModel, design: ModelDesign | None = None) -> Self:
        model = cls.__new__(cls)
        model._client, model._version, model._design = client, version, design  # type: ignore[assignment]
        return model

    @classmethod
    def empty(
        cls,
        config_text: str | None = None,
        config_dict: Mapping[str, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
    ) -> Self:
        """A model that is not registered and has no weights: a configuration, as a text or a dict, and labels."""
        return cls._of(None, _unregistered(), ModelDesign.of(config_text, config_dict, label_enumeration))

    @classmethod
    @store_errors()
    def query_models(
        cls,
        project_name: str | None = None,
        model_name: str | None = None,
        tags: Sequence[str] | None = None,
        only_published: bool = False,
        include_archived: bool = False,
        max_results: int | None = None,
        metadata: Mapping[str, str] | None = None,
        tracking: TrackingSettings | None = None,
    ) -> list[Self]:
        """Models that fulfil all of these, the one that was changed last first.

        >>> InputModel.query_models(tags=["production", "-qa"], max_results=3)  # doctest: +SKIP
        [InputModel(frogs/3), InputModel(bats/12), InputModel(frogs/1)]

        Args:
            project_name: name of the MLflow experiment; default: any.
            model_name: of the registered model; default: any.
            tags: a filter by tags, see lib.tracking.registry.tag_filter.
            only_published: leave out drafts.
            include_archived: also archived models.
            max_results: how many to return, at most.
            metadata: values of metadata entries by key, or the texts by which they are stored.
            tracking: where the registry is; default: as in params.yaml of the current folder.
        """
        client = _existing(tracking)
        found = find_models(
            client, project_name, model_name, tags or (), only_published, include_archived, max_results, metadata
        )
        return [cls._of(client, model) for model in found]

    @classmethod
    @store_errors()
    def import_model(
        cls,
        weights_url: str,
        config_text: str | None = None,
        config_dict: Mapping[str, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
        name: str | None = None,
        project: str | None = None,
        tags: Sequence[str] | None = None,
        comment: str | None = None,
        is_package: bool = False,
        create_as_published: bool = False,
        framework: Any = None,
        tracking: TrackingSettings | None = None,
        *,
        sha256: str | None = None,
    ) -> Self:
        """Bring weights into the registry, which keeps a copy of them.

        If weights of that URL are there already, they are not read again: a warning is printed, and the model is
        returned as it is, whatever the other arguments.

        >>> InputModel.import_model("https://example.org/frogs.onnx", tags=["pond"])  # doctest: +SKIP
        InputModel(frogs/1)

        Args:
            weights_url: a path, or a URL (file://, http(s)://, s3://), of a file or folder.
            config_text: configuration of the model as text; give this or config_dict.
            config_dict: configuration of the model as a dict.
            label_enumeration: number of each label.
            name: of the registered model; default: that of the file, without suffix.
            project: MLflow experiment that the model will belong to; default: that of the settings.
            tags: user tags.
            comment: about the model.
            is_package: the weights are several files, perhaps in an archive; adds the system tag package.
            create_as_published: else it is a draft.
            framework: what the weights are for, for example "PyTorch"; default: as the file's suffix tells.
            tracking: where the registry is; default: as in params.yaml of the current folder.
            sha256: expected SHA-256 digest of the file, 64 hex digits; None: not checked.

        Raises EarshotError, and brings in nothing, if the weights cannot be fetched or used, or an argument is wrong.
        """
        design = ModelDesign.of(config_text, config_dict, label_enumeration)
        settings = tracking or get_config().tracking
        client, experiment_id = open_experiment(
            settings.model_copy(update={"experiment": project or settings.experiment})
        )
        allow_private = settings.allow_private_addresses
        options = (name, tags or (), comment, is_package, create_as_published, framework, sha256, allow_private)
        model, is_new = import_weights(client, experiment_id, str(weights_url), design, *options)
        if not is_new:
            state = "archived model" if model.archived else "model"
            fault = f"is in the registry as {state} {model}, which is used as it is"
            show_problems([Problem(model.url or str(model), fault, "remove that model to import it again", lost=False)])
        return cls._of(client, model)

    @classmethod
    @store_errors()
    def load_model(
        cls, weights_url: str, load_archived: bool = False, tracking: TrackingSettings | None = None
    ) -> Self | None:
        """The registered model that was imported from a path or URL, or whose `url` that is; None if there is none.

        load_archived: also if it is archived.
        """
        client = _existing(tracking)
        found = model_of_url(client, str(weights_url), load_archived)
        return cls._of(client, found) if found else None

    def __repr__(self) -> str:
        return f"InputModel({self._current() if self.id else 'empty'})"

    @property
    def id(self) -> str:
        """The model's id in MLflow, `m-...`; empty for an empty model."""
        return self._version.id

    @property
    def name(self) -> str:
        """The name of the registered model, of which this is a version."""
        return self._current().name

    @property
    @store_errors()
    def project(self) -> str:
        """The id of the MLflow experiment that the model belongs to, whose name the arguments `project` take."""
        return self._client.get_logged_model(self.id).experiment_id if self.id else ""

    @property
    def tags(self) -> list[str]:
        """User tags, sorted."""
        return self._current().tags

    @property
    def system_tags(self) -> list[str]:
        """Tags that the registry gives: package, archived."""
        return self._current().system_tags

    @property
    def comment(self) -> str:
        """A text about the model."""
        return self._current().comment

    @property
    def framework(self) -> str:
        """The framework that the weights are for, such as PyTorch; empty if unknown."""
        return self._current().framework

    @property
    def published(self) -> bool:
        """Whether the model is published; else it is a draft."""
        return self._current().is_published

    @property
    def config_text(self) -> str:
        """The configuration of the model as text; empty if it has none."""
        return self._read_design().config_text

    @property
    def config_dict(self) -> dict[str, Any]:
        """The configuration as a dict. Raises ModelError if the text is not a mapping in YAML or JSON."""
        return self._read_design().config_dict

    @property
    def labels(self) -> dict[str, int]:
        """Number of each label."""
        return self._read_design().labels

    def get_metadata(self, key: str) -> str | None:
        """The value of a metadata entry as text; None if there is none."""
        entry = self._current().metadata.get(key)
        return entry.value if entry else None

    def get_metadata_casted(self, key: str) -> Any:
        """The value of a metadata entry as its type; as text if that is not possible; None if there is none."""
        entry = self._current().metadata.get(key)
        return metadata_value(entry) if entry else None

    def get_all_metadata(self) -> dict[str, dict[str, str]]:
        """All metadata entries: key -> value and type, all texts."""
        return {key: entry._asdict() for key, entry in self._current().metadata.items()}

    def get_all_metadata_casted(self) -> dict[str, dict[str, Any]]:
        """All metadata entries: key -> value, cast to its type where possible, and type."""
        return {
            key: {"value": metadata_value(entry), "type": entry.type} for key, entry in self._current().metadata.items()
        }

    def set_metadata(self, key: str, value: Any, v_type: str | None = None) -> bool:
        """Set a metadata entry; returns whether it could be.

        v_type: name of the value's type: str, int, float, bool, list or dict; default: that of the value.
        """
        return self._set_metadata({str(key): (value, v_type)}, replace=False)

    def set_all_metadata(self, metadata: Mapping[str, Mapping[str, Any]], replace: bool = True) -> bool:
        """Set metadata entries, key -> value and type; returns whether they could be set.

        replace: remove all others.
        """
        values = {}
        for key, entry in metadata.items():
            if not isinstance(entry, Mapping):
                fault = "must be a dict with value and type"
                show_problems([Problem(f"metadata {key!r} = {entry!r}", fault, "see set_metadata", lost=False)])
                return False
            values[str(key)] = entry.get("value"), entry.get("type")
        return self._set_metadata(values, replace)

    @store_errors()
    def publish(self) -> None:
        """Make a draft published; a published model stays as it is."""
        publish_model(self._client, self._registered())

    @store_errors()
    def archive(self) -> None:
        """Hide the model from searches; an archived model stays as it is."""
        archive_model(self._client, self._registered())

    @store_errors()
    def unarchive(self) -> None:
        """Let searches find the model again; a model that is not archived stays as it is."""
        unarchive_model(self._client, self._registered())

    @property
    @store_errors()
    def url(self) -> str:
        """Where the weights were imported from; of a model that was trained here, where MLflow has its files."""
        if not self.id:
            return ""
        return self._current().url or self._client.get_logged_model(self.id).artifact_location

    def get_local_copy(
        self, extract_archive: bool | None = None, raise_on_error: bool = False, force_download: bool = False
    ) -> str | None:
        """Path of the weights on this machine: a file, or a folder of several.

        They are kept by content and verified by hash; a copy must not be changed.

        Args:
            extract_archive: unpack an archive; None: only that of a package.
            raise_on_error: raise ModelError, which is a ValueError, if they cannot be fetched; else a warning is
                printed and None returned.
            force_download: also if they are here already.
        """
        try:
            with store_errors():
                return str(fetch_model(self._client, self._registered().id, extract_archive, force_download))
        except EarshotError as error:
            if raise_on_error:
                raise ModelError(error.subject, error.fault, error.remedy) from None
            show_problems([error.problem()])
            return None

    def get_weights(
        self, raise_on_error: bool = False, force_download: bool = False, extract_archive: bool = False
    ) -> str | None:
        """get_local_copy, which leaves an archive as it is unless extract_archive is set."""
        return self.get_local_copy(extract_archive, raise_on_error, force_download)

    def get_weights_package(
        self,
        return_path: bool = False,
        raise_on_error: bool = False,
        force_download: bool = False,
        extract_archive: bool = True,
    ) -> str | list[Path] | None:
        """Paths of the files of a package on this machine.

        Args:
            return_path: return the folder that they are in.
            raise_on_error: raise ModelError, which is a ValueError, if they cannot be fetched; else a warning is
                printed and None returned.
            force_download: also if they are here already.
            extract_archive: unpack an archive.
        """
        copy = self.get_local_copy(extract_archive, raise_on_error, force_download)
        if copy is None:
            return None
        folder = Path(copy) if Path(copy).is_dir() else Path(copy).parent
        return str(folder) if return_path else files_in(folder)

    @property
    def task(self) -> str:
        """Id of the run that the model was connected to last, else of the run that made it; empty if there is none."""
        current = self._current()
        return current.connected or current.task

    @property
    def original_task(self) -> str:
        """Id of the run that made the model; empty if none did."""
        return self._current().task

    @store_errors()
    def connect(self, task: "Run | str", name: str | None = None, ignore_remote_overrides: bool = False) -> None:
        """Make the model an input of a run, where MLflow's page shows it.

        The run gets a tag `earshot.input_model.NAME` with the model's id. If it has that tag already, because someone
        chose another model in the page or an interrupted run is resumed, this object becomes that model.

        Args:
            task: an MLflow run, or its id.
            name: of the input; default: that of the file of weights without suffixes, or "Input Model".
            ignore_remote_overrides: use this model whatever the run's tag says.

        Raises ModelError if there is no such run, or its tag names no registered model.
        """
        run_id, given = task if isinstance(task, str) else task.info.run_id, self._registered()
        self._version = connect_model(self._client, given, run_id, name, ignore_remote_overrides)
        self._design = None
        if self.id != given.id:
            fault = f"is replaced by {self._version}, which run {run_id} names as this input"
            remedy = "give another name, or ignore_remote_overrides"
            show_problems([Problem(str(given), fault, remedy, lost=False)])

    report_scalar = _reporting(ModelReports.report_scalar)
    report_single_value = _reporting(ModelReports.report_single_value)
    report_matrix = _reporting(ModelReports.report_matrix)
    report_confusion_matrix = _reporting(ModelReports.report_confusion_matrix)
    report_surface = _reporting(ModelReports.report_surface)
    report_histogram = _reporting(ModelReports.report_histogram)
    report_vector = _reporting(ModelReports.report_vector)
    report_line_plot = _reporting(ModelReports.report_line_plot)
    report_scatter2d = _reporting(ModelReports.report_scatter2d)
    report_scatter3d = _reporting(ModelReports.report_scatter3d)
    report_table = _reporting(ModelReports.report_table)

    @property
    @store_errors()
    def history(self) -> list[HistoryEntry]:
        """Who did what with the model and when, oldest first, also after it was removed."""
        return history_at(self._client, str(self._version)) if self.id else []

    @classmethod
    def remove(
        cls,
        model: "str | InputModel",
        delete_weights_file: bool = True,
        force: bool = False,
        raise_on_errors: bool = False,
        tracking: TrackingSettings | None = None,
    ) -> bool:
        """Remove a model from the registry; its history stays.

        Args:
            model: a model, or its id, NAME/VERSION or NAME@ALIAS.
            delete_weights_file: remove its files, too; else they stay with the experiment.
            force: also if an unfinished run uses it.
            raise_on_errors: raise ModelError, which is a ValueError, if it cannot be removed; else a warning is
                printed.
            tracking: where the registry is; default: as in params.yaml of the current folder.

        Returns whether all was removed. If only the files were not, since that failed or another version has the same
        files, the model is out of the registry.
        """
        client = model._client if isinstance(model, InputModel) else None
        try:
            with store_errors():
                client = client or _existing(tracking)
                version = model._registered() if isinstance(model, InputModel) else model_at(client, model)
                others = remove_model(client, version, delete_weights_file, force)
        except EarshotError as error:
            if raise_on_errors:
                raise ModelError(error.subject, error.fault, error.remedy) from None
            show_problems([error.problem()])
            return False
        if delete_weights_file and others:
            fault = f"is removed, but its files are kept because {others[0]} uses them"
            show_problems([Problem(str(version), fault, "remove that model, too", lost=False)])
            return False
        return True

    def _registered(self) -> RegisteredModel:
        """The version of the registry that this is, as it was when it was found. Raises ModelError if it is none."""
        if not self.id:
            raise ModelError("InputModel.empty()", "is not registered", "import weights with InputModel.import_model")
        return self._version

    @store_errors()
    def _current(self) -> RegisteredModel:
        """What the registry says about the model now."""
        return current_version(self._client, self._version) if self.id else _unregistered()

    @store_errors()
    def _read_design(self) -> ModelDesign:
        """Configuration and labels, which never change."""
        if self._design is None:
            self._design = read_design(self._client, self._registered().id)
        return self._design

    @store_errors()
    def _set_metadata(self, values: Mapping[str, tuple[Any, str | None]], replace: bool) -> bool:
        try:
            entries = {key: metadata_entry(value, v_type) for key, (value, v_type) in values.items()}
            set_metadata_entries(self._client, self._registered(), entries, replace)
        except ModelError as error:
            show_problems([error.problem()])
            return False
        return True


def _unregistered() -> RegisteredModel:
    """What an empty model says about itself."""
    texts = dict.fromkeys(("id", "name", "archived", "comment", "url", "framework", "task", "connected"), "")
    return RegisteredModel(
        **texts,
        version=0,
        tags=[],
        system_tags=[],
        is_published=False,
        metadata={},
        history=[],
        description="",
        updated=0.0,
    )


def _existing(tracking: TrackingSettings | None) -> "MlflowClient":
    """A client of the store of these settings, by default those of params.yaml. Raises EarshotError without one."""
    return existing_store(tracking or get_config().tracking)

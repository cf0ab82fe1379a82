"""Find, describe, publish, fetch and retire models: MLflow's registry from the shell."""

from typing import TYPE_CHECKING, Any

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import SettingsError

if TYPE_CHECKING:
    from lib.tracking.registered_models import MetadataEntry

ACTIONS = (
    "list",
    "show",
    "history",
    "import",
    "fetch",
    "tag",
    "comment",
    "metadata",
    "alias",
    "publish",
    "archive",
    "unarchive",
    "connect",
    "remove",
)
READING = ("list", "show", "history", "fetch")
"""Actions that change nothing in the registry."""


@stage("tracking")
def registry(
    settings: Settings,
    action: str,
    model: str = "",
    value: str = "",
    name: str | None = None,
    project: str | None = None,
    tags: str = "",
    untag: str = "",
    published: bool = False,
    archived: bool = False,
    max: int = 0,
    metadata: str = "",
    url: str = "",
    config: str = "",
    labels: str = "",
    replace: bool = False,
    comment: str | None = None,
    framework: str | None = None,
    package: bool = False,
    sha256: str | None = None,
    output: str | None = None,
    unpack: bool = False,
    keep_files: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Work with the registered models of the MLflow store.

    A model is named by NAME/VERSION, NAME@ALIAS, its id (m-...), or NAME: the version that was changed last. What
    changes the meaning of a name in the settings brings the copy in data/registry up to date, and says so.

    Examples:
        python -m stages.registry list --tags pond,-draft --published
        python -m stages.registry list --tags '__$all,best,__$not,internal' --json
        python -m stages.registry show frogs@champion
        python -m stages.registry publish frogs/3
        python -m stages.registry tag frogs/3 best,pond --untag draft
        python -m stages.registry alias frogs/3 champion
        python -m stages.registry comment frogs/3 'calls at ponds, from dusk to midnight'
        python -m stages.registry metadata frogs/3 site=pond,hop=5
        python -m stages.registry connect frogs@champion 5f0e7c1d2a3b4c5d6e7f8091a2b3c4d5 --name start
        python -m stages.registry fetch frogs@champion --output data/frogs
        python -m stages.registry import https://example.org/frogs.onnx --name frogs --tags pond
        python -m stages.registry import frogs.onnx --config frogs.yaml --labels noise=0,frog=1
        python -m stages.registry archive frogs/2
        python -m stages.registry history frogs/2
        python -m stages.registry remove frogs/1

    Args:
        action: list, show, history, import, fetch, tag, comment, metadata, alias, publish, archive, unarchive, connect
            (make the model an input of a run) or remove.
        model: the model; with import, the path or URL of a file or folder of weights.
        value: with tag, the tags to add, separated by commas; with alias, the alias; with comment, the text; with
            metadata, key=value of entries to set, separated by commas, default: show them; with connect, the run's id.
        name: with list, of the models; with import, of the new model, default: that of the file; with connect, of the
            input, default: that of the file of weights.
        project: MLflow experiment: with list, that models belong to, default: any; with import, default: experiment.
        tags: with list, a filter: tags of which one is enough, -tag for one that must not be there, and the operators
            __$all, __$any and __$not; with import, tags to give. Separated by commas.
        untag: with tag, the tags to remove.
        published: with list, leave out drafts; with import, publish at once.
        archived: with list, also archived models.
        max: with list, how many to show at most; 0: all.
        metadata: with list, key=value of entries that models must have, separated by commas.
        url: with list, the path or URL that models were imported from.
        config: with import, file of the model's configuration, in any notation.
        labels: with import, the number of each label, as noise=0,frog=1 or a file of them (.yaml, .json).
        replace: with metadata, remove all other entries.
        comment: with import, what to say about the model.
        framework: with import, what the weights are for; default: as the file's suffix tells.
        package: with import, the weights are several files, perhaps in an archive.
        sha256: with import, digest that the file must have, 64 hex digits.
        output: with fetch, new folder to copy the weights to; default: the path of the kept copy is shown.
        unpack: with fetch, unpack an archive, also if the model is no package.
        keep_files: with remove, leave the files with the experiment.
        force: with remove, also if an unfinished run uses the model; with fetch, also if the files are here already;
            with connect, also if the run names another model as this input.
        json: print JSON.
    """
    _check(action, model, value or untag)
    from lib.core.console import table_text
    from lib.tracking import fetched_models, model_changes, model_tables
    from lib.tracking.imported_models import url_of
    from lib.tracking.input_model import InputModel
    from lib.tracking.mlflow_store import open_registry
    from lib.tracking.model_connections import connect_model
    from lib.tracking.model_history import history_at
    from lib.tracking.model_queries import current_version, find_model, find_models, model_at
    from lib.tracking.model_versions import remove_model
    from lib.tracking.registered_inputs import refresh_copies

    tracking = settings.tracking
    client, _ = open_registry(tracking)
    if action == "list":
        wanted, place = _pairs("--metadata", metadata), url_of(url) if url else None
        found = find_models(client, project, name, _parts(tags), published, archived, max or None, wanted, place)
        listed = model_tables.listed_models(client, found)
        _tell(listed, table_text(model_tables.models_table(listed)) if listed else "no model is like that", json)
    elif action == "import":
        imported = InputModel.import_model(
            model,
            config_text=_text_of(config) if config else None,
            label_enumeration=_labels(labels),
            name=name,
            project=project,
            tags=_parts(tags),
            comment=comment,
            is_package=package,
            create_as_published=published,
            framework=framework,
            tracking=tracking,
            sha256=sha256,
        )
        _tell(imported.id, f"{find_model(client, imported.id)} {imported.id}", json)
    elif action == "history":
        history = history_at(client, model)
        _tell([entry._asdict() for entry in history], table_text(model_tables.history_table(history)), json)
    elif action == "fetch":
        wanted_id, extract = model_at(client, model).id, unpack or None
        if output:
            path = fetched_models.copy_model(client, wanted_id, output, extract)
        else:
            path = fetched_models.fetch_model(client, wanted_id, extract, force)
        _tell(str(path), f"{model} -> {path}", json)
    elif action == "remove":
        version = model_at(client, model)
        others = remove_model(client, version, not keep_files, force)
        kept = f"; its files stay, since {others[0]} has the same" if others and not keep_files else ""
        _tell(version.id, f"{model} ({version.id}) is removed{kept}", json)
    elif action == "connect":
        connected = connect_model(client, model_at(client, model), value, name, force)
        _tell(connected.id, f"{connected} ({connected.id}) is an input of run {value}", json)
    elif action == "metadata":
        version = model_at(client, model)
        if value or replace:
            model_changes.set_metadata_entries(client, version, _entries(value), replace)
        entries = current_version(client, version).metadata
        shown = table_text(model_tables.metadata_table(entries)) if entries else f"{version} has no metadata"
        _tell({key: entry._asdict() for key, entry in entries.items()}, shown, json)
    elif action == "show":
        version = model_at(client, model)
        facts, card = model_tables.all_facts(client, version), model_tables.card_of(client, version.id)
        content = facts | ({"card": card.model_dump(mode="json")} if card else {})
        _tell(content, model_tables.facts_text(facts, card), json)
    else:
        version = model_at(client, model)
        changes = {
            "publish": lambda: model_changes.publish_model(client, version),
            "archive": lambda: model_changes.archive_model(client, version),
            "unarchive": lambda: model_changes.unarchive_model(client, version),
            "tag": lambda: model_changes.retag_model(client, version, _parts(value), _parts(untag)),
            "alias": lambda: model_changes.set_alias(client, version, value),
            "comment": lambda: model_changes.set_comment(client, version, value),
        }
        changes[action]()
        facts = model_tables.all_facts(client, current_version(client, version))
        _tell(facts, table_text(model_tables.models_table([facts])), json)
    if action not in READING:
        show_problems(refresh_copies(tracking))


def _check(action: str, model: str, value: str) -> None:
    """Raise SettingsError if the action is unknown, or something that it needs is missing."""
    if action not in ACTIONS:
        raise SettingsError(f"action {action!r}", f"must be one of {', '.join(ACTIONS)}", "see --help")
    if action != "list" and not model:
        raise SettingsError("MODEL", "is missing", f"give it behind {action}")
    if action in ("tag", "alias", "comment", "connect") and not value:
        raise SettingsError("VALUE", "is missing", f"give it behind {action} {model}")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(what: str, text: str) -> dict[str, str]:
    """Keys and values of a text like site=pond,hop=5. Raises SettingsError."""
    pairs = [part.partition("=") for part in _parts(text)]
    if not all(separator for _, separator, _ in pairs):
        raise SettingsError(f"{what} = {text!r}", "must be key=value, separated by commas")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _entries(text: str) -> "dict[str, MetadataEntry]":
    """Entries of metadata of a text like site=pond,hop=5, with their types: text, number, or true and false."""
    from lib.tracking.registered_models import MetadataEntry

    pairs = _pairs("VALUE", text)
    return {key: MetadataEntry(value, type(_number_or_text(value)).__name__) for key, value in pairs.items()}


def _labels(text: str) -> dict[str, Any] | None:
    """Number of each label of a text like noise=0,frog=1, or of a file that holds them as YAML or JSON."""
    if not text.endswith((".yaml", ".yml", ".json")):
        return {key: _number_or_text(value) for key, value in _pairs("--labels", text).items()} or None
    import yaml

    try:
        content = yaml.safe_load(_text_of(text))
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        raise SettingsError(text, "holds no labels with numbers", "write lines like `frog: 1`")
    return content


def _number_or_text(text: str) -> bool | int | float | str:
    """The number or truth value that a text is in JSON, else the text."""
    import json

    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _text_of(path: str) -> str:
    """The text of a file. Raises SettingsError."""
    from lib.core.files import read_text

    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(path, f"cannot be read ({error})", "check the path") from None


def _tell(content: Any, text: str, as_json: bool) -> None:
    import json

    print(json.dumps(content, indent=2, ensure_ascii=False) if as_json else text)


if __name__ == "__main__":
    run_stage(registry)

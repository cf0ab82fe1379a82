"""Find, describe, publish, fetch and retire models: MLflow's registry from the shell."""

from typing import Any

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import SettingsError

ACTIONS = ("list", "show", "history", "publish", "archive", "unarchive", "tag", "alias", "fetch", "import", "remove")
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
        python -m stages.registry fetch frogs@champion --output data/frogs
        python -m stages.registry import https://example.org/frogs.onnx --name frogs --tags pond
        python -m stages.registry archive frogs/2
        python -m stages.registry history frogs/2
        python -m stages.registry remove frogs/1

    Args:
        action: list, show, history, publish, archive, unarchive, tag, alias, fetch, import or remove.
        model: the model; with import, the path or URL of a file or folder of weights.
        value: with tag, the tags to add, separated by commas; with alias, the alias.
        name: with list, of the models; with import, of the new model; default: that of the file.
        project: MLflow experiment: with list, that models belong to, default: any; with import, default: experiment.
        tags: with list, a filter: tags of which one is enough, -tag for one that must not be there, and the operators
            __$all, __$any and __$not; with import, tags to give. Separated by commas.
        untag: with tag, the tags to remove.
        published: with list, leave out drafts; with import, publish at once.
        archived: with list, also archived models.
        max: with list, how many to show at most; 0: all.
        metadata: with list, key=value of entries that models must have, separated by commas.
        comment: with import, what to say about the model.
        framework: with import, what the weights are for; default: as the file's suffix tells.
        package: with import, the weights are several files, perhaps in an archive.
        sha256: with import, digest that the file must have, 64 hex digits.
        output: with fetch, new folder to copy the weights to; default: the path of the kept copy is shown.
        unpack: with fetch, unpack an archive, also if the model is no package.
        keep_files: with remove, leave the files with the experiment.
        force: with remove, also if an unfinished run uses the model.
        json: print JSON.
    """
    _check(action, model, value or untag)
    from lib.core.console import table_text
    from lib.tracking import fetched_models, model_tables
    from lib.tracking import registered_models as models
    from lib.tracking.input_model import InputModel
    from lib.tracking.mlflow_store import open_registry
    from lib.tracking.registered_inputs import refresh_copies

    tracking = settings.tracking
    client, _ = open_registry(tracking)
    if action == "list":
        wanted = _pairs(metadata)
        found = models.find_models(client, project, name, _parts(tags), published, archived, max or None, wanted)
        listed = model_tables.listed_models(client, found)
        _tell(listed, table_text(model_tables.models_table(listed)) if listed else "no model is like that", json)
    elif action == "import":
        imported = InputModel.import_model(
            model,
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
        _tell(imported.id, f"{models.find_model(client, imported.id)} {imported.id}", json)
    elif action == "history":
        history = models.history_at(client, model)
        _tell([entry._asdict() for entry in history], table_text(model_tables.history_table(history)), json)
    elif action == "fetch":
        wanted_id, extract = models.model_at(client, model).id, unpack or None
        if output:
            path = fetched_models.copy_model(client, wanted_id, output, extract)
        else:
            path = fetched_models.fetch_model(client, wanted_id, extract)
        _tell(str(path), f"{model} -> {path}", json)
    elif action == "remove":
        version = models.model_at(client, model)
        others = models.remove_model(client, version, not keep_files, force)
        kept = f"; its files stay, since {others[0]} has the same" if others and not keep_files else ""
        _tell(version.id, f"{model} ({version.id}) is removed{kept}", json)
    else:
        model_id = models.model_at(client, model).id
        changes = {
            "publish": lambda: models.publish_model(client, model_id),
            "archive": lambda: models.archive_model(client, model_id),
            "unarchive": lambda: models.unarchive_model(client, model_id),
            "tag": lambda: models.retag_model(client, model_id, _parts(value), _parts(untag)),
            "alias": lambda: models.set_alias(client, model_id, value),
        }
        if action in changes:
            changes[action]()
        facts = model_tables.all_facts(client, models.find_model(client, model_id))
        if action in changes:
            _tell(facts, table_text(model_tables.models_table([facts])), json)
        else:
            card = model_tables.card_of(client, model_id)
            content = facts | ({"card": card.model_dump(mode="json")} if card else {})
            _tell(content, model_tables.facts_text(facts, card), json)
    if action not in READING:
        show_problems(refresh_copies(tracking))


def _check(action: str, model: str, value: str) -> None:
    """Raise SettingsError if the action is unknown, or something that it needs is missing."""
    if action not in ACTIONS:
        raise SettingsError(f"action {action!r}", f"must be one of {', '.join(ACTIONS)}", "see --help")
    if action != "list" and not model:
        raise SettingsError("MODEL", "is missing", f"give it behind {action}")
    if action in ("tag", "alias") and not value:
        raise SettingsError("VALUE", "is missing", f"give it behind {action} {model}")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(text: str) -> dict[str, str]:
    """Keys and values of a text like site=pond,hop=5. Raises SettingsError."""
    pairs = [part.partition("=") for part in _parts(text)]
    if not all(separator for _, separator, _ in pairs):
        raise SettingsError(f"--metadata = {text!r}", "must be key=value, separated by commas")
    return {key: value for key, _, value in pairs}


def _tell(content: Any, text: str, as_json: bool) -> None:
    import json

    print(json.dumps(content, indent=2, ensure_ascii=False) if as_json else text)


if __name__ == "__main__":
    run_stage(registry)

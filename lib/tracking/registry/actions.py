"""What `python -m stages.registry` does: one function for each action, and the flags that it takes.

A function takes a client of the store and the call, and returns what to print: a JSON value, and a text for people.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from lib.config.schema import TrackingSettings
from lib.core.console import table_text
from lib.core.errors import SettingsError
from lib.core.files import read_text
from lib.tracking.mlflow_store import existing_store, store_errors
from lib.tracking.registry import model_changes, model_tables
from lib.tracking.registry.fetched_models import copy_model, fetch_model
from lib.tracking.registry.imported_models import url_of
from lib.tracking.registry.input_model import InputModel
from lib.tracking.registry.metadata_values import metadata_entry
from lib.tracking.registry.model_connections import connect_model
from lib.tracking.registry.model_history import history_at
from lib.tracking.registry.model_queries import current_version, find_model, find_models, model_at
from lib.tracking.registry.model_versions import remove_model
from lib.tracking.registry.registered_models import MetadataEntry

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Call:
    """What was asked for: the model and the value after the action, and all flags by name, given or not."""

    tracking: TrackingSettings
    model: str
    value: str | None
    flags: Mapping[str, Any]


class Printed(NamedTuple):
    """What an action prints, for programs and for people."""

    content: Any
    text: str


class Action(NamedTuple):
    """An action: its function, the flags that mean something to it, and whether it changes the registry.

    value: whether a value after the model is "needed", "optional" or means nothing ("").
    """

    run: Callable[[Call], Printed]
    flags: tuple[str, ...] = ()
    value: str = ""
    changes: bool = True


def run_action(name: str, call: Call) -> Printed:
    """Run an action.

    Raises SettingsError if there is no such action, something that it needs is missing or something has no meaning in
    it; EarshotError if it fails.
    """
    if name not in ACTIONS:
        raise SettingsError(f"action {name!r}", f"must be one of {', '.join(ACTIONS)}", "see --help")
    action = ACTIONS[name]
    given = {flag for flag, value in call.flags.items() if value not in (None, "", False, 0)}
    if superfluous := sorted(given - {*action.flags, "json"}):
        takes = f"it takes {', '.join(f'--{flag}' for flag in action.flags)}" if action.flags else "it takes --json"
        raise SettingsError(f"--{superfluous[0]}", f"means nothing with {name}", takes)
    if name != "list" and not call.model:
        raise SettingsError("MODEL", "is missing", f"give it after {name}")
    if name == "list" and call.model:
        raise SettingsError(f"MODEL = {call.model!r}", "means nothing with list", f"give --name {call.model!r}")
    if action.value == "needed" and call.value is None:
        raise SettingsError("VALUE", "is missing", f"give it after {name} {call.model}")
    if call.value and not action.value:
        raise SettingsError(f"VALUE = {call.value!r}", f"means nothing with {name}", "see --help")
    with store_errors():
        return action.run(call)


def _client(call: Call) -> "MlflowClient":
    return existing_store(call.tracking)


def _list(call: Call) -> Printed:
    client, flags = _client(call), call.flags
    wanted, place = _pairs("--metadata", flags["metadata"]), url_of(flags["url"]) if flags["url"] else None
    found = find_models(
        client,
        flags["project"],
        flags["name"],
        _parts(flags["tags"]),
        flags["published"],
        flags["archived"],
        flags["max"] or None,
        wanted,
        place,
    )
    listed = model_tables.listed_models(client, found)
    return Printed(listed, table_text(model_tables.models_table(listed)) if listed else "no model matches")


def _show(call: Call) -> Printed:
    client = _client(call)
    version = model_at(client, call.model)
    facts, card = model_tables.all_facts(client, version), model_tables.card_of(client, version.id)
    content = facts | ({"card": card.model_dump(mode="json")} if card else {})
    return Printed(content, model_tables.facts_text(facts, card))


def _history(call: Call) -> Printed:
    history = history_at(_client(call), call.model)
    return Printed([entry._asdict() for entry in history], table_text(model_tables.history_table(history)))


def _import(call: Call) -> Printed:
    flags = call.flags
    imported = InputModel.import_model(
        call.model,
        config_text=_text_of(flags["config"]) if flags["config"] else None,
        label_enumeration=_labels(flags["labels"]),
        name=flags["name"],
        project=flags["project"],
        tags=_parts(flags["tags"]),
        comment=flags["comment"],
        is_package=flags["package"],
        create_as_published=flags["published"],
        framework=flags["framework"],
        tracking=call.tracking,
        sha256=flags["sha256"],
    )
    return Printed(imported.id, f"{find_model(_client(call), imported.id)} {imported.id}")


def _fetch(call: Call) -> Printed:
    client, flags = _client(call), call.flags
    model_id, extract = model_at(client, call.model).id, flags["unpack"] or None
    if flags["output"]:
        path = copy_model(client, model_id, flags["output"], extract, flags["force"])
    else:
        path = fetch_model(client, model_id, extract, flags["force"])
    return Printed(str(path), f"{call.model} -> {path}")


def _remove(call: Call) -> Printed:
    client, keep_files = _client(call), call.flags["keep_files"]
    version = model_at(client, call.model)
    others = remove_model(client, version, not keep_files, call.flags["force"])
    kept = f"; its files are kept because {others[0]} uses them" if others and not keep_files else ""
    return Printed(version.id, f"{call.model} ({version.id}) is removed{kept}")


def _connect(call: Call) -> Printed:
    client = _client(call)
    version = model_at(client, call.model)
    connected = connect_model(client, version, call.value or "", call.flags["name"], call.flags["force"])
    return Printed(connected.id, f"{connected} ({connected.id}) is an input of run {call.value}")


def _metadata(call: Call) -> Printed:
    given, removed = _entries(call.value or ""), _parts(call.flags["unset"])
    client = _client(call)
    version = model_at(client, call.model)
    if given or removed or call.flags["replace"]:
        model_changes.set_metadata_entries(client, version, given, call.flags["replace"], removed)
    entries = current_version(client, version).metadata
    text = table_text(model_tables.metadata_table(entries)) if entries else f"{version} has no metadata"
    return Printed({key: entry._asdict() for key, entry in entries.items()}, text)


def _tag(call: Call) -> Printed:
    added, removed = _parts(call.value or ""), _parts(call.flags["untag"])
    if not added and not removed:
        raise SettingsError("VALUE", "is missing", f"give tags after tag {call.model}, or --untag")
    return _change(call, model_changes.retag_model, added, removed)


def _changing(change: Callable[..., None]) -> Callable[[Call], Printed]:
    """An action that is a function of model_changes, which takes the value if there is one."""
    return lambda call: _change(call, change, *([] if call.value is None else [call.value]))


def _change(call: Call, change: Callable[..., None], *values: Any) -> Printed:
    """Change a model, and show its line of the list."""
    client = _client(call)
    version = model_at(client, call.model)
    change(client, version, *values)
    facts = model_tables.all_facts(client, current_version(client, version))
    return Printed(facts, table_text(model_tables.models_table([facts])))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(what: str, text: str) -> dict[str, str]:
    """Keys and values of a text like site=pond,hop=5. Raises SettingsError."""
    pairs = [part.partition("=") for part in _parts(text)]
    if not all(separator for _, separator, _ in pairs):
        raise SettingsError(f"{what} = {text!r}", "must be key=value, separated by commas")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _entries(text: str) -> dict[str, MetadataEntry]:
    """Metadata of a text like site=pond,hop=5 or, for values with commas or lists, of JSON. Raises SettingsError."""
    if not text.startswith("{"):
        pairs = _pairs("VALUE", text)
        return {key: metadata_entry(value, type(_number_or_text(value)).__name__) for key, value in pairs.items()}
    try:
        return {key: metadata_entry(value) for key, value in json.loads(text).items()}
    except ValueError as error:
        raise SettingsError(f"VALUE = {text!r}", f"is not JSON ({error})") from None


def _labels(text: str) -> dict[str, Any] | None:
    """Number of each label of a text like noise=0,frog=1, or of a file that holds them as YAML or JSON."""
    if not text.endswith((".yaml", ".yml", ".json")):
        return {key: _number_or_text(value) for key, value in _pairs("--labels", text).items()} or None
    try:
        content = yaml.safe_load(_text_of(text))
    except (yaml.YAMLError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise SettingsError(text, "holds no labels with numbers", "write lines like `frog: 1`")
    return content


def _number_or_text(text: str) -> bool | int | float | str:
    """The number or truth value that a text is in JSON, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _text_of(path: str) -> str:
    """The text of a file. Raises SettingsError."""
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(path, f"cannot be read ({error})", "check the path") from None


ACTIONS = {
    "list": Action(
        _list, ("name", "project", "tags", "published", "archived", "max", "metadata", "url"), changes=False
    ),
    "show": Action(_show, changes=False),
    "history": Action(_history, changes=False),
    "import": Action(
        _import,
        (
            *("name", "project", "tags", "comment", "published", "config", "labels"),
            *("framework", "package", "sha256"),
        ),
    ),
    "fetch": Action(_fetch, ("output", "unpack", "force"), changes=False),
    "tag": Action(_tag, ("untag",), value="optional"),
    "comment": Action(_changing(model_changes.set_comment), value="needed"),
    "metadata": Action(_metadata, ("replace", "unset"), value="optional"),
    "alias": Action(_changing(model_changes.set_alias), value="needed"),
    "unalias": Action(_changing(model_changes.remove_alias), value="needed"),
    "publish": Action(_changing(model_changes.publish_model)),
    "archive": Action(_changing(model_changes.archive_model)),
    "unarchive": Action(_changing(model_changes.unarchive_model)),
    "connect": Action(_connect, ("name", "force"), value="needed"),
    "remove": Action(_remove, ("keep_files", "force")),
}
"""All actions by name, in the order of their use."""

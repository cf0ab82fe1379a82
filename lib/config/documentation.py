"""What the settings are, said from their schema: params.yaml with its comments, and the help of a stage.

`python -m lib.config.documentation` rewrites params.yaml with the values that it has.
"""

import inspect
import re
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic.fields import FieldInfo

from lib.config.load import PARAMS_FILE, get_config, setting
from lib.config.schema import AugmentationSettings, Section, Settings
from lib.config.setting_values import Registered
from lib.core.files import write_text

HEAD = """\
# All settings of the project. A stage reruns when a section that it uses changes; see README.md for the stages.
# Any of them can be set for one run: `dvc exp run -S train.epochs=5`, or `python -m stages.infer --min_score 0.3`.
"""
NAMES = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def params_text(settings: Settings) -> str:
    """The text of a params.yaml with these settings, each with a comment that says what it means."""
    lines = [HEAD]
    for name, section in settings:
        lines += [*_params_lines(name, section, type(settings).model_fields[name], 0), ""]
    return "\n".join(lines)


def _params_lines(name: str, value: Any, field: FieldInfo, depth: int) -> Iterator[str]:
    description = _description(field)
    comment = f" # {description}" if description else ""
    if isinstance(value, Section):
        yield f"{'  ' * depth}{name}:{comment}"
        for key, inner in value:
            yield from _params_lines(key, inner, type(value).model_fields[key], depth + 1)
    elif _are_parts(value):
        # A comment behind the name is written into the next section once `dvc exp run -S` sets the list to [].
        indent = "  " * depth
        yield from textwrap.wrap(description, 118, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        yield f"{indent}{name}:"
        parts = [{key: "" if inner is None else inner for key, inner in part} for part in value]
        entries = yaml.safe_dump(parts, sort_keys=False, default_flow_style=False)
        yield textwrap.indent(entries.removesuffix("\n"), indent)
    else:
        yield f"{'  ' * depth}{name}: {_yaml(value)}{comment}"


def _are_parts(value: Any) -> bool:
    """Whether a value is a list of named parts, each with settings of its own."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], AugmentationSettings)


def _yaml(value: Any) -> str:
    """A value as `dvc exp run -S` writes it, so that it stays as it is when DVC sets another."""
    if _are_parts(value):
        value = ", ".join(part.name for part in value)
    elif isinstance(value, list) and value and not isinstance(value[0], Section):
        value = ", ".join(map(str, value))
    elif isinstance(value, list):
        value = [item.model_dump() for item in value]
    elif value is None:
        value = ""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")


def _description(field: FieldInfo) -> str:
    """What a setting means; if it names a part of a registry, with all names."""
    markers = _markers(field.annotation, field.metadata)
    names = [name for marker in markers if isinstance(marker, Registered) for name in marker.names]
    return (field.description or "") + (f": {', '.join(names)}" if names else "")


def _markers(annotation: Any, metadata: Iterable[Any]) -> Iterator[Any]:
    yield from metadata
    if get_origin(annotation) is Annotated:
        inner, *own = get_args(annotation)
        yield from _markers(inner, own)
    else:
        for each in get_args(annotation):
            if get_origin(annotation) is not Literal:
                yield from _markers(each, ())


def settings_help(section: str, settings: Settings, in_full: bool = False) -> Iterator[tuple[str, str]]:
    """The settings of a section, such as `infer` or `data.test`: each as a flag with type and default, and its meaning.

    Args:
        section: its name.
        settings: whose values are the defaults.
        in_full: as `--section.key` instead of `--key`.
    """
    return _help_of(setting(settings, section), f"{section}." if in_full else "")


def _help_of(section: Section, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in section:
        field, meaning = type(section).model_fields[name], _description(type(section).model_fields[name])
        if isinstance(value, Section):
            yield from _help_of(value, f"{prefix}{name}.")
            continue
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        is_told = choices and all(re.search(rf"\b{re.escape(str(choice))}\b", meaning) for choice in choices)
        text = "one of these" if is_told else type_text(field.annotation, field.metadata)
        yield f"--{prefix}{name} ({text}; default: {_yaml(value)})", meaning
        for marker in field.metadata if get_origin(field.annotation) is list else ():
            if isinstance(marker, Registered):
                yield from _help_of_parts(f"{prefix}{name}", marker.parts, value)


def _help_of_parts(prefix: str, parts: Mapping[str, type[Section]], listed: list[Any]) -> Iterator[tuple[str, str]]:
    """The settings of the parts that a list may hold, with their values where it does, else their defaults."""
    values = {part.name: part for part in listed}
    for name, kind in parts.items():
        about = " ".join((inspect.getdoc(kind) or "").split())
        yield f"--{prefix}.{name}{'' if name in values else ' (not in the list)'}", about
        for key, field in kind.model_fields.items():
            if key != "name":
                value = getattr(values[name], key) if name in values else field.default
                text = type_text(field.annotation, field.metadata)
                yield f"--{prefix}.{name}.{key} ({text}; default: {_yaml(value)})", _description(field)


def type_text(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type of a setting in words, with the limits of its values.

    >>> type_text(Annotated[int, annotated_types.Ge(1)] | None)
    'whole number from 1, or empty'
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *own = get_args(annotation)
        return type_text(inner, [*own, *metadata])
    if origin in (Union, types.UnionType):
        return ", or ".join("empty" if each is type(None) else type_text(each) for each in get_args(annotation))
    if origin is Literal:
        return ", ".join(map(str, get_args(annotation)))
    if origin is list:
        return "list of " + re.sub(r"(number|text|mapping)", r"\1s", type_text(get_args(annotation)[0]))
    return NAMES.get(annotation, "mapping" if annotation is not Any else "any value") + _limits(metadata)


def _limits(metadata: Iterable[Any]) -> str:
    limits: dict[type, Any] = {}
    for marker in metadata:
        for constraint in marker.metadata if isinstance(marker, FieldInfo) else [marker]:
            limits[type(constraint)] = constraint
    low = [f" from {limits[annotated_types.Ge].ge:.10g}"] if annotated_types.Ge in limits else []
    low += [f" above {limits[annotated_types.Gt].gt:.10g}"] if annotated_types.Gt in limits else []
    high = [f" to {limits[annotated_types.Le].le:.10g}"] if annotated_types.Le in limits else []
    high += [f" below {limits[annotated_types.Lt].lt:.10g}"] if annotated_types.Lt in limits else []
    return "".join([*low, *high])


if __name__ == "__main__":
    write_text(PARAMS_FILE, params_text(get_config()))

"""What the settings are, said from their schema: params.yaml with its comments, and the help of a stage.

`python -m lib.config.documentation` writes params.yaml anew, with the values that it has.
"""

import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic.fields import FieldInfo

from lib.config.load import PARAMS_FILE, get_config
from lib.config.schema import Registered, Section, Settings
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
    else:
        yield f"{'  ' * depth}{name}: {_yaml(value)}{comment}"


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        value = [item.model_dump() if isinstance(item, Section) else item for item in value]
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


def settings_help(section: str, in_full: bool = False) -> str:
    """The settings of a section, such as `infer` or `data.test`, as flags with type, default and meaning.

    in_full: as `--section.key` instead of `--key`.
    """
    model: Any = Settings
    for name in section.split("."):
        model = model.model_fields[name].annotation
    return "\n".join(_help_lines(model, f"{section}." if in_full else ""))


def _help_lines(model: type[Section], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _help_lines(field.annotation, f"{prefix}{name}.")
            continue
        text = type_text(field.annotation, field.metadata)
        default = "required" if field.is_required() else f"default: {_yaml(field.get_default())}"
        yield f"    --{prefix}{name} ({text}; {default})"
        yield f"        {_description(field)}"


def type_text(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type of a setting in words, with the limits of its values.

    >>> type_text(Annotated[int, annotated_types.Ge(1)] | None)
    'whole number from 1, or null'
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *own = get_args(annotation)
        return type_text(inner, [*own, *metadata])
    if origin in (Union, types.UnionType):
        return ", or ".join("null" if each is type(None) else type_text(each) for each in get_args(annotation))
    if origin is Literal:
        return ", ".join(map(str, get_args(annotation)))
    if origin is list:
        return "list of " + re.sub(r"(number|text|mapping)", r"\1s", type_text(get_args(annotation)[0]))
    return NAMES.get(annotation, "mapping" if annotation is not Any else "any value") + _limits(metadata)


def _limits(metadata: Iterable[Any]) -> str:
    found: dict[type, Any] = {}
    for marker in metadata:
        for constraint in marker.metadata if isinstance(marker, FieldInfo) else [marker]:
            found[type(constraint)] = constraint
    low = [f" from {found[annotated_types.Ge].ge:.9g}"] if annotated_types.Ge in found else []
    low += [f" above {found[annotated_types.Gt].gt:.9g}"] if annotated_types.Gt in found else []
    high = [f" to {found[annotated_types.Le].le:.9g}"] if annotated_types.Le in found else []
    high += [f" below {found[annotated_types.Lt].lt:.9g}"] if annotated_types.Lt in found else []
    return "".join([*low, *high])


if __name__ == "__main__":
    write_text(PARAMS_FILE, params_text(get_config()))

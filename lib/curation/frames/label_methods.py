"""The methods that add and update labels, derived from the kinds of labels: add_label_2d_bbox and so on."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from lib.curation.frames.label_kinds import DEFAULT_SENSOR, LABEL_KINDS, LabelField, checked_label

Holder = TypeVar("Holder", bound=type)


class MethodFamily(NamedTuple):
    """Methods that do the same with each kind of label.

    Args:
        prefix: of their names.
        does: what they do, before the kind in words.
        is_update: whether they change an existing label, of which fields that are not given stay.
        is_scored: whether a class needs a confidence.
    """

    prefix: str
    does: str
    is_update: bool = False
    is_scored: bool = False


ADD_LABEL = MethodFamily("add_label", "Add a label")
ADD = MethodFamily("add", "Add a label or a prediction")
ADD_INFERENCE = MethodFamily("add_inference", "Add a prediction", is_scored=True)
UPDATE_LABEL = MethodFamily("update_label", "Change a label, which is left out if the frame does not have it", True)


def with_labels(*families: MethodFamily) -> Callable[[Holder], Holder]:
    """A class decorator that adds the methods of these families; they call `_put_label` of the object with a label as
    checked_label returns it, and is_update."""

    def decorated(holder: Holder) -> Holder:
        for family in families:
            for kind in LABEL_KINDS:
                name = f"{family.prefix}_{kind}"
                setattr(holder, name, _method(holder, name, family, kind))
        return holder

    return decorated


def _method(holder: type, name: str, family: MethodFamily, kind: str) -> Callable[..., None]:
    fields = LABEL_KINDS[kind].fields
    needed = {field for field in fields if _is_needed(family, field, fields[field])}
    parameters = [
        inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=_default(family, field, field in needed))
        for field in fields
    ]
    owner = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([owner, *parameters], return_annotation=None)

    def method(self: Any, **values: Any) -> None:
        bound = signature.bind(self, **values)
        bound.apply_defaults()
        values = {key: value for key, value in bound.arguments.items() if key != "self"}
        self._put_label(checked_label(kind, values, family.is_update), family.is_update)

    described = "\n".join(
        textwrap.fill(f"{field}: {fields[field].meaning}.", 100, initial_indent=12 * " ", subsequent_indent=16 * " ")
        for field in fields
    )
    method.__doc__ = f"""{family.does}: {LABEL_KINDS[kind].what}.

        Args:
{described}

        Raises EarshotError for a value that is not allowed.
        """
    method.__name__, method.__qualname__, method.__module__ = name, f"{holder.__name__}.{name}", holder.__module__
    method.__signature__ = signature  # type: ignore[attr-defined]
    return method


def _is_needed(family: MethodFamily, name: str, field: LabelField) -> bool:
    if family.is_update:
        return name == "label_id"
    return field.required or (family.is_scored and name == "confidence")


def _default(family: MethodFamily, name: str, is_needed: bool) -> Any:
    if is_needed:
        return inspect.Parameter.empty
    return DEFAULT_SENSOR if name == "sensor_id" and not family.is_update else None

"""Classes of a project: how each is called and shown, what it counts as in evaluation."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lib.core.errors import EarshotError
from lib.curation.frames.entry_names import check_entry_name

Color = tuple[int, int, int]
"""Red, green and blue, 0..255."""


def _color(subject: str, color: Any) -> Color:
    parts = list(color) if isinstance(color, list | tuple) else []
    if len(parts) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in parts):
        raise EarshotError(subject, f"{str(color)[:100]!r} is no color", "give red, green and blue, 0 to 255")
    return parts[0], parts[1], parts[2]


def _check_skeleton(subject: str, names: list[str] | None, skeleton: list | None) -> None:
    """Raise EarshotError unless each pair of a skeleton refers to two key points. names None: they are unknown."""
    for pair in skeleton or ():
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2 and all(type(index) is int for index in pair)
        if not is_pair or (names is not None and not all(0 <= index < len(names) for index in pair)):
            raise EarshotError(subject, f"skeleton has {pair!r}", "give pairs of indices into keypoint_names")


@dataclass(frozen=True, kw_only=True)
class ClassMapEntry:
    """A class.

    Args:
        name: as labels have it.
        class_id: 0 or more, unique within the map: the value of its pixels in masks.
        color: of its labels, red, green and blue, 0..255.
        train_name: the class that models find in its place: classes with the same are merged for evaluation.
        train_id: number of that class.
        category, category_id: of the class, such as birds.
        has_instances: whether each label is a sound of its own.
        ignore_in_eval: whether evaluation leaves its labels out.
        train_color: of its predictions.
        keypoint_names: of its key points.
        skeleton: pairs of key points that are joined, as indices into keypoint_names.

    Raises EarshotError for values that are not allowed.
    """

    name: str
    class_id: int
    color: Color | list[int]
    train_name: str | None = None
    train_id: int | None = None
    category: str | None = None
    category_id: int | None = None
    has_instances: bool = True
    ignore_in_eval: bool = False
    train_color: Color | list[int] | None = None
    keypoint_names: list[str] | None = None
    skeleton: list | None = None

    def __post_init__(self) -> None:
        check_entry_name("class", self.name)
        subject = f"class {self.name!r}"
        if type(self.class_id) is not int or self.class_id < 0:
            raise EarshotError(subject, f"class_id {self.class_id!r} must be 0 or more", "number the classes")
        object.__setattr__(self, "color", _color(subject, self.color))
        if self.train_color is not None:
            object.__setattr__(self, "train_color", _color(subject, self.train_color))
        _check_skeleton(subject, self.keypoint_names or [], self.skeleton)

    def to_dict(self) -> dict[str, Any]:
        """The entry as plain data."""
        return _plain(self)

    @property
    def evaluated_name(self) -> str:
        """The class that it counts as in evaluation."""
        return self.train_name or self.name


@dataclass(frozen=True, kw_only=True)
class ClassMapUpdateEntry:
    """A change of a class, which is given by its name or its class_id; what is None stays as it is.

    Args:
        name, class_id: of the class; at least one of them.
        color, train_color, keypoint_names, skeleton: see ClassMapEntry.

    Raises EarshotError for values that are not allowed.
    """

    name: str | None = None
    class_id: int | None = None
    color: Color | list[int] | None = None
    train_color: Color | list[int] | None = None
    keypoint_names: list[str] | None = None
    skeleton: list | None = None

    def __post_init__(self) -> None:
        if self.name is None and self.class_id is None:
            raise EarshotError("class map update", "names no class", "give name or class_id")
        subject = f"class {self.class_id if self.name is None else self.name!r}"
        for part in ("color", "train_color"):
            if (color := getattr(self, part)) is not None:
                object.__setattr__(self, part, _color(subject, color))
        _check_skeleton(subject, self.keypoint_names, self.skeleton)

    def to_dict(self) -> dict[str, Any]:
        """The change as plain data."""
        return _plain(self)


def _plain(entry: Any) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(entry).items()}


@dataclass(kw_only=True)
class LabelClassMap:
    """The classes of a project.

    entries: each name and class_id once.

    >>> [entry.color for entry in LabelClassMap.from_classnames(["Moor Frog", "Wren"]).entries]
    [(31, 119, 180), (255, 127, 14)]
    """

    entries: list[ClassMapEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        entries, self.entries = self.entries or [], []
        for entry in entries:
            self.add_entry(entry)

    def add_entry(self, entry: ClassMapEntry) -> None:
        """Add a class. Raises EarshotError if there is one of its name or class_id."""
        for known in self.entries:
            if known.name == entry.name or known.class_id == entry.class_id:
                fault = f"has the name or class_id of {known.name!r} ({known.class_id})"
                raise EarshotError(f"class {entry.name!r} ({entry.class_id})", fault, "give each class its own")
        self.entries.append(entry)

    def changed(self, updates: Iterable[ClassMapUpdateEntry]) -> "LabelClassMap":
        """The map after changes of its classes. Raises EarshotError for a class that it does not have."""
        entries = list(self.entries)
        for change in updates:
            asked = {
                key: value for key, value in (("name", change.name), ("class_id", change.class_id)) if value is not None
            }
            found = [i for i, entry in enumerate(entries) if all(getattr(entry, key) == asked[key] for key in asked)]
            if not found:
                raise EarshotError(f"class {asked}", "the project has none like it", "see get_project")
            values = {key: value for key, value in change.to_dict().items() if value is not None}
            entries[found[0]] = ClassMapEntry(**(entries[found[0]].to_dict() | values))
        return LabelClassMap(entries=entries)

    @staticmethod
    def from_classnames(classnames: Sequence[str]) -> "LabelClassMap":
        """Classes in as distinct colors as their number allows: of tab10, tab20 or turbo."""
        if len(classnames) <= 10:
            return LabelClassMap.from_classnames_max10(classnames)
        if len(classnames) <= 20:
            return LabelClassMap.from_classnames_max20(classnames)
        return LabelClassMap.from_classnames_turbo(classnames)

    @staticmethod
    def from_classnames_max10(classnames: Sequence[str]) -> "LabelClassMap":
        """Up to ten classes in the colors of tab10. Raises EarshotError if there are more."""
        return _listed(classnames, "tab10", 10)

    @staticmethod
    def from_classnames_max20(classnames: Sequence[str]) -> "LabelClassMap":
        """Up to twenty classes in the colors of tab20. Raises EarshotError if there are more."""
        return _listed(classnames, "tab20", 20)

    @staticmethod
    def from_classnames_turbo(classnames: Sequence[str]) -> "LabelClassMap":
        """Any number of classes in colors of turbo, evenly spaced, from dark to light."""
        return _spread(classnames, "turbo")

    @staticmethod
    def from_classnames_viridis(classnames: Sequence[str]) -> "LabelClassMap":
        """Any number of classes in colors of viridis, evenly spaced, from dark to light."""
        return _spread(classnames, "viridis")


def _listed(names: Sequence[str], palette: str, most: int) -> LabelClassMap:
    if len(names) > most:
        remedy = "use from_classnames_turbo or from_classnames_viridis"
        raise EarshotError("label class map", f"{len(names)} classes are more than {most} colors", remedy)
    return _in_colors(names, palette, lambda i: i)


def _spread(names: Sequence[str], palette: str) -> LabelClassMap:
    return _in_colors(names, palette, lambda i: i / max(len(names) - 1, 1))


def _in_colors(names: Sequence[str], palette: str, position: Callable[[int], float]) -> LabelClassMap:
    import matplotlib

    colors = matplotlib.colormaps[palette]
    entries = []
    for i, name in enumerate(names):
        red, green, blue, _ = (round(255 * part) for part in colors(position(i)))
        entries.append(ClassMapEntry(name=name, class_id=i, color=(red, green, blue)))
    return LabelClassMap(entries=entries)

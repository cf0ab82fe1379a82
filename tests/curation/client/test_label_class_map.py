import pytest

from lib import ClassMapEntry, ClassMapUpdateEntry, LabelClassMap
from lib.core.errors import EarshotError

NAMES = [f"class {n}" for n in range(25)]


@pytest.mark.parametrize(
    ("palette", "n"),
    [("", 10), ("", 20), ("", 25), ("_max10", 10), ("_max20", 20), ("_turbo", 25), ("_viridis", 25)],
)
def test_classes_get_distinct_colors(palette, n):
    entries = getattr(LabelClassMap, f"from_classnames{palette}")(NAMES[:n]).entries
    assert [entry.name for entry in entries] == NAMES[:n] and [entry.class_id for entry in entries] == list(range(n))
    assert len({entry.color for entry in entries}) == n


@pytest.mark.parametrize("palette", ["_viridis", "_turbo"])
def test_spread_colors_begin_dark(palette):
    first, *_, last = getattr(LabelClassMap, f"from_classnames{palette}")(NAMES[:5]).entries
    assert sum(first.color) < sum(last.color)


@pytest.mark.parametrize(("palette", "most"), [("_max10", 10), ("_max20", 20)])
def test_a_palette_has_a_limit(palette, most):
    with pytest.raises(EarshotError, match=f"{most + 1} classes are more than {most}"):
        getattr(LabelClassMap, f"from_classnames{palette}")(NAMES[: most + 1])


def test_an_entry_is_plain_data_and_counts_as_its_train_name():
    entry = ClassMapEntry(
        name="Great Reed Warbler",
        class_id=3,
        color=[1, 2, 3],
        train_name="Reed Warbler",
        category="birds",
        ignore_in_eval=True,
        keypoint_names=["start", "peak"],
        skeleton=[(0, 1)],
    )
    assert ClassMapEntry(**entry.to_dict()) == entry
    assert (entry.evaluated_name, entry.color) == ("Reed Warbler", (1, 2, 3))
    assert entry.to_dict()["color"] == [1, 2, 3] and entry.to_dict()["ignore_in_eval"]


@pytest.mark.parametrize(
    "values", [{"color": (1, 2)}, {"color": (1, 2, 256)}, {"class_id": -1}, {"name": ""}, {"skeleton": [(0, 1)]}]
)
def test_an_entry_that_is_none_is_refused(values):
    with pytest.raises(EarshotError):
        ClassMapEntry(**({"name": "a", "class_id": 0, "color": (0, 0, 0)} | values))


def test_names_and_ids_are_unique():
    classes = LabelClassMap.from_classnames(["a"])
    for name, number in (("a", 1), ("b", 0)):
        with pytest.raises(EarshotError, match="its own"):
            classes.add_entry(ClassMapEntry(name=name, class_id=number, color=(0, 0, 0)))
    classes.add_entry(ClassMapEntry(name="b", class_id=1, color=(0, 0, 0)))
    assert [entry.name for entry in classes.entries] == ["a", "b"]


def test_an_update_changes_what_it_names():
    classes = LabelClassMap.from_classnames(["a", "b"])
    updates = [ClassMapUpdateEntry(name="a", color=(9, 9, 9)), ClassMapUpdateEntry(class_id=1, train_color=(8, 8, 8))]
    first, second = classes.changed(updates).entries
    assert (first.color, first.train_color) == ((9, 9, 9), None)
    assert (second.color, second.train_color) == (classes.entries[1].color, (8, 8, 8))
    assert updates[0].to_dict()["color"] == [9, 9, 9]
    with pytest.raises(EarshotError, match="none like it"):
        classes.changed([ClassMapUpdateEntry(name="a", class_id=1)])
    with pytest.raises(EarshotError, match="names no class"):
        ClassMapUpdateEntry(color=(1, 1, 1))

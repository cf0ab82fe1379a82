import sys

import pytest

from lib.core.errors import SettingsError
from lib.core.part_registry import Registry


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A registry of a package whose two modules register a part each."""
    package = tmp_path / "parts_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from lib.core.part_registry import Registry\nPARTS = Registry('part', 'parts_for_a_test')\n"
    )
    for name in ("wing", "beak"):
        (package / f"{name}.py").write_text(
            f"from parts_for_a_test import PARTS\nPARTS.register('{name}', '{name} part')\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("parts_for_a_test").PARTS
    for name in [name for name in sys.modules if name.startswith("parts_for_a_test")]:
        del sys.modules[name]


def test_a_module_in_the_package_is_all_that_a_part_needs(parts):
    assert dict(parts) == {"beak": "beak part", "wing": "wing part"}


def test_an_unknown_name_is_told_with_those_that_there_are(parts):
    with pytest.raises(SettingsError, match="part 'wings': must be one of beak, wing; did you mean wing"):
        parts["wings"]


def test_a_name_is_registered_once():
    registry: Registry[int] = Registry("part", "lib.formats")
    registry.register("one", 1)
    with pytest.raises(ValueError, match="'one' is registered twice"):
        registry.register("one", 2)

from pathlib import Path

import pytest

from lib.core import code_digest
from lib.core.code_digest import digest_code

SOUND = '''"""Sound."""

FACTOR = 2.0


FACTOR *= 1.0


def louder(x: float) -> float:
    """x, louder."""
    if x < 0:
        raise ValueError(f"{x} is below 0")
    fault, remedy = "is loud", "lower it"
    print(Problem("x", fault, "or so"))
    return FACTOR * x  # twice


def unused(x):
    return x
'''
MODEL = '''from typing import NamedTuple

from lib.config.schema import Audio
from lib.core.names import shown
from lib.sound import grid
from lib.sound.level import louder


class Base:
    def prepare(self, x):
        return grid.hop(x)

    def idle(self):
        return 0


class Model(Base):
    """A model."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def run(self, x):
        from lib.sound.late import finish

        return finish(louder(self.prepare(x)) * self.gain, shown)

    def plot(self):
        return "picture"


def evaluate(model: "Model", x):
    return model.run(x) + Audio().rate
'''
SETTINGS = """class Audio(Section):
    hop: int = Field(320, description="samples")
    width: int = 4

    @property
    def rate(self):
        return self.hop / 2

    def check(self):
        return self.hop
"""
FILES = {
    "lib/__init__.py": "",
    "lib/config/schema.py": SETTINGS,
    "lib/core/names.py": "def shown(x):\n    return str(x)\n",
    "lib/sound/level.py": SOUND,
    "lib/sound/grid.py": "def hop(x, step=3):\n    return x // step\n",
    "lib/sound/late.py": "from lib.sound.level import FACTOR as add\n\n\ndef finish(x, f):\n    return f(x + add)\n",
    "lib/model.py": MODEL,
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(code_digest, "PROJECT", tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    yield tmp_path
    forget()


def forget() -> None:
    code_digest._known_digest.cache_clear()
    code_digest._module.cache_clear()


def digest(entry: str = "lib.model:evaluate") -> str:
    forget()
    return digest_code(entry)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("lib/sound/level.py", "# twice", "# two times"),
        ("lib/sound/level.py", "x, louder.", "A louder x."),
        ("lib/sound/level.py", '"""Sound."""', '"""Levels of sound."""\n\nimport math'),
        ("lib/sound/level.py", "x: float) -> float", "x: int) -> object"),
        ("lib/sound/level.py", "is below 0", "is negative"),
        ("lib/sound/level.py", "def unused(x):\n    return x", "def unused(x):\n    return -x"),
        ("lib/model.py", 'return "picture"', 'return "another picture"'),
        ("lib/model.py", "return 0", "return 1"),
        ("lib/core/names.py", "str(x)", "repr(x)"),
        ("lib/sound/grid.py", "    return", '    """Hops."""\n    return'),
        ("lib/sound/level.py", '"is loud", "lower it"', '"is too loud", "make it lower"'),
        ("lib/sound/level.py", '"or so"', '"perhaps"'),
        ("lib/config/schema.py", "samples", "of samples"),
        ("lib/config/schema.py", "return self.hop\n", "return self.width\n"),
        ("lib/config/schema.py", "320", "400"),
    ],
)
def test_what_does_not_shape_results_does_not_count(project, file, old, new):
    before = digest()
    replace(project / file, old, new)
    assert digest() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("lib/sound/level.py", "FACTOR = 2.0", "FACTOR = 2.5"),
        ("lib/sound/level.py", "FACTOR * x", "x"),
        ("lib/sound/level.py", "FACTOR *= 1.0", "FACTOR *= 1.5"),
        ("lib/config/schema.py", "self.hop / 2", "self.hop / 4"),
        ("lib/sound/grid.py", "step=3", "step=4"),
        ("lib/sound/late.py", "x + add", "x - add"),
        ("lib/model.py", "gain: float = 1.0", "gain: float = 2.0"),
        ("lib/model.py", "model.run(x)", "model.run(x + 1)"),
    ],
)
def test_a_changed_formula_counts_wherever_it_is_used_from(project, file, old, new):
    before = digest()
    replace(project / file, old, new)
    assert digest() != before


def test_a_definition_may_move(project):
    before = digest()
    (project / "lib/sound/loudness.py").write_text(SOUND)
    (project / "lib/sound/level.py").write_text("from lib.sound.loudness import FACTOR, louder\n")
    assert digest() == before


def test_a_method_counts_with_its_class_and_what_it_uses(project):
    before = {name: digest(name) for name in ("lib.model:Model", "lib.model:Model.run")}
    replace(project / "lib/sound/level.py", "FACTOR = 2.0", "FACTOR = 2.5")
    assert digest("lib.model:Model.run") != before["lib.model:Model.run"]
    assert digest("lib.model:Model") == before["lib.model:Model"]
    with pytest.raises(LookupError, match="walk: is not defined"):
        digest("lib.model:Model.walk")


def test_an_entry_that_is_not_there_is_an_error(project):
    with pytest.raises(LookupError, match="nothing: is not defined"):
        digest("lib.model:nothing")

"""python -m stages: what there is."""

import ast
from pathlib import Path

from lib.core.console import table_text

paths = [path for path in sorted(Path(__file__).parent.glob("*.py")) if not path.stem.startswith("_")]
docstrings = [ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in paths]
about = [text.partition("\n")[0].removesuffix(".") for text in docstrings]
print(table_text({"python -m stages.": [path.stem for path in paths], "what it does": about}))
print("\npython -m stages.VERB --help tells more.")

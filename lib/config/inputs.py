"""Files that settings name besides the data sets, such as a checkpoint to start from or a list of classes.

DVC cannot watch a file whose name may be empty, so the stages that read such files depend on a folder for them.
"""

import os
from pathlib import Path

from lib.config.schema import Settings
from lib.core.errors import Problem

INPUTS = Path("data/inputs")


def unwatched_inputs(settings: Settings, *names: str) -> list[Problem]:
    """In a stage that DVC runs, a Problem for each of these settings that names a file outside of INPUTS.

    >>> unwatched_inputs(Settings(), "train.load_checkpoint")
    []
    """
    problems = []
    for name in names if "DVC_STAGE" in os.environ else ():
        section, _, key = name.partition(".")
        path = getattr(getattr(settings, section), key)
        if path is not None and not Path(path).resolve().is_relative_to(INPUTS.resolve()):
            remedy = f"move it to {INPUTS}, or a change of the file starts no stage"
            problems.append(Problem(f"{name} = {path!r}", "dvc does not watch it", remedy, lost=False))
    return problems

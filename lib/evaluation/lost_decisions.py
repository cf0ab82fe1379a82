"""Decisions about recordings that neither the test set nor the training database has: renamed, removed, not shared."""

from pathlib import Path

from sqlalchemy import select

from lib.core.databases import readable
from lib.core.errors import Problem
from lib.core.wording import counted, shortened
from lib.formats.data_sets import DataSet
from lib.training_data import training_tables as tables


def find_lost_decisions(decisions_file: str | Path, data_set: DataSet, database: str | Path) -> list[Problem]:
    """A Problem if decisions are about recordings that are in neither data set, so that nothing follows from them.

    data_set: with the decisions applied. Nothing is returned where there is no training database. Raises EarshotError
    if that is damaged.
    """
    names = set(data_set.foreign)
    if not names or not Path(database).is_file():
        return []
    with readable(database, tables.FILE), tables.open_training_tables(database).connect() as connection:
        names -= set(connection.execute(select(tables.recording.c.Name)).scalars())
    if not names:
        return []
    fault = f"decides about {counted(len(names), 'recording')} of no data set ({shortened(sorted(names))})"
    return [Problem(str(decisions_file), fault, "correct the names, or bring the files back to data.reviewed")]

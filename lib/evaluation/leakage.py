"""Leakage: recordings of the test set that the training database holds, too.

Figures of recordings that a model was trained with say nothing about other sound.
"""

from pathlib import Path

from sqlalchemy import select

from lib.core.databases import readable
from lib.core.errors import Problem
from lib.core.files import printable
from lib.core.wording import counted, shortened
from lib.formats.data_sets import DataSet
from lib.training_data import training_tables as tables


def find_leakage(data_set: DataSet, database: str | Path) -> list[Problem]:
    """A Problem if the training database holds files of a test set, byte by byte, whatever they are called.

    Sound that was cut or stored otherwise is not found, nor are other recordings of the same place or individual.
    Nothing is returned where there is no such database. Raises EarshotError if it is damaged.
    """
    if not Path(database).is_file():
        return []
    column = tables.recording.c.Content
    with readable(database, tables.FILE), tables.open_training_tables(database).connect() as connection:
        contents = set(connection.execute(select(column).where(column.is_not(None))).scalars())
    leaked = [printable(name) for name, content in data_set.contents.items() if content in contents]
    if not leaked:
        return []
    n_leaked = f"{len(leaked)} of its {counted(len(data_set.recordings), 'recording')}"
    fault = f"the training database holds {n_leaked}, so the figures may be too good ({shortened(leaked)})"
    remedy = "test with other recordings; python -m stages.split makes two sets of one"
    return [Problem(printable(str(data_set.folder)), fault, remedy, lost=False)]

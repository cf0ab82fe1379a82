"""An occurrence database as one pickle of plain data, which loads fast and can hold no code."""

import pickle
from pathlib import Path

import numpy as np

from lib.core.errors import EarshotError
from lib.core.files import atomic, printable
from lib.core.wording import counted
from lib.occurrence.occurrence_database import OccurrenceDatabase
from lib.occurrence.occurrence_pickle_provider import FORMAT, REMEDY


class OccurrencePickler:
    """Create a pickle file from an occurrence database, for fast access during inference.

    The pickle is a dict: `format`; `counties`, a list of [id, name, code, min_x, max_x, min_y, max_y] (edges None where
    the box is not known); `classes`, a list of names; `pairs`, bytes of int32 (n, 2), the index of a county and that of
    a class; `weeks`, bytes of float64 (n, 48), their values; both little-endian. Counties and classes are sorted by
    their IDs in the database.
    """

    def __init__(self, db_path: str | Path, output_path: str | Path):
        self.db_path = db_path
        self.output_path = output_path

    def pickle(self, quiet: bool = False) -> None:
        """Create the pickle file as specified, and print a line of what it holds unless quiet.

        The same database gives the same bytes. Raises EarshotError for a database that cannot be read.
        """
        if not Path(self.db_path).is_file():
            raise EarshotError(self.db_path, "no such file", REMEDY)
        content = self._content()
        with atomic(self.output_path) as part:
            part.write_bytes(pickle.dumps(content, protocol=4))
        if not quiet:
            counties = counted(len(content["counties"]), "county", "counties")
            classes = counted(len(content["classes"]), "class", "classes")
            pairs = counted(len(content["pairs"]) // 8, "pair")
            print(f"{printable(str(self.output_path))}: {counties}, {classes}, values for {pairs} of them")

    def _content(self) -> dict:
        with OccurrenceDatabase(self.db_path) as database:
            counties = database.get_all_counties()
            classes = [entry.name for entry in database.get_all_classes()]
            values = database.get_all_values()
        county_index = {county.code: index for index, county in enumerate(counties)}
        class_index = {name: index for index, name in enumerate(classes)}
        pairs = [(county_index[code], class_index[name]) for code, name, _ in values]
        return {
            "format": FORMAT,
            "counties": [[c.id, c.name, c.code, c.min_x, c.max_x, c.min_y, c.max_y] for c in counties],
            "classes": classes,
            "pairs": np.array(pairs, "<i4").tobytes(),
            "weeks": np.array([weeks for _, _, weeks in values], "<f8").tobytes(),
        }

"""Projects, and the data sets and inference sets in them, by name."""

from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from lib.core.errors import EarshotError
from lib.curation.frames.entry_names import check_entry_name
from lib.curation.store.curation_database import CurationDatabase, utc_now
from lib.curation.store.curation_tables import FRAME_SET, PROJECT

INFERENCES = "inferences"
"""Kind of an inference set; the others are labeled and unlabeled."""


class FrameCatalog:
    """What projects and sets a database has. Methods raise EarshotError for names that there are not."""

    def __init__(self, database: CurationDatabase) -> None:
        self._database = database

    # Projects

    def projects(self) -> list[Row]:
        return self._database.rows(select(PROJECT).order_by(PROJECT.c.Name))

    def has_project(self, name: str) -> bool:
        return bool(self._database.rows(select(PROJECT.c.ID).where(PROJECT.c.Name == name)))

    def project(self, name: str) -> Row:
        rows = self._database.rows(select(PROJECT).where(PROJECT.c.Name == name))
        if not rows:
            raise EarshotError(f"project {name!r}", "there is none of this name", "create it, or see get_projects")
        return rows[0]

    def create_project(self, name: str, content: dict[str, Any], metadata: dict[str, Any]) -> None:
        check_entry_name("project", name)
        now = utc_now()
        there_is_one = EarshotError(f"project {name!r}", "exists already", "delete it first, or choose another name")
        with self._database.writing() as connection:
            if connection.execute(select(PROJECT.c.ID).where(PROJECT.c.Name == name)).first():
                raise there_is_one
            row = {"Name": name, "Content": content, "Metadata": metadata, "CreatedAt": now, "UpdatedAt": now}
            try:
                connection.execute(insert(PROJECT), row)
            except IntegrityError:  # another process was faster
                raise there_is_one from None

    def change_project(self, name: str, **values: Any) -> None:
        project = self.project(name)
        with self._database.writing() as connection:
            statement = update(PROJECT).where(PROJECT.c.ID == project.ID)
            connection.execute(statement.values(**values, UpdatedAt=utc_now()))

    def delete_project(self, name: str) -> None:
        """Delete a project with all its sets and issues."""
        project = self.project(name)
        with self._database.writing() as connection:
            connection.execute(delete(PROJECT).where(PROJECT.c.ID == project.ID))

    # Sets

    def sets(self, project: str, include_archived: bool = True, base: Row | None = None) -> list[Row]:
        """The data sets of a project, or the inference sets of its data set `base`, by name."""
        key = base.ID if base is not None else 0
        query = select(FRAME_SET).where(FRAME_SET.c.ProjectID == self.project(project).ID, FRAME_SET.c.BaseKey == key)
        query = query if include_archived else query.where(FRAME_SET.c.Archived == 0)
        return self._database.rows(query.order_by(FRAME_SET.c.Name))

    def find_set(self, project: str, data_set: str, inferences: str | None = None) -> Row | None:
        """The row of a data set or, of its inference set; None: there is none."""
        base = 0
        if inferences is not None:
            row = self.find_set(project, data_set)
            if row is None:
                return None
            base = row.ID
        query = select(FRAME_SET).join(PROJECT).where(PROJECT.c.Name == project, FRAME_SET.c.BaseKey == base)
        rows = self._database.rows(query.where(FRAME_SET.c.Name == (data_set if inferences is None else inferences)))
        return rows[0] if rows else None

    def frame_set(self, project: str, data_set: str, inferences: str | None = None) -> Row:
        row = self.find_set(project, data_set, inferences)
        if row is None:
            self.project(project)
            if inferences is not None:
                self.frame_set(project, data_set)
            what = f"data set {data_set!r}" if inferences is None else f"inference set {inferences!r} of {data_set!r}"
            raise EarshotError(f"{what} in {project!r}", "there is none of this name", "create it first")
        return row

    def inference_set(self, project: str, name: str) -> Row:
        """The only inference set of a name in a project."""
        query = select(FRAME_SET).where(FRAME_SET.c.ProjectID == self.project(project).ID, FRAME_SET.c.BaseKey != 0)
        rows = self._database.rows(query.where(FRAME_SET.c.Name == name))
        if len(rows) != 1:
            fault = f"{len(rows) or 'no'} data sets have an inference set of this name"
            raise EarshotError(
                f"inference set {name!r} in {project!r}", fault, "give inference sets names of their own"
            )
        return rows[0]

    def ensure_set(self, connection: Connection, project: Row, base: Row | None, name: str, **values: Any) -> Row:
        """The row of a set, which is created, or updated with these values, and locked until the transaction ends."""
        key, now = (base.ID if base is not None else 0), utc_now()
        where = (FRAME_SET.c.ProjectID == project.ID, FRAME_SET.c.BaseKey == key, FRAME_SET.c.Name == name)
        connection.execute(select(PROJECT.c.ID).filter_by(ID=project.ID).with_for_update())  # two may create the set
        query = select(FRAME_SET).where(*where).with_for_update()
        if connection.execute(query).first() is None:
            defaults = {"Archived": 0, "Metadata": {}, "Content": {}, "ObjectFields": [], "DataUrl": None}
            owner = {"ProjectID": project.ID, "BaseID": key or None, "BaseKey": key, "Name": name}
            connection.execute(insert(FRAME_SET), defaults | owner | {"CreatedAt": now, "UpdatedAt": now} | values)
        else:
            connection.execute(update(FRAME_SET).where(*where).values(**values, UpdatedAt=now))
        return connection.execute(query).one()

    def change_set(self, row: Row, **values: Any) -> None:
        with self._database.writing() as connection:
            statement = update(FRAME_SET).where(FRAME_SET.c.ID == row.ID)
            connection.execute(statement.values(**values, UpdatedAt=utc_now()))

    def delete_set(self, row: Row) -> None:
        """Delete a set with its frames; a data set goes with its inference sets."""
        with self._database.writing() as connection:
            connection.execute(delete(FRAME_SET).where(FRAME_SET.c.ID == row.ID))

    def count(self, row: Row, table: Any) -> int:
        """How many rows of a table belong to a set."""
        return self._database.rows(select(func.count()).select_from(table).where(table.c.FrameSetID == row.ID))[0][0]

"""Occurrence tables (CSV) -> occurrence database (SQLite) and a pickle of it for fast lookup during inference."""

from lib.config import load_settings
from lib.console import run_stage, show_problems


def pickle_occurrences(
    params: str = "params.yaml",
    database: str = "data/occurrence.db",
    output: str = "data/occurrences.pkl",
    **overrides,
):
    """Make the occurrence database and its pickle, both anew.

    Args:
        params: settings file.
        database: SQLite file to write.
        output: pickle file to write.
        overrides: any setting, as --path (of section occurrences) or --section.key.
    """
    path = load_settings(params, overrides, section="occurrences").occurrences.path
    from lib.occurrence.database import write_database
    from lib.occurrence.pickler import OccurrencePickler
    from lib.occurrence.table import read_occurrences

    rows, problems = read_occurrences(path)
    show_problems(problems)
    write_database(rows, database)
    OccurrencePickler(database, output).pickle(quiet=not rows)
    if not rows:
        print(f"occurrences.path = {path or 'null'}: no occurrences in it; {database} and {output} are empty")


if __name__ == "__main__":
    run_stage(pickle_occurrences)

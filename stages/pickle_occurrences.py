"""Occurrence tables (CSV) -> occurrence database (SQLite) and a pickle of it for fast lookup during inference."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems


@stage("occurrences")
def pickle_occurrences(
    settings: Settings, database: str = "data/occurrence.db", output: str = "data/occurrences.pkl"
) -> None:
    """Rebuild the occurrence database and its pickle.

    Examples:
        python -m stages.pickle_occurrences --occurrences.path data/sample/occurrences
        python -m stages.pickle_occurrences --path barchart.txt

    Args:
        database: SQLite file to write.
        output: pickle file to write.
    """
    from lib.core.locks import sole_writer
    from lib.occurrence.occurrence_database import write_database
    from lib.occurrence.occurrence_pickler import OccurrencePickler
    from lib.occurrence.occurrence_table import read_occurrences

    path = settings.occurrences.path
    rows, problems = read_occurrences(path)
    show_problems(problems)
    with sole_writer(database):
        write_database(rows, database)
        OccurrencePickler(database, output).pickle(quiet=not rows)
    if not rows:
        print(f"occurrences.path = {path or ''!r}: holds no occurrences, so no class is filtered by place")


if __name__ == "__main__":
    run_stage(pickle_occurrences)

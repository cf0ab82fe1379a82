"""Split a labelled collection into sets: recordings that belong together stay in one, and each gets every class."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import DataSetSettings

SETS = ("train", "test")


@stage()
def split(
    collection: str,
    output: str,
    by: str = "recording",
    test: float = 0.2,
    val: float = 0.0,
    seed: int = 0,
    format: str = "auto",
    update: str | None = None,
) -> None:
    """Split a labelled collection into a set to train with and one to test with.

    Recordings are assigned so that both sets get their part of each class; those of the same group, and files of the
    same content, stay together. The output folder gets train/ and test/, each with recordings/ (hard links, or copies
    on another file system), annotations.csv and classes.csv, and split.csv, which says what is where.

    Examples:
        python -m stages.split /media/card/birds data/birds --update params.yaml
        python -m stages.split data/birds data/by-site --by site --test 0.3
        python -m stages.split data/birds data/by-owner --by owners.csv

    Args:
        collection: folder of labelled recordings, in any of the formats.
        output: folder to write; it must not exist.
        by: what stays together: recording, folder, site (what precedes the date in the file's name, else the folder),
            night (from noon to noon), or a CSV file with the columns recording and group.
        test: part of the recordings to test with.
        val: part of the recordings for a third set, val, to choose settings by; 0: none.
        seed: of the order in which recordings are taken.
        format: of the annotations; see data.train.format.
        update: settings file, such as params.yaml, in which data.train and data.test name the two sets from then on.
    """
    from pathlib import Path

    from lib.config.faults import validated
    from lib.config.load import load_settings
    from lib.config.params_file import changes_text, write_params
    from lib.core.console import show_problems, table_text
    from lib.core.errors import SettingsError
    from lib.curation.data_set_split import class_counts, set_counts, split_data_set, write_split
    from lib.formats.data_sets import read_data_set

    shares = {"train": 1 - test - val, "test": test, "val": val}
    if not (0 < test < 1 and 0 <= val < 1 and shares["train"] > 0):
        raise SettingsError(f"--test {test:g} --val {val:g}", "must leave a part above 0 to train and to test with")
    sets = {f"data.{name}": {"path": str(Path(output) / name), "format": "auto", "include": ""} for name in SETS}
    changes = {f"{name}.{key}": value for name, values in sets.items() for key, value in values.items()}
    if update:
        load_settings(update, changes)  # or a fault of that file would be told when all is written
    data_set = read_data_set(validated(DataSetSettings, {"path": collection, "format": format}))
    assigned, problems = split_data_set(data_set, {name: part for name, part in shares.items() if part}, by, seed)
    problems += write_split(assigned, data_set, output)
    show_problems([*data_set.problems, *problems])
    print(table_text(set_counts(assigned, data_set).to_dict("list")), end="\n\nRecordings with each class:\n")
    print(table_text(class_counts(assigned, data_set).to_dict("list")), end="\n\n")
    if update:
        print(changes_text(write_params(changes, update)))
    else:
        paths = " and ".join(f"{name}.path to {values['path']}" for name, values in sets.items())
        print(f"To use them, set {paths}, or give --update params.yaml.")
    if val:
        own = Path(output) / "val"
        print(f"To choose settings: tune --recordings {own / 'recordings'} --annotations {own / 'annotations.csv'}")


if __name__ == "__main__":
    run_stage(split)

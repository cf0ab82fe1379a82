"""Decide about sounds: accept, reject or relabel them -> data/decisions.csv, which extract and evaluate apply."""

from typing import TYPE_CHECKING, Literal

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems, table_text
from lib.core.errors import EarshotError, SettingsError
from lib.core.wording import counted

if TYPE_CHECKING:
    import pandas as pd

DONE = {"accept": "accepted", "reject": "rejected", "relabel": "relabelled as {}"}
SHOWN = 20
SHOWN_COLUMNS = ["recording", "start_time", "end_time", "class", "decision", "new_class", "by", "at"]
"""What `list` prints: the last rows, these columns."""


@stage("data.train", "data.test", **{"class": "class_name"})
def decide(
    settings: Settings,
    decision: Literal["accept", "reject", "relabel", "undo", "list"],
    class_name: str | None = None,
    to: str | None = None,
    labels: str = "data/labels",
    annotated: bool = False,
    pictures: str | None = None,
    recordings: str | None = None,
    recording: str | None = None,
    start: str | None = None,
    end: str | None = None,
    min_score: float = 0.0,
    max_score: float = 1.0,
    max: int = 0,
    by: str | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> None:
    """Decide about sounds of a class, best scores first; those that were decided about already are left out.

    Sounds are those that infer found, or else annotations (--annotated), the windows of pictures (--pictures), or a
    stretch (--recording, --start and --end). Recordings that are in neither data set are copied to data.reviewed.

    Examples:
        python -m stages.decide accept --class "Silver Whistler" --labels data/field --min_score 0.95 --max 50
        python -m stages.decide reject --class "Silver Whistler" --pictures data/plots --reason rain
        python -m stages.decide relabel --class "Silver Whistler" --to "Glass Trill" --recording dawn --start 3 --end 6
        python -m stages.decide undo
        python -m stages.decide list

    Args:
        decision: accept, reject, relabel; undo takes back the last ones; list shows them.
        class_name: the class (also --class) that was found, is annotated or is to be decided about.
        to: with relabel, the class that it is.
        labels: folder that infer wrote.
        annotated: choose among the annotations of both data sets.
        pictures: choose what the pictures in this folder show, as plot and search wrote them; delete others first.
        recordings: folder or list of the recordings that the pictures are of, where they are in no data set.
        recording: only those of recordings whose names match this glob.
        start: where the sound begins in the recording, seconds or m:ss.
        end: where it ends.
        min_score: only those that score at least this.
        max_score: only those that score at most this.
        max: how many, at most; 0: all.
        by: who decides, or with undo, whose decisions; default: the user.
        reason: why.
        dry_run: show them, decide nothing.
    """
    from getpass import getuser
    from itertools import islice

    from lib.config.load import read_seconds
    from lib.curation.chosen_sounds import Choice, choose, copy_recordings, sounds_text
    from lib.sound.decisions import append_decisions, read_decisions

    file, by = settings.data.decisions, by or getuser()
    decisions, problems = read_decisions(file)
    show_problems(problems)
    if decision == "list":
        _list(decisions, file, max or SHOWN)
    elif decision == "undo":
        _undo(decisions, file, by)
    else:
        if class_name is None or (decision == "relabel") != (to is not None) or (start is None) != (end is None):
            raise SettingsError("decide", "needs --class, with relabel --to, and --start and --end together or not")
        stretch = None if not start or not end else (read_seconds("--start", start), read_seconds("--end", end))
        choice = Choice(class_name, labels, annotated, pictures, recordings, recording, stretch, min_score, max_score)
        sounds = list(islice(choose(choice, settings, decisions, to), max or None))
        print(sounds_text(sounds))
        if not dry_run:
            copy_recordings(sounds, settings.data.reviewed)
            append_decisions(file, [sound.decision(decision, to or "", by, reason) for sound in sounds])
        done = "nothing decided" if dry_run else DONE[decision].format(to)
        print(f"{counted(len(sounds), 'sound')}: {done} -> {file}")


def _list(decisions: "pd.DataFrame", file: str, most: int) -> None:
    print(table_text({name: list(decisions[name][-most:]) for name in SHOWN_COLUMNS}))
    print(f"{counted(len(decisions), 'decision')} in {file}")


def _undo(decisions: "pd.DataFrame", file: str, by: str) -> None:
    from lib.sound.decisions import undo_decisions

    moments = decisions.loc[decisions["by"] == by, "at"]
    if moments.empty:
        raise EarshotError(file, f"holds no decisions of {by}", "name whose with --by")
    print(f"{counted(undo_decisions(file, moments.iloc[-1]), 'decision')} taken back -> {file}")


if __name__ == "__main__":
    run_stage(decide)

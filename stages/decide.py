"""Decide about sounds: accept, reject or relabel them -> data/decisions.csv, which extract and evaluate apply."""

from typing import Literal

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems, table_text
from lib.core.errors import SettingsError
from lib.core.wording import counted

DONE = {"accept": "accepted", "reject": "rejected", "relabel": "relabelled"}
SHOWN = 20
"""Decisions that are printed."""
SHOWN_COLUMNS = ["recording", "start_time", "end_time", "class", "decision", "new_class", "by", "at"]
"""Of each of them."""


@stage("data.train", "data.test", **{"class": "class_name"})
def decide(
    settings: Settings,
    decision: Literal["accept", "reject", "relabel", "undo", "list"],
    class_name: str | None = None,
    to: str | None = None,
    labels: str = "data/labels",
    annotated: bool = False,
    pictures: str | None = None,
    suggestions: str | None = None,
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
    """Decide about sounds of a class: those that infer found, best scores first, or else annotations (--annotated), the
    windows of pictures (--pictures), what suggest wrote (--suggestions), or a stretch (--recording, --start and --end).

    What was found or annotated and decided about already is left out. Recordings that are in neither data set are
    linked or copied to data.reviewed, and only what was decided about in them is used for training.

    Examples:
        python -m stages.decide accept --class "Silver Whistler" --labels data/field --min_score 0.95 --max 50
        python -m stages.decide reject --class "Silver Whistler" --pictures data/search --reason rain
        python -m stages.decide relabel --suggestions data/suggestions.csv
        python -m stages.decide relabel --class "Silver Whistler" --to "Glass Trill" --recording dawn --start 3 --end 6
        python -m stages.decide undo
        python -m stages.decide list

    Args:
        decision: accept, reject, relabel; undo takes back the last ones; list shows them.
        class_name: the class (also --class) that was found, is annotated or is to be decided about; of pictures and
            suggestions, only those of it, default: all of them.
        to: with relabel, the class that it is, of suggestions by default the suggested one; with accept, one that
            sounds where --class was found or annotated.
        labels: folder that infer wrote.
        annotated: choose among the annotations of both data sets.
        pictures: choose what the pictures in this folder show, as plot, suggest and search wrote them (those of search
            need --class); delete others first.
        suggestions: choose the rows of this table, as suggest wrote it, for which this decision or none is suggested;
            delete others first.
        recordings: folder or list of the recordings that the pictures are of, where they are in no data set.
        recording: only those of recordings whose names match this glob; with --start and --end, the recording.
        start: where the sound begins in the recording, seconds or m:ss.
        end: where it ends.
        min_score: only those that score at least this.
        max_score: only those that score at most this.
        max: how many, at most; 0: all.
        by: who decides, or with undo, whose decisions; default: the user.
        reason: why.
        dry_run: show what would be decided or taken back.
    """
    from itertools import islice

    from lib.config.load import read_seconds
    from lib.curation.chosen_sounds import Choice, as_decision, choose, copy_recordings, current_user, sounds_text
    from lib.sound.decisions import append_decisions, read_decisions

    file, by = settings.data.decisions, by or current_user()
    if max < 0:
        raise SettingsError(f"--max {max}", "must be 0 or more")
    if decision in ("list", "undo"):
        _take_back(file, by, dry_run) if decision == "undo" else _list(file, max or SHOWN)
        return
    names_class, names_new = class_name or pictures or suggestions, to or suggestions or decision != "relabel"
    if not names_class or not names_new or (start is None) != (end is None):
        raise SettingsError("decide", "needs --class, with relabel --to, and --start and --end together or not")
    if to is not None and (decision == "reject" or to == class_name):
        raise SettingsError(f"--to {to}", "must be another class, to relabel or accept as")
    stretch = None if start is None or end is None else (read_seconds("--start", start), read_seconds("--end", end))
    scores = min_score, max_score
    choice = Choice(
        class_name, labels, annotated, pictures, recordings, recording, stretch, *scores, suggestions, decision
    )
    decisions, problems = read_decisions(file)
    show_problems(problems)
    becomes = to or (class_name if decision == "accept" else None)
    sounds = list(islice(choose(choice, settings, decisions, becomes), max or None))
    rows = [as_decision(sound, decision, to, by, reason) for sound in sounds]
    print(sounds_text(sounds))
    if dry_run:
        print(f"{counted(len(sounds), 'sound')}: nothing decided")
        return
    if copies := copy_recordings(sounds, settings.data.reviewed):
        print(f"{counted(len(copies), 'recording')} -> {copies[0].parent}; `dvc add` it to share them")
    append_decisions(file, rows)
    print(f"{counted(len(sounds), 'sound')}: {DONE[decision]}{f' as {to}' if to else ''} -> {file}")


def _list(file: str, most: int) -> None:
    from lib.sound.decisions import read_decisions

    decisions, problems = read_decisions(file)
    show_problems(problems)
    print(table_text({name: list(decisions[name][-most:]) for name in SHOWN_COLUMNS}))
    print(f"{counted(len(decisions), 'decision')} in {file}")


def _take_back(file: str, by: str, dry_run: bool) -> None:
    from lib.sound.decisions import last_decisions, undo_decisions

    decisions = last_decisions(file, by)
    print(table_text({name: list(decisions[name][:SHOWN]) for name in SHOWN_COLUMNS}))
    if not dry_run:
        undo_decisions(file, decisions)
    print(f"{counted(len(decisions), 'decision')}: {'nothing taken back' if dry_run else f'taken back -> {file}'}")


if __name__ == "__main__":
    run_stage(decide)

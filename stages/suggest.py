"""Suggest sounds that are worth a decision: label errors, duplicates, uncertain or new sounds, a sample to check."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems, table_text
from lib.core.errors import Problem, SettingsError
from lib.core.wording import counted

PRECISION = "precision"


@stage("train", **{"class": "class_name"})
def suggest(
    settings: Settings,
    kind: str,
    class_name: str | None = None,
    max: int = 20,
    output: str = "data/suggestions.csv",
    plot: str | bool | None = None,
    context: float = 1.0,
    database: str = "data/training.db",
    spec_group: str = "default",
    folds: str | None = None,
    store: str | None = None,
    labels: str = "data/labels",
    similarity: float = 0.999,
    precision: float = 0.9,
    draw: int = 1,
) -> None:
    """Suggest sounds to decide about, the most useful first, as a table that stages.decide takes.

    Kinds: label_errors (labels of training with which scores disagree), duplicates (recordings and windows that are
    there twice), uncertain (windows of infer's results whose scores are nearest to 0.5), novel (windows of --store that
    are unlike training), likely (windows of --store that likely hold --class, or might), diverse (windows that together
    show all kinds of sound), verification (detections of each class, spread over its scores). What was decided about
    already is left out. precision tells what decisions about detections say: how precise each score is, and from which
    score on a class is as precise as wanted.

    Examples:
        python -m stages.suggest label_errors --max 50 --plot
        python -m stages.suggest verification --class "Silver Whistler" --labels data/field --plot
        python -m stages.suggest precision --class "Silver Whistler" --labels data/field --precision 0.95

    Args:
        kind: label_errors, duplicates, uncertain, novel, likely, diverse, verification; or precision.
        class_name: only about this class (also --class), by any of its names or codes.
        max: how many, at most; of verification, for each class.
        output: table to write.
        plot: draw each suggestion into this folder, whose pictures decide takes; without a value, the table's name
            without suffix.
        context: seconds that pictures show before and after the sound.
        database: training database.
        spec_group: group of its spectrograms.
        folds: label_errors: folder of models that train --num_folds wrote with this database, or of several such
            folders, whose scores to use; default: linear heads on the windows' embeddings (embed --database) or else
            on statistics of their spectrograms.
        store: embeddings of recordings (embed --recordings) to look at; duplicates and diverse: default, those of the
            training database.
        labels: folder that infer wrote.
        similarity: duplicates: the cosine from which on windows are the same.
        precision: with kind precision, the precision that is wanted, 0..1.
        draw: seed of what is drawn at random.
    """
    if max < 1 or context < 0 or not 0 < precision < 1 or not 0 < similarity <= 1:
        fault = "--max must be 1 or more, --context 0 or more, --precision and --similarity within 0..1"
        raise SettingsError("suggest", fault)
    from lib.sound.decisions import read_decisions

    decisions, problems = read_decisions(settings.data.decisions)
    show_problems(problems)
    if kind == PRECISION:
        _show_precision(settings, decisions, labels, class_name, precision, draw)
        return
    from pathlib import Path

    from lib.core.progress import progress
    from lib.curation.suggestion_table import draw_suggestions, suggestions_text, write_suggestions
    from lib.curation.suggestions import RANKINGS, SuggestionSources

    about = class_name, database, spec_group, store, labels, folds, similarity, draw, decisions
    suggestions = RANKINGS[kind].rank(SuggestionSources(settings, max, *about))
    write_suggestions(output, suggestions)
    print(suggestions_text(suggestions))
    print(f"{counted(len(suggestions), 'suggestion')} -> {output}")
    if plot is not None and str(plot) != "False":
        from lib.curation.sound_pictures import Style
        from lib.formats.data_sets import read_test_set, read_training_set

        folder, faults = Path(output).with_suffix("") if str(plot) == "True" else Path(str(plot)), list[Problem]()
        data_sets = read_test_set(settings.data), read_training_set(settings.data)
        files = {name: path for data_set in data_sets for name, path in data_set.recordings.items()}
        drawn = draw_suggestions(suggestions, files, context, Style(settings.audio), folder, faults)
        n = sum(1 for _ in progress(drawn, "plot", len(suggestions), "pictures"))
        show_problems(faults)
        print(f"{counted(n, 'picture')} -> {folder}")


def _show_precision(
    settings: Settings, decisions, labels: str, class_name: str | None, wanted: float, seed: int
) -> None:
    from lib.curation.verified_precision import read_checked, verified_precision
    from lib.results.results_store import ResultsStore

    with ResultsStore(labels) as results:
        classes = results.manifest.class_list
    decided = {*decisions["class"], *decisions["new_class"]}
    names = [class_name] if class_name else [name for name in classes.names if name in map(classes.resolve, decided)]
    if not names:
        raise SettingsError("suggest precision", "nothing was decided about any class", "decide about detections first")
    for name in names:
        checked = read_checked(labels, name, settings, decisions)
        found = verified_precision(checked, wanted, seed=seed)
        n, n_checked = len(checked.scores), int(checked.is_checked.sum())
        print(f"{checked.class_name}: {n_checked} of {counted(n, 'detection')} checked")
        print(table_text(found.bands.to_dict("list")))
        if found.fault:
            remedy = "check more detections, right and wrong ones"
            show_problems([Problem(checked.class_name, f"no threshold: {found.fault}", remedy, lost=False)])
        else:
            interval = f" (95 %: {found.low:.3f} to {found.high:.3f})" if found.low == found.low else ""
            print(f"precision {wanted:g} from a score of {found.threshold:.3f} on{interval}: infer.min_score\n")


if __name__ == "__main__":
    run_stage(suggest)

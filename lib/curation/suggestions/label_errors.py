"""Labels of the training database that are likely to be wrong: those with which confident scores disagree.

Scores are of models that did not learn from the recording, see lib.curation.out_of_fold_scores; a label is as good as
cleanlab's self-confidence (Northcutt, Jiang and Chuang, Confident Learning, 2021; of several labels a window: Goh and
Mueller, Identifying Incorrect Annotations in Multi-Label Classification Data, 2022).
"""

import logging
from collections.abc import Iterator

import numpy as np
from sqlalchemy import func, select

from lib.core.databases import readable
from lib.core.errors import EarshotError, Problem
from lib.curation.out_of_fold_scores import fold_model_scores, head_scores, recordings_of_classes
from lib.curation.suggestion import DecidedSounds, Suggestion, best_apart
from lib.curation.suggestions import RANKINGS, Ranking, SuggestionSources
from lib.curation.suggestions.embedded_windows import training_embeddings
from lib.curation.window_statistics import window_statistics
from lib.sound.classes import ClassList, resolved_class
from lib.sound.grid.windows import MIN_TAIL
from lib.training.training_tasks import set_noise_apart
from lib.training_data import training_tables as tables
from lib.training_data.stored_windows import StoredWindows

KIND = "label_errors"

logger = logging.getLogger(__name__)


def rank_label_errors(sources: SuggestionSources) -> list[Suggestion]:
    """The labels that are most likely to be wrong, their score being 1 - self-confidence.

    Scores are those of sources.folds, or else of heads on the windows' embeddings, or where the database has none, on
    statistics of their spectrograms. Nothing is suggested about a class of which no other recording can be compared,
    which is logged. Raises EarshotError as these do, or if there is nothing to compare.
    """
    settings = sources.settings
    windows, _ = set_noise_apart(StoredWindows(sources.database, sources.spec_group), settings.train.noise_class)
    multi_label = settings.train.multi_label
    usable = np.ones(len(windows), bool) if multi_label else windows.labels.sum(axis=1) == 1
    if sources.folds is not None:
        scores, scored = fold_model_scores(windows, sources.folds, settings)
        usable &= scored
        is_compared = recordings_of_classes(windows.labels, windows.recording) >= 2
    if not usable.any():
        scored_by = "" if sources.folds is None else f" that the models of {sources.folds} score"
        fault, remedy = f"no window with one class{scored_by}", "check the annotations, and train.multi_label"
        raise EarshotError(sources.database, fault, remedy)
    if sources.folds is None:
        embedded = training_embeddings(sources.database, sources.spec_group, windows)
        features = window_statistics(windows) if embedded is None else embedded
        scores = np.zeros(windows.labels.shape, np.float32)
        scores[usable], is_compared = head_scores(
            features[usable], windows.labels[usable], windows.recording[usable], multi_label, sources.seed
        )
    column = None
    classes = ClassList(windows.classes.fillna("").to_dict("records"))  # type: ignore[arg-type]
    if sources.class_name is not None:
        column = classes.names.index(resolved_class(classes, sources.class_name, sources.database))
    for lone in np.flatnonzero(windows.labels[usable].any(axis=0) & ~is_compared):
        if column in (None, lone):
            fault, remedy = "no other recording to compare its labels with", "add recordings of it"
            logger.warning(Problem(classes.names[lone], fault, remedy, lost=False))
    decided = sources.decided(classes)
    if multi_label:
        found = _wrong_of_several(windows, scores, usable)
    else:
        found = _wrong_clips(windows, scores, usable, _known_ends(windows, sources.database, decided))
    wanted = (one for of, one in found if (column is None or column in of) and is_compared[list(of)].all())
    return best_apart(wanted, sources.n, decided)


def _known_ends(windows: StoredWindows, database: str, decided: DecidedSounds) -> np.ndarray:
    """From where on (s) a window must last to be the last one of each recording, float64 (n_recordings,).

    inf for those that were decided about: they may be known only there.
    """
    columns = tables.recording.c
    query = select(columns.Name, func.max(columns.Seconds)).group_by(columns.Name)
    with readable(database, tables.FILE), tables.open_training_tables(database).connect() as connection:
        seconds = {name: longest for name, longest in connection.execute(query)}
    tail = min(MIN_TAIL, windows.audio.spec_duration / 2) + 1e-6
    return np.array([np.inf if name in decided else seconds[name] - tail for name in map(str, windows.recordings)])


def _wrong_clips(
    windows: StoredWindows, scores: np.ndarray, usable: np.ndarray, known_ends: np.ndarray
) -> Iterator[tuple[set[int], Suggestion]]:
    """Where each window has one class: stretches that score more as another, with the columns of both classes.

    Windows of one class without a gap between them are a stretch, of which the mean score counts; where they reach from
    the start of a recording to its known end, it lasts until the end. known_ends: s, of each recording.
    """
    from cleanlab.rank import get_label_quality_scores

    names, given = list(windows.classes["name"]), windows.labels.argmax(axis=1)
    chosen = np.flatnonzero(usable)
    is_new = np.ones(len(chosen), bool)
    same_recording = windows.recording[chosen][1:] == windows.recording[chosen][:-1]
    is_next = (np.diff(chosen) == 1) & (np.diff(windows.starts[chosen]) <= windows.audio.spec_duration + 1e-6)
    is_new[1:] = ~(same_recording & (given[chosen][1:] == given[chosen][:-1]) & is_next)
    firsts = np.flatnonzero(is_new)
    lasts = np.append(firsts[1:], len(chosen))
    means = np.stack([scores[chosen[first:last]].mean(axis=0) for first, last in zip(firsts, lasts, strict=True)])
    labels = given[chosen[firsts]]
    qualities = get_label_quality_scores(labels, means, method="self_confidence")
    for first, last, mean, label, quality in zip(firsts, lasts, means, labels, qualities, strict=True):
        better = int(mean.argmax())
        if better == label:
            continue
        begin, recording = chosen[first], windows.recording[chosen[first]]
        start, end = windows.starts[begin], windows.starts[chosen[last - 1]] + windows.audio.spec_duration
        if start <= 1e-6 and end >= known_ends[recording]:
            start, end = 0.0, np.inf
        why = f"scores {mean[better]:.2f} as {names[better]}, {mean[label]:.2f} as {names[label]}"
        about = str(windows.recordings[recording]), "", float(start), float(end), names[label], float(1 - quality)
        yield {int(label), better}, Suggestion(*about, KIND, "relabel", names[better], why)


def _wrong_of_several(
    windows: StoredWindows, scores: np.ndarray, usable: np.ndarray
) -> Iterator[tuple[set[int], Suggestion]]:
    """Where several classes may sound at once: windows and classes whose label is on the other side of 0.5."""
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    names, chosen = list(windows.classes["name"]), np.flatnonzero(usable)
    lists = [np.flatnonzero(row).tolist() for row in windows.labels[chosen]]
    qualities = get_label_quality_scores_per_class(lists, scores[chosen].astype(float), method="self_confidence")
    for column, quality in enumerate(np.asarray(qualities).reshape(len(chosen), len(names)).T):
        for row in np.flatnonzero(quality < 0.5):
            window = chosen[row]
            score, is_there = scores[window, column], windows.labels[window, column]
            start, decision = float(windows.starts[window]), "reject" if is_there else "accept"
            why = f"scores {score:.2f}, {'annotated' if is_there else 'not annotated'}"
            about = str(windows.recordings[windows.recording[window]]), "", start, start + windows.audio.spec_duration
            of = names[column], float(1 - quality[row]), KIND, decision
            yield {column}, Suggestion(*about, *of, why=why)


RANKINGS.register(KIND, Ranking("labels of training with which scores disagree", rank_label_errors))

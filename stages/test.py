"""Test a model on clips: data sets + model -> predictions, figures and pictures by clips."""

from lib.config.command_line import run_stage, stage
from lib.config.load import with_changes
from lib.config.schema import Settings
from lib.core.console import show_problems, table_text
from lib.core.errors import EarshotError, Problem, SettingsError
from lib.core.wording import counted

SYNONYMS = {"ckpt": "model", "batch_size": "infer.batch_size", "num_workers": "infer.workers", "device": "infer.device"}


@stage("evaluate", "infer", **SYNONYMS)
def test(
    settings: Settings,
    *,
    dataset_paths: str | None = None,
    model: str = "data/models",
    out_dir: str = "metrics/test",
    save_roc: bool = False,
    save_metric_hist: bool = False,
    save_confusion: bool = False,
    save_instrument_metrics: bool = False,
) -> None:
    """Tell which classes sound in each clip and, where they are known, how good that is.

    A clip's score of a class is the mean of its windows; the class is found where it reaches evaluate.threshold. Clips
    whose scores are in the output folder already cost nothing; an interrupted run resumes.

    Examples:
        python -m stages.test --dataset_paths irmastest:data/irmas/test --save_roc --save_confusion
        python -m stages.test --dataset_paths irmastest:data/irmas/test,csv:data/hello.csv --threshold 0.3
        python -m stages.test --dataset_paths /media/field --model data/models/model.pt --out_dir data/field

    Args:
        dataset_paths: TYPE:PATH of each data set, with commas between. TYPE says how labels are stored, as
            data.test.format does; inference, or no type: there are none, and no figures. Default: data.test.
        model: checkpoint (also --ckpt), folder of checkpoints whose scores are averaged, or registry:NAME@ALIAS or
            registry:NAME/VERSION.
        out_dir: folder to write to: predictions.json and scores.json (clip, class, 0/1 or score), metrics.yaml,
            pictures, and scores of windows in labels/.
        save_roc: draw the ROC of each class.
        save_metric_hist: draw how each metric is distributed over the clips.
        save_confusion: draw the confusion of all classes, and a confusion matrix of each pair of them.
        save_instrument_metrics: draw the metrics of each class.
    """
    from pathlib import Path

    from lib.core.incremental import check_that_all_was_read
    from lib.core.locks import sole_writer
    from lib.evaluation.clip_report import METRICS, write_metrics, write_pictures, write_predictions
    from lib.evaluation.clips import read_clips
    from lib.formats.data_set_paths import DataSetPath, parse_data_set_paths, read_data_sets
    from lib.formats.data_sets import read_test_set
    from lib.inference.analyzer import analyze
    from lib.results.results_store import ResultsStore
    from lib.tracking.registry.registered_inputs import chosen_model
    from lib.tuning.model_scores import ALL_SCORES, NO_LABELS

    folder, threshold, test_set = Path(out_dir), settings.evaluate.threshold, settings.data.test
    if dataset_paths:
        paths = parse_data_set_paths(dataset_paths)
        data_sets = read_data_sets(paths)
    else:
        paths, data_sets = (
            [DataSetPath(test_set.format, test_set.path)],
            [read_test_set(settings.data, settings.evaluate.min_seconds)],
        )
    wanted = {"roc": save_roc, "metric_hist": save_metric_hist, "confusion": save_confusion}
    wanted |= {"instrument_metrics": save_instrument_metrics}
    labelled = {str(path): each.recordings for path, each in zip(paths, data_sets, strict=True) if path.is_labelled}
    if not labelled and any(wanted.values()):
        flag = next(f"--save_{name}" for name, is_wanted in wanted.items() if is_wanted)
        raise SettingsError(flag, "needs labels, which no data set has", "give one as TYPE:PATH, see --help")
    show_problems(problem for data_set in data_sets for problem in data_set.problems)
    recordings = {name: file for data_set in data_sets for name, file in data_set.recordings.items()}
    # What is tested are whole clips: there are no labels, and means are over the scores of all windows.
    scoring = with_changes(settings, ALL_SCORES | NO_LABELS)
    path = chosen_model(model, settings.tracking).path
    with sole_writer(folder):
        analysis = analyze(recordings, path, scoring, folder / "labels")
        show_problems(analysis.problems)
        with ResultsStore(folder / "labels") as store:
            clips, problems = read_clips(data_sets, store)
        show_problems(problems)
        n_failed = len(recordings) - len(clips.names)
        if not clips.names or (settings.infer.strict and n_failed):
            fault = f"{n_failed} of {counted(len(recordings), 'clip')} could not be analyzed"
            raise EarshotError(out_dir, fault, "recordings.csv in its folder labels tells why")
        write_predictions(folder, clips, threshold)
        tested = clips.of([name for names in labelled.values() for name in names])
        if tested.names:
            print(table_text(write_metrics(folder / METRICS, tested, labelled, threshold)), end="\n\n")
            write_pictures(folder, tested, threshold, **wanted)
        else:
            (folder / METRICS).unlink(missing_ok=True)
            write_pictures(folder, tested, threshold)  # removes those of an earlier call
            if labelled:
                fault = "no clip with labels could be analyzed, so there are no figures and pictures"
                show_problems([Problem(out_dir, fault, "recordings.csv in its folder labels tells why")])
    n_clips = f"{len(clips.names):,} of {counted(len(recordings), 'clip')} ({analysis.n_new:,} new)"
    print(f"{n_clips}, {counted(len(clips.classes), 'class', 'classes')}, threshold {threshold:g} -> {out_dir}")
    check_that_all_was_read(analysis.problems)


if __name__ == "__main__":
    run_stage(test)

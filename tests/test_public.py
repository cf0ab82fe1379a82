"""What the reference documents can be imported from lib, and takes the documented arguments."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lib

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT.parent / "shared" / "reference" / "britekit-api.txt"


SIGNATURES = """
Analyzer()
Analyzer.run(input_path, output_path, rtype='audacity', start_seconds=0, show=False)
Audio(device=None, cfg=None)
Audio.get_spectrograms(start_times, spec_duration=None, freq_scale=None, decibels=None, top_db=None, db_power=None,
    skip_cache=False)
Audio.load(path)
Audio.seconds()
Audio.set_config(cfg=None, resample=True)
Audio.signal_len()
Extractor(db, class_name, class_code=None, cat_name=None, src_name=None, overlap=None, spec_group=None)
Extractor.extract_all(dir_path)
Extractor.extract_by_csv(rec_dir, csv_path, dest_dir=None)
Extractor.extract_by_image(rec_dir, spec_dir, dest_dir=None)
Extractor.insert_spectrograms(recording_path, offsets)
OccurrenceDataProvider(db)
OccurrenceDataProvider.average_occurrences(county_prefix, class_name, area_weight=False)
OccurrenceDataProvider.find_counties(region_code)
OccurrenceDataProvider.find_county(latitude, longitude)
OccurrenceDataProvider.max_occurrences(county_prefix, class_name, area_weight=False)
OccurrenceDataProvider.occurrences(county_code, class_name)
OccurrenceDataProvider.refresh()
OccurrenceDataProvider.smoothed_occurrences(county_code, class_name)
OccurrenceDatabase(db_path='data/occurrence.db')
OccurrenceDatabase.close()
OccurrenceDatabase.delete_class(id)
OccurrenceDatabase.delete_county(id)
OccurrenceDatabase.get_all_classes()
OccurrenceDatabase.get_all_counties()
OccurrenceDatabase.get_all_occurrences()
OccurrenceDatabase.get_occurrences(county_id, class_name)
OccurrenceDatabase.insert_class(name)
OccurrenceDatabase.insert_county(name, code, min_x, max_x, min_y, max_y)
OccurrenceDatabase.insert_occurrences(county_id, class_id, value)
OccurrencePickleProvider(pickle_path=None)
OccurrencePickleProvider.find_counties(region_code)
OccurrencePickleProvider.find_county(latitude, longitude)
OccurrencePickleProvider.occurrence_value(class_name, smoothed=True, region_code=None, latitude=None, longitude=None,
    week_num=None)
OccurrencePickler(db_path, output_path)
OccurrencePickler.pickle(quiet=False)
PerBlockTester(annotation_path, recording_dir, label_dir, output_dir, threshold, block_size=60, gen_pr_table=False)
PerBlockTester.get_annotations()
PerBlockTester.get_pr_table()
PerBlockTester.produce_reports()
PerBlockTester.run()
PerRecordingTester(annotation_path, recording_dir, label_dir, output_dir, threshold, tp_secs_at_precision=0.95)
PerRecordingTester.get_annotations()
PerRecordingTester.get_pr_table()
PerRecordingTester.produce_reports()
PerRecordingTester.run()
PerSegmentTester(annotation_path, recording_dir, label_dir, output_dir, threshold, calibrate=False, cutoff=0.6,
    coef=None, inter=None)
PerSegmentTester.do_calibration()
PerSegmentTester.get_annotations()
PerSegmentTester.get_offsets(start_time, end_time, segment_len, overlap, min_seconds=0.3)
PerSegmentTester.get_pr_table()
PerSegmentTester.get_recording_info()
PerSegmentTester.get_segments(start_time, end_time, min_seconds=0.3)
PerSegmentTester.init_y_true()
PerSegmentTester.initialize()
PerSegmentTester.plot_calibration_curve(y_true, y_pred, a, b, n_bins=15)
PerSegmentTester.run()
Predictor(model_path, device=None, cfg=None, quantile=None)
Predictor.get_block_scores(specs, start_times=None, audio_duration=None)
Predictor.get_class_name(label)
Predictor.get_dataframe(score_array, frame_map, start_times, recording_name)
Predictor.get_embeddings(spec_array)
Predictor.get_frame_labels(frame_map)
Predictor.get_overlapping_scores(recording_path, segment_len, initial_start_times)
Predictor.get_recording_scores(recording_path, start_seconds=0)
Predictor.get_segment_labels(scores, start_times)
Predictor.get_specs()
Predictor.save_manifest(output_path, cfg=None)
Predictor.show_scores(scores, frame_map)
Predictor.to_global_frames(frame_scores, offsets_sec, recording_duration_sec)
Trainer(prefix=None)
Trainer.find_lr(num_batches=100)
Trainer.run()
TrainingDataProvider(db)
TrainingDataProvider.category_id(name)
TrainingDataProvider.class_id(name, code, category_id)
TrainingDataProvider.class_info()
TrainingDataProvider.recording_id(class_name, filename, path, source_id, seconds)
TrainingDataProvider.segment_class_dict()
TrainingDataProvider.source_id(filename, source_name=None)
TrainingDataProvider.spec_group_info()
TrainingDataProvider.specgroup_id(name)
TrainingDatabase(db_path='data/training.db')
TrainingDatabase.close()
TrainingDatabase.delete_category(filters=None)
TrainingDatabase.delete_class(filters=None)
TrainingDatabase.delete_recording(filters=None)
TrainingDatabase.delete_segment(filters=None)
TrainingDatabase.delete_soundtype(filters=None)
TrainingDatabase.delete_source(filters=None)
TrainingDatabase.delete_specgroup(filters=None)
TrainingDatabase.delete_specvalue(filters=None)
TrainingDatabase.get_all_segment_counts()
TrainingDatabase.get_category(filters=None)
TrainingDatabase.get_category_count(filters=None)
TrainingDatabase.get_class(filters=None)
TrainingDatabase.get_class_count(filters=None)
TrainingDatabase.get_recording(filters=None)
TrainingDatabase.get_recording_by_class(class_name)
TrainingDatabase.get_recording_count(filters=None)
TrainingDatabase.get_segment(filters=None, include_audio=False)
TrainingDatabase.get_segment_by_class(class_name, include_audio=False)
TrainingDatabase.get_segment_class()
TrainingDatabase.get_segment_class_count(filters=None)
TrainingDatabase.get_segment_count(filters=None)
TrainingDatabase.get_soundtype(filters=None)
TrainingDatabase.get_soundtype_count(filters=None)
TrainingDatabase.get_source(filters=None)
TrainingDatabase.get_source_count(filters=None)
TrainingDatabase.get_specgroup(filters=None)
TrainingDatabase.get_specgroup_count(filters=None)
TrainingDatabase.get_spectrogram_by_class(class_name, include_value=True, include_embedding=False,
    spec_group='default', limit=None)
TrainingDatabase.get_specvalue(filters=None)
TrainingDatabase.get_specvalue_count(filters=None)
TrainingDatabase.insert_category(name)
TrainingDatabase.insert_class(category_id, name, alt_name=None, code=None, alt_code=None)
TrainingDatabase.insert_recording(source_id, filename, path, seconds=0)
TrainingDatabase.insert_segment(recording_id, offset)
TrainingDatabase.insert_segment_class(segment_id, class_id)
TrainingDatabase.insert_soundtype(name)
TrainingDatabase.insert_source(name)
TrainingDatabase.insert_specgroup(name)
TrainingDatabase.insert_specvalue(value, spec_group_id, segment_id)
TrainingDatabase.optimize()
TrainingDatabase.update_class(id, field, value)
TrainingDatabase.update_recording(id, field, value)
TrainingDatabase.update_segment(id, field, value)
TrainingDatabase.update_segment_class(id, field, value)
TrainingDatabase.update_specvalue(id, field, value)
Tuner(recording_dir, output_dir, annotation_path, train_log_dir, metric, param_space, num_trials=0, num_runs=1,
    extract=False, skip_training=False, classes_path=None)
Tuner.run()
get_config(cfg_path=None)
load_from_checkpoint(checkpoint_path, multi_label=None)
load_new_model(train_class_names, train_class_codes, train_class_alt_names, train_class_alt_codes, num_train_specs)
"""
"""Of the reference: names, order and defaults of arguments, without `self`."""
MODEL_RUNS = """
ModelRun(model_run_id, dataset_id, client=None)
ModelRun.commit(payload=None)
ModelRun.iloc(i)
ModelRun.info()
ModelRun.loc(dataset_item_id)
ModelRun.predict(annotations, update=False, asynchronous=False, batch_size=5000, remote_files_per_upload_request=20,
    local_files_per_upload_request=10)
ModelRun.prediction_loc(reference_id, annotation_id)
ModelRun.refloc(reference_id)
"""
"""Of Nucleus, likewise; its client is optional here."""


def signatures(text: str) -> dict[str, ast.arguments]:
    """The arguments of each class (its constructor), method and function, by dotted name."""
    found: dict[str, ast.arguments] = {}
    for start in re.finditer(r"^(?:Function)?((?:[A-Z]\w+)(?:\.\w+)?|[a-z]+_\w+)\(", text, re.MULTILINE):
        if start[1] not in found and (arguments := balanced(text, start.end())) is not None:
            found[start[1]] = arguments
    return found


def balanced(text: str, start: int) -> ast.arguments | None:
    """The arguments between an opening parenthesis, behind which `start` is, and its closing one."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            try:
                return ast.parse(f"def f({text[start:position]}): pass").body[0].args  # type: ignore[attr-defined]
            except SyntaxError:
                return None
    return None


DOCUMENTED = signatures(SIGNATURES)
ALL_DOCUMENTED = DOCUMENTED | signatures(MODEL_RUNS)


def facts(arguments: ast.arguments) -> tuple[list[str], list[object]]:
    """Names without `self`, and the defaults of the last of them."""
    names = [argument.arg for argument in arguments.args if argument.arg != "self"]
    return names, [ast.literal_eval(value) for value in arguments.defaults]


def find(name: str):
    first, *rest = name.split(".")
    found = getattr(lib, first)
    for part in rest:
        found = getattr(found, part)
    return found


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference document is not there")
def test_signatures_are_those_of_the_document():
    in_document = signatures(REFERENCE.read_text(encoding="utf-8"))
    assert {name: facts(arguments) for name, arguments in in_document.items()} == {
        name: facts(arguments) for name, arguments in DOCUMENTED.items()
    }


def test_lib_offers_what_the_documents_list_and_what_goes_with_it():
    besides = {"InputModel", "Prediction", "UnknownItem", "extract"}
    of_curation = {name for name, module in lib._PLACES.items() if module.startswith("lib.curation.")}
    # For these, see tests/curation/test_coverage.py.
    assert set(lib.__all__) == {name.split(".")[0] for name in ALL_DOCUMENTED} | besides | of_curation


@pytest.mark.parametrize("name", ALL_DOCUMENTED)
def test_documented_arguments_have_their_names_order_and_defaults(name):
    expected, defaults = facts(ALL_DOCUMENTED[name])
    parameters = [p for p in inspect.signature(find(name)).parameters.values() if p.name != "self"]
    assert [p.name for p in parameters[: len(expected)]] == expected
    with_default = parameters[len(expected) - len(defaults) : len(expected)]
    assert [p.default for p in with_default] == defaults
    assert all(p.default is not inspect.Parameter.empty for p in parameters[len(expected) :] if p.kind < 2)


def test_importing_lib_loads_nothing_heavy():
    heavy = "{'torch', 'pandas', 'sqlalchemy', 'mlflow', 'numpy'}"
    code = f"import lib, sys; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Predictr"):
        lib.Predictr  # noqa: B018

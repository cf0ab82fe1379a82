import json

import pytest
import torch

from lib.config.schema import Settings
from lib.core.errors import DataSetError, EarshotError, SettingsError
from lib.formats.data_sets import read_annotated, read_data_set
from lib.tuning.search_space import read_space
from lib.tuning.studies import Run
from lib.tuning.trials import Bench, ModelSource, choose_source
from stages.evaluate import evaluate
from stages.extract import extract
from stages.infer import infer
from stages.train import train
from tests.models.builders import save_random_model
from tests.tracking.tiny import settings_of, write_project
from tests.training_data.builders import AUDIO


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project's folder with a training database."""
    folder = tmp_path_factory.mktemp("project")
    params = write_project(folder)
    extract(database=str(folder / "training.db"), metrics=str(folder / "extract.json"), params=str(params))
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Outputs are kept in the working folder. One thread: sums depend on how many share them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def bench_of(project, scratch, source: ModelSource | None = None, **options) -> Bench:
    settings = settings_of(project)
    source = source or ModelSource(database=project / "training.db")
    return Bench(settings, read_data_set(settings.data.test), source, scratch, **options)


def models_in(scratch):
    return sorted(path for path in (scratch / "models").glob("*/model.pt"))


def test_run_with_the_settings_as_they_are_measures_what_the_pipeline_does(project, tmp_path):
    figures = bench_of(project, tmp_path / "scratch").measure(Run({}, 0))
    params = str(project / "params.yaml")
    train(database=str(project / "training.db"), model="model.pt", state="state", metrics="train.json", params=params)
    infer(output="labels", model="model.pt", params=params)
    torch.set_num_threads(1)
    evaluate(params=params, labels="labels", output="report", metrics="evaluation.json")
    expected = json.loads((tmp_path / "report/figures.json").read_text())
    assert figures == {name: expected[name] for name in figures}
    assert len(figures) == 4
    assert torch.get_num_threads() == 1


def test_runs_that_differ_in_inference_share_a_model_and_seeds_do_not(project, tmp_path):
    bench = bench_of(project, tmp_path)
    runs = [Run({"infer.overlap": overlap}, number) for number in (0, 1) for overlap in (0.0, 0.25)]
    (tmp_path / "none.txt").write_text("low\n")
    runs.append(Run({"infer.overlap": 0.0, "infer.exclude": str(tmp_path / "none.txt")}, 0))
    figures = [bench.measure(run) for run in runs]
    assert len(models_in(tmp_path)) == 2
    assert len({bench.key(run) for run in runs}) == 5
    assert all(figures[0] != other for other in (figures[1], figures[2], figures[4]))
    assert bench.settings_of(runs[2]).train.seed == bench.settings.train.seed + 1
    assert bench_of(project, tmp_path / "elsewhere").measure(runs[0]) == figures[0]


def test_how_the_machine_works_does_not_count_unless_it_is_what_varies(project, tmp_path):
    bench, other = bench_of(project, tmp_path), bench_of(project, tmp_path)
    other.settings.infer.workers, other.settings.train.workers = 3, 1
    assert bench.key(Run({}, 0)) == other.key(Run({}, 0)) and bench.digest_without(()) == other.digest_without(())
    assert bench.key(Run({"train.precision": "32"}, 0)) != bench.key(Run({"train.precision": "bf16"}, 0))
    other.settings.infer.overlap = 0.0
    assert bench.digest_without(()) != other.digest_without(())
    assert bench.digest_without(["infer.overlap"]) == other.digest_without(["infer.overlap"])


def test_other_content_of_the_checkpoint_to_start_from_is_another_model(project, tmp_path):
    bench, known = bench_of(project, tmp_path), tmp_path / "known.pt"
    run, keys = Run({"load_checkpoint": str(known)}, 0), set()
    for seed in (1, 2):
        save_random_model(known, AUDIO, seed=seed)
        bench.measure(run)
        keys.add(bench.key(run))
    assert len(models_in(tmp_path)) == len(keys) == 2


def test_what_was_extracted_is_trained_with_whatever_group_the_database_has(project, tmp_path):
    settings = settings_of(project)
    settings.train.spec_group = "logscale"
    bench = bench_of(project, tmp_path, choose_source([], settings, extract=True))
    bench.settings.train.spec_group = "logscale"
    assert bench.measure(Run({}, 0))


def test_audio_settings_are_extracted_for_and_databases_go_when_nobody_uses_them(project, tmp_path):
    source = choose_source(read_space([{"name": "hop_length", "choices": [50, 64]}]), settings_of(project))
    bench = bench_of(project, tmp_path, source, keep_models=False)
    with bench_of(project, tmp_path, source).in_use():
        with bench.in_use():
            assert len({str(bench.measure(Run({"hop_length": hop}, 0))) for hop in (50, 64)}) == 2
        assert len(list((tmp_path / "databases").glob("*.db"))) == 2
    assert not (tmp_path / "databases").exists()
    assert models_in(tmp_path) == []  # no other run would need them


def test_model_as_it_is_is_run_once_whatever_the_seed(project, tmp_path):
    save_random_model(tmp_path / "model.pt", AUDIO, ["high", "low", "mid"])
    bench = bench_of(project, tmp_path / "scratch", ModelSource(model=tmp_path / "model.pt"))
    assert bench.key(Run({}, 0)) == bench.key(Run({}, 1)) != bench.key(Run({"infer.overlap": 0.0}, 0))
    assert set(bench.measure(Run({}, 0))) == {"macro_pr", "micro_pr", "macro_roc", "micro_roc"}
    assert not (tmp_path / "scratch/models").exists()


def test_training_can_be_restricted_to_classes(project, tmp_path):
    names = tmp_path / "classes.csv"
    names.write_text("Name\nlow\nmid\n")
    source = choose_source([], settings_of(project), classes=names)
    assert list(source.recordings.classes["name"]) == ["low", "mid"]
    bench = bench_of(project, tmp_path, source)
    bench.measure(Run({}, 0))
    (description,) = (tmp_path / "models").glob("*/model.json")
    assert [entry["name"] for entry in json.loads(description.read_text())["classes"]] == ["low", "mid"]
    assert any("classes that the model does not know: high" in str(problem) for problem in bench.problems)
    names.write_text("Name\ngull\n")
    with pytest.raises(DataSetError, match="gull is not a class of"):
        choose_source([], settings_of(project), classes=names)


def test_what_does_not_go_together_is_said_before_anything_is_done(project, tmp_path):
    save_random_model(tmp_path / "model.pt", AUDIO)
    space = read_space([{"name": "dropout", "choices": [0.1]}, {"name": "min_freq", "choices": [90.0]}])
    with pytest.raises(SettingsError, match="varies settings of audio and train, but the model is used as it is"):
        choose_source(space, Settings(), tmp_path / "model.pt")
    with pytest.raises(SettingsError, match="extracting is of no use"):
        choose_source([], Settings(), tmp_path / "model.pt", extract=True)
    with pytest.raises(EarshotError, match=r"none\.db: no such file; run the extract stage, or give --extract"):
        bench_of(project, tmp_path, ModelSource(database=tmp_path / "none.db")).key(Run({}, 0))


def test_test_set_that_tells_no_models_apart_is_one_clear_line(project, tmp_path):
    save_random_model(tmp_path / "model.pt", AUDIO, ["high", "low", "mid"])
    (tmp_path / "empty.csv").write_text("recording,class,start_time,end_time\nr00,,,\n")
    test = read_annotated(project / "set/recordings", tmp_path / "empty.csv")
    bench = Bench(settings_of(project), test, ModelSource(model=tmp_path / "model.pt"), tmp_path)
    with pytest.raises(DataSetError, match="macro_pr is not defined, for want of segments"):
        bench.measure(Run({}, 0))

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from lib import (
    Client,
    Inferences,
    InferencesFrame,
    LabelClassMap,
    LabeledDataset,
    LabeledFrame,
    StratifiedMetricsDefinition,
)
from lib.config.schema import DataSetSettings
from lib.core.errors import EarshotError
from lib.curation.issues.issue_manager import IssueManager
from lib.curation.metrics import matching_cache
from lib.curation.metrics.class_figures import WEIGHTED
from lib.curation.metrics.metrics_manager import MetricsManager
from lib.evaluation.event_metrics import measure_events
from lib.formats.data_sets import read_test_set
from lib.results.results_store import ResultsStore
from tests.curation.curation_projects import ANNOTATIONS, FOUND, PROJECT, TRUTH, crop, frame, make_client, write_linked


@pytest.fixture
def client(tmp_path):
    write_linked(tmp_path)
    return make_client(tmp_path)


def manager(client) -> MetricsManager:
    return MetricsManager(client, PROJECT)


def fetch(client, query: str, *names: str, ordering=MetricsManager.ORDER_CONF_DESC, **more) -> dict:
    metrics = manager(client)
    queries = [getattr(metrics, f"make_{query}_query")(*names)]
    opts = {"confidence_threshold": 0.1, "iou_threshold": 0.5, "queries": queries, "ordering": ordering} | more
    return metrics.fetch_confusions(TRUTH, FOUND, opts)


def shown(result: dict) -> list[tuple]:
    return [(row["frame_id"], row["gt_class"], row["inf_class"], row["iou"]) for row in result["results"]]


def test_queries_tell_what_was_confused_in_annotations_and_results(client):
    assert shown(fetch(client, "confusions")) == [("r1", "b", "a", 1.0)]
    assert shown(fetch(client, "confused_as", "a")) == shown(fetch(client, "confused_from", "b"))
    assert shown(fetch(client, "confused_as", "b")) == []
    assert shown(fetch(client, "correct")) == [("r1", "a", "a", 1.0), ("r2", "b", "b", 1.0)]
    assert shown(fetch(client, "cell", "b", "a")) == [("r1", "b", "a", 1.0)]
    assert shown(fetch(client, "false_positives")) == [("r1", None, "b", None)]
    assert shown(fetch(client, "false_negatives")) == [("r1", "a", None, None), ("r3", "a", None, None)]
    (row,) = fetch(client, "confusions")["results"]
    assert row["gt_label_id"] == "r1/b/3-6" and row["inf_label_id"] == "r1/1"
    assert row["confidence"] == pytest.approx(0.7) and row["box_size"] == 3.0
    (missed, _) = fetch(client, "false_negatives")["results"]
    assert missed["inf_label_id"] is None and missed["confidence"] is None


def test_pages_follow_one_another(client):
    whole = fetch(client, "false_negatives")
    assert (whole["total"], whole["next_offset"]) == (2, None)
    first = fetch(client, "false_negatives", max_results=1)
    second = fetch(client, "false_negatives", max_results=1, cur_offset=first["next_offset"])
    assert first["results"] + second["results"] == whole["results"] and second["next_offset"] is None
    assert fetch(client, "false_negatives", cur_offset=5)["results"] == []


def test_a_threshold_of_confidence_leaves_predictions_out(client):
    assert len(fetch(client, "false_negatives", confidence_threshold=0.8)["results"]) == 5
    assert len(fetch(client, "false_negatives", confidence_threshold=0.7)["results"]) == 2  # those of 0.7 count


def test_metrics_are_those_of_evaluate_at_the_same_iou(client, tmp_path):
    (result,) = manager(client).get_metrics(TRUTH, FOUND, 10, 50)
    assert result["scenario"] is None and result["metrics_class"] == WEIGHTED
    assert result["figures"][4:] == (2, 2, 3, 5)
    data_set = read_test_set(client._data.model_copy(update={"test": DataSetSettings(path=str(tmp_path / "test"))}))
    with ResultsStore(tmp_path / "labels") as store:
        events, _ = measure_events(data_set, store, ["r1", "r2", "r3"], 0.5, 0, 0)
    classes = events.classes[(events.classes["criterion"] == "iou") & (events.classes["value"] == 0.5)]
    for row in classes.to_dict("records"):
        (ours,) = manager(client).get_metrics(TRUTH, FOUND, 0, 50, metrics_class=row["class"])
        figures = ours["figures"]
        assert (figures.support, figures.true_positives) == (row["annotated"], row["tp"])
        assert (figures.precision, figures.recall, figures.f1) == pytest.approx(
            (row["precision"], row["recall"], row["f1"])
        )


def test_scenarios_are_scored_by_themselves(client):
    issues = IssueManager(client, PROJECT)
    issues.create_issue("second", TRUTH, [frame("r2"), frame("r3")], "frame", issue_type="Scenario")
    issues.create_issue("calls", TRUTH, [crop("r1", "r1/a/0-3")], "crop", issue_type="Regression Test")
    issues.create_issue("bucket", TRUTH, [frame("r1")], "frame")
    metrics = manager(client)
    assert [each.name for each in metrics.list_scenarios(TRUTH)] == ["calls", "second"]
    whole, calls, second = metrics.get_metrics(TRUTH, FOUND, 10, 50, None)
    assert whole["figures"][4:] == (2, 2, 3, 5)
    assert (calls["scenario"], calls["figures"][4:]) == ("calls", (1, 0, 0, 1))
    assert (second["scenario"], second["figures"][4:]) == ("second", (1, 0, 1, 2))
    assert metrics.get_metrics(TRUTH, FOUND, 10, 50, ["second"]) == [whole, second]
    with pytest.raises(EarshotError, match="scenario 'bucket': 'test' has none of this name"):
        metrics.get_metrics(TRUTH, FOUND, 10, 50, ["bucket"])


def test_classes_are_merged_under_their_train_names_and_ignored_ones_count_nowhere(tmp_path):
    write_linked(tmp_path)
    entries = [{"name": "a", "train_name": "bird"}, {"name": "b", "train_name": "bird"}]
    client = make_client(tmp_path, content={"label_class_map": entries})
    (result,) = manager(client).get_metrics(TRUTH, FOUND, 10, 50, metrics_class="bird")
    assert result["figures"][4:] == (3, 1, 2, 5)
    with pytest.raises(EarshotError, match="class 'a': is not evaluated under this name; evaluated are bird"):
        manager(client).get_metrics(TRUTH, FOUND, 10, 50, metrics_class="a")
    client.catalog.change_project(PROJECT, Content={"label_class_map": [{"name": "b", "ignore_in_eval": True}]})
    assert shown(fetch(client, "confusions")) == []
    assert shown(fetch(client, "false_positives")) == [("r1", None, "a", None)]


def test_metrics_are_stratified_by_an_ordered_attribute(tmp_path):
    rows = [(*row, who) for row, who in zip(ANNOTATIONS, ["near", "far", "far", "near", "elsewhere"], strict=True)]
    write_linked(tmp_path)
    columns = ["recording", "class", "start_time", "end_time", "annotator"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "test/annotations.csv", index=False)
    strata = [{"name": "annotator", "ordered_values": ["near", "far", "none"]}]
    client = make_client(tmp_path, content={"label_class_map": [], "stratified_metrics": strata})
    figures = manager(client).get_stratified_metrics(TRUTH, FOUND, 10, 50, "annotator")
    assert list(figures) == ["near", "far", "none"]
    assert [each.support for each in figures.values()] == [2, 2, 0]
    assert [each.true_positives for each in figures.values()] == [2, 0, 0]
    (found,) = [manager(client).get_stratified_metrics(TRUTH, FOUND, 10, 50, "annotator", "b")["near"]]
    assert (found.name, found.recall) == ("b", 1.0)
    with pytest.raises(EarshotError, match="attribute 'site': the project does not stratify metrics by it"):
        manager(client).get_stratified_metrics(TRUTH, FOUND, 10, 50, "site")


def test_predictions_of_whole_windows_are_compared_with_what_is_in_the_windows(tmp_path):
    write_linked(tmp_path, [("r1", "a", 1, 2), ("r1", "b", 4, 5), ("r1", "b", 4.5, 5.5)])
    client = make_client(tmp_path, window=3)
    assert shown(fetch(client, "correct")) == [("r1@0-3", "a", "a", 1.0)]
    assert shown(fetch(client, "confusions")) == [("r1@3-6", "b", "a", 1.0)]
    assert {row[0] for row in shown(fetch(client, "false_positives"))} == {"r1@9-12", "r2@0-3"}


def test_an_annotation_of_a_whole_recording_is_no_event(tmp_path):
    write_linked(tmp_path, [("r1", "a", 0, np.inf), ("r1", "b", 3, 6), ("r2", "b", 0, 3)])
    client = make_client(tmp_path)
    assert shown(fetch(client, "correct")) == [("r2", "b", "b", 1.0)]
    assert shown(fetch(client, "false_negatives")) == [("r1", "b", None, None)]
    assert shown(fetch(client, "false_positives")) == [("r1", None, "b", None)]


def test_matches_are_kept_until_labels_change(client, tmp_path, monkeypatch):
    before = fetch(client, "correct")
    with monkeypatch.context() as patch:
        patch.setattr(matching_cache, "write_matched", None)
        assert fetch(client, "correct") == before  # from the file
    table = pd.read_csv(tmp_path / "test/annotations.csv")
    table[1:].to_csv(tmp_path / "test/annotations.csv", index=False)
    assert shown(fetch(client, "correct")) == [("r2", "b", "b", 1.0)]
    (kept,) = {path.suffix for path in (tmp_path / "curation.db.matches").iterdir()}
    assert kept == ".npz"


def test_a_damaged_file_of_matches_is_made_again(client, tmp_path):
    before = fetch(client, "correct")
    (file,) = (tmp_path / "curation.db.matches").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert fetch(client, "correct") == before and file.stat().st_size > 100


COUNT = """
import sys
from pathlib import Path
from lib.curation.client.client import Client
from lib.curation.metrics.metrics_manager import MetricsManager
client = Client(api_endpoint=f"sqlite:///{sys.argv[1]}/curation.db")
print(MetricsManager(client, "field").get_metrics("test", "model", 10, 50)[0]["figures"].true_positives)
"""


def test_processes_and_threads_get_the_same_at_the_same_time(client, tmp_path):
    command = [sys.executable, "-c", COUNT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        metrics = manager(client)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: metrics.get_metrics(TRUTH, FOUND, 10, 50), range(8)))
        assert other.communicate()[0].strip() == "2"
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize(
    "opts, fault",
    [
        ({"iou_threshold": 50}, r"iou_threshold 50: must be a number within 0\.\.1"),
        ({"confidence_threshold": "0.5"}, "confidence_threshold '0.5': must be a number"),
        ({"page": 3}, "have no page"),
        ({"max_results": -1}, "max_results -1: must be a whole number"),
    ],
)
def test_wrong_options_are_named(client, opts, fault):
    with pytest.raises(EarshotError, match=fault):
        fetch(client, "correct", **opts)


def test_what_there_is_not_is_named(client):
    with pytest.raises(EarshotError, match="lack queries"):
        manager(client).fetch_confusions(TRUTH, FOUND, {"confidence_threshold": 0, "iou_threshold": 0, "ordering": ()})
    with pytest.raises(EarshotError, match=r"confidence_pct 101: must be a number within 0\.\.100"):
        manager(client).get_metrics(TRUTH, FOUND, 101, 50)
    with pytest.raises(EarshotError, match="inference set 'other'"):
        manager(client).get_metrics(TRUTH, "other", 10, 50)


def test_uploaded_frames_are_matched_again_once_they_change(tmp_path):
    client = Client(api_endpoint=f"sqlite:///{tmp_path / 'curation.db'}")
    strata = [StratifiedMetricsDefinition("site", ["fen", "wood"])]
    client.create_project(PROJECT, LabelClassMap.from_classnames(["owl", "wren"]), stratified_metrics=strata)
    truth, found = LabeledDataset(), Inferences()
    for name, site, is_owl in (("f1", "fen", True), ("f2", "wood", False)):
        labeled, inferred = LabeledFrame(frame_id=name), InferencesFrame(frame_id=name)
        labeled.add_user_metadata("site", site)
        labeled.add_label_2d_classification(label_id=f"t {name}", classification="owl")
        guess = {"classification": "owl" if is_owl else "wren", "confidence": 0.8}
        inferred.add_inference_2d_classification(label_id=f"p {name}", **guess)
        truth.add_frame(labeled)
        found.add_frame(inferred)
    client.create_dataset(PROJECT, TRUTH, dataset=truth)
    client.create_inferences(PROJECT, TRUTH, FOUND, inferences=found)
    assert shown(fetch(client, "correct")) == [("f1", "owl", "owl", 1.0)]
    assert shown(fetch(client, "confusions")) == [("f2", "owl", "wren", 1.0)]
    figures = client.get_metrics_manager(PROJECT).get_stratified_metrics(TRUTH, FOUND, 10, 50, "site", "owl")
    assert [(each.true_positives, each.support) for each in figures.values()] == [(1, 1), (0, 1)]
    changed, frame = Inferences(), InferencesFrame(frame_id="f2")
    frame.add_inference_2d_classification(label_id="p f2", classification="owl", confidence=0.9)
    changed.add_frame(frame)
    client.create_or_update_inferences(PROJECT, TRUTH, FOUND, inferences=changed)
    assert shown(fetch(client, "correct")) == [("f2", "owl", "owl", 1.0), ("f1", "owl", "owl", 1.0)]

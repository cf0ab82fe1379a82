"""What the review page's server answers."""

import csv
import errno
import io
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from PIL import Image

from lib.curation.embedding_store import EmbeddingStore
from lib.curation.score_bands import score_band
from lib.curation.verified_precision import read_checked, verified_precision
from lib.formats.data_sets import read_test_set
from lib.server.review.review_app import make_review_app
from lib.server.review.reviewed_project import ReviewedProject
from lib.sound.decisions import Decision, append_decisions, read_decisions
from tests.recordings import write
from tests.server.review.builders import FOUND, HOSTILE, N_FIELD, RATE, write_results
from tests.training_data.builders import AUDIO


def clips(client, **values) -> list[dict]:
    return client.get("/clips", params=values).json()["clips"]


def decided(project) -> list[tuple]:
    rows, problems = read_decisions(project.decisions, unsure=True)
    assert problems == []
    return list(
        rows[["recording", "start_time", "class", "decision", "new_class", "by"]].itertuples(index=False, name=None)
    )


def test_sounds_are_right_confused_false_or_missed(client):
    outcomes = {
        (one["class_name"], one["origin"]): (one["outcome"], one["other"]) for one in clips(client, recording="t0")
    }
    assert outcomes == {
        ("low", "found"): ("correct", ""),
        ("high", "found"): ("confused", "mid"),
        ("mid", "found"): ("false positive", ""),
        (HOSTILE, "found"): ("false positive", ""),
        ("low", "annotated"): ("correct", ""),
        ("mid", "annotated"): ("confused", "high"),
        ("high", "annotated"): ("missed", ""),
    }


def test_each_cell_of_the_confusion_matrix_counts_the_clips_that_it_opens(client):
    cells = {(cell["annotated"], cell["found"]): cell["n"] for cell in client.get("/overview").json()["confusion"]}
    assert cells == {("low", "low"): 1, ("mid", "high"): 1, ("", "mid"): 1, ("", HOSTILE): 1, ("high", ""): 1}
    opened = clips(client, origin="found", class_name="high", outcome="confused", other="mid")
    assert [one["start"] for one in opened] == [12.0]


@pytest.mark.parametrize(
    ("values", "n"),
    [
        ({"class_name": "low", "min_score": 0.9, "max_score": 0.95}, 12),  # 11 of f0 and one of t0
        ({"recording": "f*"}, N_FIELD),
        ({"recording": "f0", "min_score": 0.975}, 1),
        ({"origin": "annotated"}, 4),
        ({"decided": "undecided"}, N_FIELD + 8),
        ({"decided": "decided"}, 0),
        ({"first_date": "2024-01-01"}, 0),
        ({"site": "nowhere"}, 0),
    ],
)
def test_filters_choose_clips(client, values, n):
    assert client.get("/clips", params=values).json()["total"] == n


def test_pages_follow_one_another_in_order(client):
    whole = clips(client, class_name="low", origin="found", limit=500)
    parts = [clips(client, class_name="low", origin="found", offset=k, limit=10) for k in range(0, 100, 10)]
    assert [one["id"] for one in whole] == [one["id"] for part in parts for one in part]
    scores = [one["score"] for one in whole]
    assert scores == sorted(scores, reverse=True)


def test_a_list_of_undecided_clips_keeps_its_pages_while_people_decide(client):
    values = {"class_name": "low", "origin": "found", "decided": "undecided"}
    first = client.get("/clips", params=values | {"limit": 5}).json()
    ids = [one["id"] for one in first["clips"]]
    expected = clips(client, **values, offset=5, limit=5)
    client.post("/decisions", json={"clips": ids, "decision": "accept", "by": "ana"})
    assert [one["id"] for one in clips(client, **values, offset=5, limit=5, as_of=first["serial"])] == [
        one["id"] for one in expected
    ]
    assert clips(client, **values, limit=5)[0]["id"] == expected[0]["id"]


def test_decisions_are_written_as_the_stage_writes_them_and_the_data_set_follows(client, project):
    (one,) = clips(client, class_name="high", origin="found")
    body = {"clips": [one["id"]], "decision": "relabel", "new_class": "mid", "by": "ana", "reason": "clear"}
    answer = client.post("/decisions", json=body).json()
    assert [(each["decision"], each["new_class"]) for each in answer] == [("relabel", "mid")]
    assert decided(project) == [("t0", 12.0, "high", "relabel", "mid", "ana")]
    annotations = read_test_set(project.settings().data).annotations
    assert list(annotations["class"]) == ["high", "low", "mid"]


def test_a_recording_of_no_data_set_is_brought_to_the_reviewed_ones(client, project):
    one = clips(client, recording="f0", limit=1)[0]
    client.post("/decisions", json={"clips": [one["id"]], "decision": "reject", "by": "ana"})
    assert (project.folder / "reviewed/recordings/f0.wav").exists()


def test_many_are_decided_at_once_and_taken_back_at_once(client, project):
    ids = [one["id"] for one in clips(client, recording="f0", limit=40)]
    client.post("/decisions", json={"clips": ids, "decision": "accept", "by": "ana"})
    assert len(decided(project)) == 40
    client.post("/decisions", json={"clips": ids[:3], "decision": "reject", "by": "bob"})
    back = client.post("/decisions/undo", json={"by": "ana"}).json()
    assert {one["id"] for one in back} == set(ids)
    assert {row[-1] for row in decided(project)} == {"bob"}
    assert client.get("/clips", params={"decided": "reject"}).json()["total"] == 3
    assert client.post("/decisions/undo", json={"by": "ana"}).status_code == 422


def verification(client, **values) -> dict:
    return client.get("/verification", params={"class_name": "low"} | values).json()


def decide_sample(client, n: int) -> None:
    """Of a sample of the class low, all above a score of 0.75 are right, and a third of the others."""
    for k, one in enumerate(clips(client, class_name="low", sample=n, limit=500)):
        decision = "unsure" if k == 5 else "accept" if one["score"] > 0.75 or k % 3 == 0 else "reject"
        client.post("/decisions", json={"clips": [one["id"]], "decision": decision, "by": "ana"})


@pytest.mark.parametrize("wanted", [0.6, 0.9, 0.999])
def test_a_verification_tells_what_the_stage_tells(client, project, wanted):
    decide_sample(client, 40)
    settings = project.settings()
    decisions, _ = read_decisions(settings.data.decisions)
    checked = read_checked(str(project.labels), "low", settings, decisions)
    expected = verified_precision(checked, wanted)
    answer = verification(client, n=40, wanted=wanted)
    bands = [[math.nan if value is None else value for value in band.values()] for band in answer["bands"]]
    np.testing.assert_array_equal(bands, expected.bands.to_numpy(float))
    for name in ("threshold", "low", "high"):
        value, given = getattr(expected, name), answer[name]
        assert value == given or (math.isnan(value) and given is None)
    assert answer["fault"] == expected.fault
    assert (answer["threshold"] is None) == (wanted == 0.999)
    assert (answer["n_found"], answer["n_checked"], answer["n_decided"]) == (N_FIELD + 1, 39, 40)


def test_a_sample_is_spread_over_the_scores_and_stays_while_people_decide(client):
    before = clips(client, class_name="low", sample=20, limit=500)
    places = {score_band(one["score"]) for one in before}
    assert (len(before), places) == (20, {5, 6, 7, 8, 9})
    assert verification(client, n=20)["first_undecided"] == 0
    ids = [one["id"] for one in before]
    client.post("/decisions", json={"clips": ids[:3] + ids[4:6], "decision": "accept", "by": "ana"})
    assert [one["id"] for one in clips(client, class_name="low", sample=20, limit=500)] == ids
    stands = verification(client, n=20)
    assert (stands["n_decided"], stands["first_undecided"]) == (5, 3)
    assert client.get("/clips", params={"class_name": "low", "sample": 20, "decided": "decided"}).json()["total"] == 5
    assert set(ids) < {one["id"] for one in clips(client, class_name="low", sample=50, limit=500)}


def test_decisions_that_others_write_and_new_results_count_in_a_verification(client, project):
    decide_sample(client, 40)
    before = verification(client, n=40)
    rows = [Decision("f0", 3.0 * k, 3.0 * k + 3, "low", "reject", by="bob") for k in range(N_FIELD)]
    append_decisions(project.decisions, rows)
    after = verification(client, n=40)
    assert (before["fault"], after["n_checked"]) == ("", N_FIELD)
    assert after["fault"] != ""
    files = {"t0": project.folder / "test/recordings/t0.wav", "f0": project.folder / "field/f0.wav"}
    write_results(project.labels, files, FOUND | {"f0": FOUND["f0"][:50]})
    client.get("/overview")
    answer = verification(client, n=96)
    assert (answer["n_found"], answer["n_sample"], answer["n_decided"]) == (51, 51, 50)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"class_name": ""}, 422),
        ({"class_name": "no such class"}, 422),
        ({"class_name": HOSTILE, "n": 1}, 200),
        ({"n": 0}, 422),
        ({"n": 10**9}, 422),
        ({"wanted": 1}, 422),
        ({"wanted": "nan"}, 422),
    ],
)
def test_what_cannot_be_verified_is_refused(client, project, values, status):
    answer = client.get("/verification", params={"class_name": "low"} | values)
    assert answer.status_code == status
    assert str(project.folder) not in answer.text


def test_a_sample_of_no_class_holds_no_clips(client):
    assert client.get("/clips", params={"sample": 5}).status_code == 422
    assert client.get("/clips", params={"sample": 5, "class_name": "mid"}).json()["total"] == 1
    assert client.get("/clips", params={"sample": 5, "class_name": "mid", "site": "x"}).json()["total"] == 0


def test_several_people_may_look_at_a_verification_at_once(client):
    decide_sample(client, 30)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda k: verification(client, n=30, wanted=(0.7, 0.9)[k % 2]), range(8)))
    assert answers[0] == answers[2] == answers[6]
    assert answers[1] == answers[7] != answers[0]


def test_unsure_changes_no_annotations(client, project):
    before = read_test_set(project.settings().data).annotations
    (one,) = clips(client, class_name="high", origin="found")
    client.post("/decisions", json={"clips": [one["id"]], "decision": "unsure", "by": "ana"})
    assert clips(client, decided="unsure")[0]["id"] == one["id"]
    assert read_test_set(project.settings().data).annotations.equals(before)
    client.post("/decisions/undo", json={"by": "ana"})
    assert clips(client, decided="unsure") == []


def test_two_servers_that_decide_at_the_same_time_lose_nothing(client, project):
    settings = project.settings()
    other = ReviewedProject(settings, str(project.labels), "none", "bob", "none")
    with TestClient(make_review_app(settings, other), base_url="http://localhost") as second:
        barrier = threading.Barrier(2)

        def work(one, by):
            ids = [each["id"] for each in clips(one, recording="f0", limit=N_FIELD)]
            barrier.wait()
            half = ids[::2] if by == "ana" else ids[1::2]
            return [one.post("/decisions", json={"clips": [each], "decision": "accept", "by": by}) for each in half]

        with ThreadPoolExecutor(2) as pool:
            answers = [*pool.map(work, (client, second), ("ana", "bob"))]
        assert {answer.status_code for each in answers for answer in each} == {200}
        assert len(decided(project)) == N_FIELD
        for one in (client, second):
            assert one.get("/clips", params={"decided": "accept"}).json()["total"] == N_FIELD


def click_train(path, rate: int, seconds: float, times: list[float]) -> None:
    samples = np.zeros(round(seconds * rate), np.float32)
    samples[[round(time * rate) for time in times]] = 0.9
    write(path, samples, rate, "FLOAT" if path.suffix == ".wav" else None)


@pytest.mark.parametrize(("rate", "suffix"), [(8000, "wav"), (44100, "flac"), (250_000, "wav")])
def test_the_sound_is_exactly_what_the_picture_shows(project, rate, suffix):
    """A click train: where its clicks are in the bytes of the sound, there are bright columns in those of the tile."""
    clicks = [21.25, 21.9, 22.125, 23.7]
    path = project.folder / f"field/clicks.{suffix}"
    click_train(path, rate, 25.0, clicks)
    labels = project.folder / "clicks"
    write_results(labels, {"clicks": path}, {"clicks": [("low", 21.5, 23.5, 0.9)]})
    settings = project.settings()
    reviewed = ReviewedProject(settings, str(labels), "none", "ana", "none")
    with TestClient(make_review_app(settings, reviewed), base_url="http://localhost") as client:
        (one,) = clips(client, origin="found")
        span = {"start": 21.0, "end": 24.0}
        content = client.get(f"/media/sound/{one['id']}", params=span).content
        samples, served_rate = soundfile.read(io.BytesIO(content), dtype="float32")
        assert (served_rate, len(samples)) == (rate, 3 * rate)
        expected = np.array([round(time * rate) - 21 * rate for time in clicks])
        assert np.flatnonzero(samples > 0.5).tolist() == expected.tolist()

        look = {"width": 1200, "height": 64, "max_freq": rate / 2, "range_db": 30, "colors": "gray"}
        png = client.get(f"/media/tile/{one['id']}", params=span | look).content
        picture = np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(float)
        assert picture.shape == (64, 1200)
        columns = picture.mean(axis=0)
        for sample in expected:
            column = sample / rate * 400
            near = slice(round(column) - 40, round(column) + 40)
            weights = columns[near]
            middle = (weights * (np.arange(near.start, near.stop) + 0.5)).sum() / weights.sum()
            assert abs(middle - column) < 0.6, (middle, column)

        slow = client.get(f"/media/sound/{one['id']}", params={"start": 21.2, "end": 21.3, "slow": 2}).content
        slowed, slowed_rate = soundfile.read(io.BytesIO(slow), dtype="float32")
        assert slowed_rate == round(rate / 2)
        assert np.array_equal(slowed, samples[round(21.2 * rate) - 21 * rate : round(21.3 * rate) - 21 * rate])


def test_a_stretch_may_reach_beyond_the_recording_which_is_silent_there(client):
    (one,) = clips(client, recording="t0", class_name="low", origin="found")
    content = client.get(f"/media/sound/{one['id']}", params={"start": -1.0, "end": 1.0}).content
    samples, rate = soundfile.read(io.BytesIO(content))
    assert (len(samples), rate) == (2 * RATE, RATE)
    assert not samples[:RATE].any() and samples[RATE:].any()


def test_what_is_drawn_has_the_scores_and_sounds_in_view(client):
    (one,) = clips(client, recording="t0", class_name="low", origin="found")
    view = client.get(f"/media/view/{one['id']}", params={"start": 1.5, "end": 13.0}).json()
    assert [(span["class_name"], span["origin"]) for span in view["spans"]] == [
        ("low", "found"),
        ("low", "annotated"),
        ("high", "found"),
        ("mid", "annotated"),
    ]
    assert dict(zip(view["times"], view["scores"], strict=True))[4.5] == 0.9  # the window from 3 to 6 s
    assert view["sampling_rate"] == RATE
    assert view["ticks"][0]["hertz"] < view["ticks"][-1]["hertz"] <= 1900


@pytest.mark.parametrize("kind", ["tile", "sound", "view"])
def test_other_ids_stretches_and_values_are_refused(client, kind):
    (one,) = clips(client, recording="t0", class_name="low", origin="found")
    assert client.get(f"/media/{kind}/7", params={"start": 0, "end": 1}).status_code == 404
    assert client.get(f"/media/{kind}/..%2f..%2fetc", params={"start": 0, "end": 1}).status_code in (404, 422)
    if kind != "view":
        for start, end in ((5, 5), (5, 4), (0, 500)):
            assert client.get(f"/media/{kind}/{one['id']}", params={"start": start, "end": end}).status_code == 422
    assert client.get(f"/media/{kind}/{one['id']}", params={"start": "nan", "end": 1}).status_code == 422


def test_a_missing_or_damaged_recording_is_told_in_a_line_without_paths(client, project):
    (one,) = clips(client, recording="t0", class_name="low", origin="found")
    (project.folder / "test/recordings/t0.wav").write_bytes(b"<html>")
    answer = client.get(f"/media/tile/{one['id']}", params={"start": 0, "end": 1})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("t0: ")
    assert str(project.folder) not in answer.text
    assert clips(client, recording="f0", limit=1)


def test_decisions_about_unknown_clips_or_classes_write_nothing(client, project):
    one = clips(client, limit=1)[0]
    for body in (
        {"clips": [7], "decision": "accept"},
        {"clips": [one["id"], 7], "decision": "accept"},
        {"clips": [one["id"]], "decision": "relabel", "new_class": "unicorn"},
        {"clips": [one["id"]], "decision": "undo"},
        {"clips": [], "decision": "accept"},
        {"clips": [one["id"]], "decision": "accept", "by": " "},
    ):
        assert client.post("/decisions", json={"by": "ana"} | body).status_code == 422
    assert client.post("/decisions/undo", json={"by": ""}).status_code == 422
    assert not project.decisions.exists()


def test_five_thousand_clips_are_chosen_at_once(client, project):
    """As many as the grid selects; one that is not there shows that all of them were read."""
    first = clips(client, limit=1)[0]["id"]
    body = {"clips": list(range(first + 10**14, first + 10**14 + 5000)), "decision": "accept", "by": "ana"}
    answer = client.post("/decisions", json=body)
    assert (answer.status_code, "is not there" in answer.json()["detail"]) == (422, True)
    assert client.post("/decisions", json=body | {"clips": [*body["clips"], 1]}).status_code == 422


def test_decisions_that_cannot_be_written_are_told_in_a_line(client, project, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(project.decisions))

    monkeypatch.setattr("lib.curation.clip_index.append_decisions", full)
    one = clips(client, recording="t0", limit=1)[0]
    answer = client.post("/decisions", json={"clips": [one["id"]], "decision": "accept", "by": "ana"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "review: No space left on device")


def test_overview_shows_no_folders_and_proposes_a_name_only_on_this_machine(project):
    (project.folder / "train/classes.csv").write_bytes(b"\xff\xfe\x00")
    for host, by in (("localhost", "ana"), ("0.0.0.0", "")):
        settings = project.settings()
        settings.review.host = host
        reviewed = ReviewedProject(settings, str(project.labels), "none", "ana", "none")
        with TestClient(make_review_app(settings, reviewed), base_url="http://localhost") as client:
            answer = client.get("/overview")
            assert answer.json()["by"] == by
            assert answer.json()["problems"]
            assert str(project.folder) not in answer.text


def test_foreign_hosts_and_origins_and_missing_tokens_are_refused(project):
    settings = project.settings()
    reviewed = ReviewedProject(settings, str(project.labels), "none", "ana", "none")
    with TestClient(make_review_app(settings, reviewed, "secret"), base_url="http://localhost") as client:
        assert client.get("/", headers={"host": "evil.example"}).status_code == 421
        assert client.get("/", headers={"origin": "http://evil.example"}).status_code == 403
        assert client.get("/").status_code == 200
        for path in ("/overview", "/clips", "/media/tile/7?start=0&end=1"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer secret"}).status_code != 401


def test_the_page_allows_no_script_but_its_own(client):
    policy = client.get("/").headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_ids_of_an_earlier_index_mean_nothing_after_the_pipeline_has_run(client, project):
    old = clips(client, recording="f0", limit=1)[0]
    rows = {"f0": FOUND["f0"][:5]}
    (project.labels / "results.db").unlink()
    write_results(project.labels, {"f0": project.folder / "field/f0.wav"}, rows)
    assert client.get("/overview").json()["n_found"] == 5
    assert client.post("/decisions", json={"clips": [old["id"]], "decision": "accept", "by": "ana"}).status_code == 422
    assert not project.decisions.exists()


@pytest.fixture
def embedded(project):
    """A project whose recordings of the test set and of the field have embeddings: window k of f0 sounds as k % 7."""
    store = project.folder / "embeddings.db"
    manifest = {"audio": AUDIO.model_dump() | {"spec_duration": 3.0}, "hop": 1.5, "models": []}
    rows = {"t0": [[1.0, k % 5, 0.0] for k in range(39)], "f0": [[0.1, k % 7, 1.0] for k in range(191)]}
    with EmbeddingStore(store, rows, manifest) as written:
        for name, vectors in rows.items():
            path = project.folder / ("test/recordings/t0.wav" if name == "t0" else "field/f0.wav")
            written.write(name, str(path), "key", [(np.array(vectors, np.float32), 1.5 * len(vectors) + 1.5)], [])
        written.finish()
    settings = project.settings()
    settings.review.export_dir = str(project.folder / "exported")
    reviewed = ReviewedProject(settings, str(project.labels), "none", "ana", str(store))
    with TestClient(make_review_app(settings, reviewed), base_url="http://localhost") as client:
        yield client


def test_similar_sounds_become_clips_that_can_be_decided_about(embedded, project):
    one = clips(embedded, recording="f0", order="time", limit=10)[7]  # from 21 s: window 14, which sounds as 0
    origin = embedded.post(f"/similar/{one['id']}").json()["origin"]
    found = clips(embedded, origin=origin, limit=500)
    assert len(found) > 10
    assert found[0]["class_name"] == "low" and found[0]["score"] == pytest.approx(1.0, abs=1e-3)
    assert {round(each["start"] / 1.5) % 7 for each in found if each["score"] > 0.999} == {0}
    assert one["start"] not in {each["start"] for each in found if each["recording"] == "f0"}
    low = next(each for each in embedded.get("/overview").json()["classes"] if each["name"] == "low")
    assert (low["annotated"], low["found"]) == (2, N_FIELD + 1)
    embedded.post("/decisions", json={"clips": [found[0]["id"]], "decision": "accept", "by": "ana"})
    assert decided(project) == [(found[0]["recording"], found[0]["start"], "low", "accept", "", "ana")]


def test_the_map_shows_each_clip_whose_recording_has_embeddings(embedded):
    points = embedded.get("/map").json()
    assert len(points) == N_FIELD + 7  # all but the annotation of x0
    assert all(0 <= point["x"] <= 1 and 0 <= point["y"] <= 1 for point in points)
    assert embedded.get("/map").json() == points
    chosen = [point["id"] for point in points[:3]]
    assert {each["id"] for each in clips(embedded, ids=",".join(map(str, chosen)))} == set(chosen)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_clips_are_exported_with_their_table(embedded, project, suffix):
    chosen = clips(embedded, recording="t0", origin="found", order="time")
    answer = embedded.post("/export", json={"clips": [one["id"] for one in chosen], "suffix": suffix}).json()
    assert (answer["n"], answer["problems"]) == (4, [])
    folder = project.folder / "exported" / answer["folder"]
    rows = list(csv.DictReader((folder / "clips.csv").open()))
    assert [row["class"] for row in rows] == [one["class_name"] for one in chosen]
    whole = soundfile.read(project.folder / "test/recordings/t0.wav", dtype="float32")[0]
    for row in rows:
        assert "<" not in row["file"] and "/" not in row["file"]
        samples, rate = soundfile.read(folder / row["file"], dtype="float32")
        begin = round(float(row["start_time"]) * RATE)
        assert rate == RATE
        assert np.allclose(samples, whole[begin : begin + len(samples)], atol=1e-6)


def test_without_embeddings_a_line_says_what_to_run(client):
    one = clips(client, limit=1)[0]
    for answer in (client.post(f"/similar/{one['id']}"), client.get("/map")):
        assert answer.status_code == 422
        assert "run the embed stage" in answer.json()["detail"]

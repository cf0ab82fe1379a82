"""How fast 100,000 clips are indexed, listed and decided about."""

import time

import numpy as np
import pytest

from lib.config.load import load_settings
from lib.curation.clip_index import ClipFilter, ClipIndex
from lib.results.results_store import PartialResult, ResultsStore
from lib.sound.labels import Label
from tests.recordings import noise, write
from tests.results.builders import make_manifest
from tests.training_data.builders import write_data_set, write_params

RECORDINGS, LABELS = 200, 500


@pytest.mark.benchmark
def test_a_hundred_thousand_clips(tmp_path, capsys):
    names = [f"class {k}" for k in range(20)]
    rng = np.random.default_rng(1)
    with ResultsStore(tmp_path / "labels", make_manifest(names)) as store:
        for k in range(RECORDINGS):
            path = write(tmp_path / f"field/r{k:03}.wav", noise(0.1, 8000, k), 8000)
            labels = [
                Label(names[rng.integers(20)], 3.0 * n, 3.0 * n + 3, float(rng.uniform(0.3, 1))) for n in range(LABELS)
            ]
            part = PartialResult(np.zeros((0, 20), np.float32), labels, 3.0 * LABELS)
            store.write(path.stem, str(path), f"{store.manifest.key} {k}", [part], [], [])
        store.commit()
    data = {"decisions": str(tmp_path / "decisions.csv"), "reviewed": str(tmp_path / "reviewed")}
    params = write_params(
        tmp_path / "params.yaml", write_data_set(tmp_path / "set", 2), data=data, infer={"overlap": 0.25}
    )
    settings = load_settings(params)
    lines = []

    def timed(what: str, work):
        begin = time.perf_counter()
        result = work()
        lines.append(f"{what:42} {1000 * (time.perf_counter() - begin):8.1f} ms")
        return result

    index = timed("index of 100,000 clips", lambda: ClipIndex(settings, str(tmp_path / "labels")))
    with index:
        found = ClipFilter(origin="found")
        page = timed("first page, all", lambda: index.page(found, "score", 0, 100))
        assert page.total == RECORDINGS * LABELS
        timed("last page, all", lambda: index.page(found, "score", 99_900, 100))
        chosen = found._replace(class_name="class 3", min_score=0.5, decided="undecided")
        page = timed("first page, class and score", lambda: index.page(chosen, "score", 0, 100))
        timed("counts", index.counts)
        timed("score bands", index.score_bands)
        ids = [clip.id for clip in page.clips]
        timed("one decision", lambda: index.decide(ids[:1], "reject", "", "ana"))
        timed("page after it", lambda: index.page(chosen, "score", 0, 100))
        many = [clip.id for clip in index.page(chosen, "score", 0, 3000).clips]
        timed("3,000 decisions at once", lambda: index.decide(many, "reject", "", "ana"))
        timed("page after them", lambda: index.page(chosen, "score", 0, 100))
        timed("undo of all", lambda: index.undo("ana"))
        page = timed("page after it", lambda: index.page(chosen, "score", 0, 100))
        assert len(page.clips) == 100
    with capsys.disabled():
        print("", *lines, sep="\n")

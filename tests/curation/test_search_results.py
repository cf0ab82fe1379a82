import matplotlib.image
import pytest

from lib.curation.embedding_store import EmbeddedRecording
from lib.curation.nearest_windows import Match
from lib.curation.search_results import show_matches, write_matches
from tests.curation.builders import make_store
from tests.recordings import noise, write
from tests.training_data.builders import RATE

MATCHES = [
    Match(1, EmbeddedRecording(1, "b", "field/b.wav", 5000.0), 3723.44, 83.0, 0.95),
    Match(2, EmbeddedRecording(2, "a", "field/a.wav", 5.0), 0.5, 1.0, 0.9),
]


def test_results_are_a_table_on_the_terminal():
    head, _, *lines = show_matches(MATCHES).splitlines()
    assert head.split() == ["rank", "similarity", "start", "end", "recording"]
    assert lines[0].split() == ["1", "0.950", "1:02:03.4", "1:23.0", "field/b.wav"]
    assert lines[1].split() == ["2", "0.900", "0:00.5", "0:01.0", "field/a.wav"]
    assert show_matches([]).split()[0] == "rank"


def test_pictures_are_named_exactly_and_those_of_an_earlier_search_go(tmp_path):
    with make_store(tmp_path / "store.db", {"a/r": [[1, 0]], "b/r": [[1, 0]], "gone": [[1, 0]]}) as store:
        matches = []
        for rank, (name, start) in enumerate([("a/r", 0.375), ("b/r", 0.375), ("gone", 0.0)], 1):
            path = tmp_path / f"{name}.wav"
            matches.append(Match(rank, store.recording(name)._replace(path=str(path)), start, start + 0.5, 0.5))
            if name != "gone":
                write(path, noise(1.0, RATE), RATE)
        (tmp_path / "found").mkdir()
        (tmp_path / "found/mine.png").touch()
        (problem,) = write_matches(matches, store, tmp_path / "found", plot=True)
        assert problem.subject == str(tmp_path / "gone.wav")
        assert pictures(tmp_path / "found") == ["a/r-0.375.png", "b/r-0.375.png", "mine.png"]
        shown = matplotlib.image.imread(tmp_path / "found/a/r-0.375.png")
        assert shown.shape == (4 * 16, 4 * 40, 4) and shown[..., :3].std() > 0.05
        write_matches(matches[:1], store, tmp_path / "found", plot=True)
        assert pictures(tmp_path / "found") == ["a/r-0.375.png", "mine.png"]


def pictures(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


@pytest.mark.parametrize("content", [b"", b"rank,recording\n", b"\xff", b"x" * 200_000])
def test_table_takes_the_place_of_whatever_is_there(tmp_path, content):
    (tmp_path / "results.csv").write_bytes(content)
    assert write_matches(MATCHES[1:], None, tmp_path, plot=False) == []
    assert (tmp_path / "results.csv").read_text().splitlines() == [
        "rank,recording,path,start_time,end_time,similarity",
        "2,a,field/a.wav,0.500,1.000,0.900000",
    ]

from pathlib import Path

import numpy as np
import pytest

from lib.config import Infer
from lib.errors import EarshotError
from lib.occurrence import OccurrenceError
from lib.occurrence.filter import REASON_COLUMNS, OccurrenceFilter, occurrence_filter
from tests.audio.test_metadata import add_guano
from tests.recordings import noise, write

CLASSES = ["finch", "owl", "wren"]


@pytest.fixture
def provider(line, provider_of):
    return provider_of(
        [
            line("CA-ON-OT", "wren", {18: 0.5}, (-77, -75, 44, 46)),
            line("CA-ON-YO", "finch", {40: 0.1}, (-80, -79, 43, 44)),
            line("CA-QC-MO", "wren", {1: 0.5}, (-74, -73, 45, 46)),
        ]
    )


def kept(answer):
    return [name for name, factor in zip(CLASSES, answer[0], strict=True) if factor == 1]


def ask(chosen, recording, path=Path("nowhere.wav")):
    return chosen.factors(CLASSES, recording, path)


def test_classes_that_never_occur_at_the_place_are_dropped_and_unknown_ones_kept(provider):
    assert kept(ask(OccurrenceFilter(provider, "CA-ON-OT", None, None, None, 0.0), "a")) == ["owl", "wren"]
    assert kept(ask(OccurrenceFilter(provider, None, 43.5, -79.5, None, 0.0), "a")) == ["finch", "owl"]
    assert kept(ask(OccurrenceFilter(provider, "CA", None, None, None, 0.0), "a")) == CLASSES


@pytest.mark.parametrize(("week", "names"), [(17, ["owl", "wren"]), (18, ["owl", "wren"]), (20, ["owl"])])
def test_a_week_drops_what_does_not_occur_in_it_or_beside_it(provider, week, names):
    assert kept(ask(OccurrenceFilter(provider, "CA-ON-OT", None, None, week, 0.0), "a")) == names


def test_the_minimum_itself_is_too_little(provider):
    assert "wren" in kept(ask(OccurrenceFilter(provider, "CA-ON-OT", None, None, None, 0.49), "a"))
    assert "wren" not in kept(ask(OccurrenceFilter(provider, "CA-ON-OT", None, None, None, 0.5), "a"))


def test_the_season_can_come_from_the_name_of_the_recording(provider):
    chosen = OccurrenceFilter(provider, "CA-ON-OT", None, None, "date", 0.0)
    assert kept(ask(chosen, "SMM1_20240512_053000")) == ["owl", "wren"]
    assert kept(ask(chosen, "SMM1_20241012_053000")) == ["owl"]


def test_without_a_date_in_the_name_the_whole_year_counts_and_it_is_said(provider):
    chosen = OccurrenceFilter(provider, "CA-ON-OT", None, None, "date", 0.0)
    ask(chosen, "20240512")
    for name in ("first", "second"):
        factors, _, (problem,) = ask(chosen, name)
        assert kept((factors,)) == ["owl", "wren"]
        assert problem.subject == name and problem.reason.startswith("no date in its name") and not problem.lost


def test_a_class_that_is_not_in_the_table_is_reported_once(provider):
    chosen = OccurrenceFilter(provider, "CA", None, None, None, 0.0)
    _, _, (problem,) = ask(chosen, "first")
    assert problem.subject == "class owl" and not problem.lost
    assert ask(chosen, "second")[2] == []


@pytest.mark.parametrize("place", [("US", None, None), (None, 0.0, 0.0)])
def test_an_unknown_place_is_an_error_that_lists_known_codes(provider, place):
    with pytest.raises(OccurrenceError, match=r"known counties: CA-ON-OT, CA-ON-YO, CA-QC-MO$"):
        OccurrenceFilter(provider, *place, None, 0.0)


def test_a_place_without_occurrences_is_an_error(provider_of):
    with pytest.raises(OccurrenceError, match="region CA: no occurrences are configured"):
        OccurrenceFilter(provider_of([]), "CA", None, None, None, 0.0)


def test_settings_without_a_place_make_no_filter_and_need_no_pickle(tmp_path):
    assert occurrence_filter(Infer(), tmp_path / "missing.pkl") is None


@pytest.mark.parametrize("place", [{"region": "CA-ON-OT"}, {"latitude": 45.0, "longitude": -76.0}])
def test_settings_make_the_filter_that_they_describe(provider, tmp_path, place):
    chosen = occurrence_filter(Infer(**place, week=20, min_occurrence=0.1), tmp_path / "occurrences.pkl")
    assert kept(ask(chosen, "a")) == ["owl"]


def decisions(reasons):
    return {reason.name: reason.decision for reason in reasons}


def test_each_class_has_its_reason(provider):
    chosen = OccurrenceFilter(provider, "CA-ON-OT", None, None, 18, 0.1)
    factors, reasons, _ = ask(chosen, "a")
    assert factors.dtype == np.float32 and factors.tolist() == [0, 1, 1]
    assert REASON_COLUMNS == ["recording", "name", "decision", "value", "region", "week", "why"]
    assert [tuple(reason)[:6] for reason in reasons] == [
        ("a", "finch", "dropped", 0.0, "CA-ON-OT", 18),
        ("a", "owl", "kept", None, "CA-ON-OT", 18),
        ("a", "wren", "kept", 0.5, "CA-ON-OT", 18),
    ]
    assert [reason.why for reason in reasons] == [
        "occurrence 0 is not above 0.1 in CA-ON-OT (setting), week 18 (setting)",
        "not in the occurrence table",
        "occurrence 0.5 is above 0.1 in CA-ON-OT (setting), week 18 (setting)",
    ]


def test_scores_can_be_lowered_instead(provider):
    chosen = OccurrenceFilter(provider, "CA-ON-OT", None, None, None, 0.0, factor=0.25)
    factors, reasons, _ = ask(chosen, "a")
    assert factors.tolist() == [0.25, 1, 1] and decisions(reasons)["finch"] == "lowered"


def test_a_point_names_its_county(provider):
    _, reasons, _ = ask(OccurrenceFilter(provider, None, 43.5, -79.5, 40, 0.0), "a")
    assert reasons[0].region == "CA-ON-YO" and "CA-ON-YO (setting)" in reasons[0].why


def test_a_point_is_one_county_even_if_others_lie_below_its_code(line, provider_of):
    lines = [line("A", "wren", {1: 0.2}, (0, 1, 0, 1)), line("A-B", "wren", {1: 0.8}, (5, 6, 0, 1))]
    chosen = OccurrenceFilter(provider_of(lines), None, 0.5, 0.5, 1, 0.0)
    assert chosen.factors(["wren"], "a", Path("a.wav"))[1][0].value == 0.2


@pytest.fixture
def table_of(provider, tmp_path):
    """A function from the text of a recordings table and settings to the filter."""

    def make(text, **settings):
        (tmp_path / "recordings.csv").write_text(text)
        infer = Infer(recordings_table=str(tmp_path / "recordings.csv"), **settings)
        return occurrence_filter(infer, tmp_path / "occurrences.pkl")

    return make


TABLE = """recording,latitude,longitude,region,date
ottawa,45,-76,,
york.wav,,,CA-ON-YO,2024-10-25 05:30
autumn,,,,2024-10-25
ocean,0,0,,
elsewhere,,,US,
broken,north,-76,,soon
broken,1,1,,
"""


def test_recordings_of_a_table_have_their_own_place_and_date(table_of):
    chosen = table_of(TABLE, region="CA-QC-MO", week=1)
    answers = {name: ask(chosen, name, Path(f"{name}.wav"))[1] for name in ("ottawa", "york", "autumn", "other")}
    assert {name: (reasons[0].region, reasons[0].week) for name, reasons in answers.items()} == {
        "ottawa": ("CA-ON-OT", 1),
        "york": ("CA-ON-YO", 40),
        "autumn": ("CA-QC-MO", 40),
        "other": ("CA-QC-MO", 1),
    }
    assert decisions(answers["york"]) == {"finch": "kept", "owl": "kept", "wren": "dropped"}
    assert decisions(answers["other"]) == {"finch": "dropped", "owl": "kept", "wren": "kept"}
    assert "CA-ON-YO (table), week 40 (table)" in answers["york"][0].why


def test_faults_of_the_table_are_named_with_the_recording_and_its_classes_kept(table_of, tmp_path):
    chosen = table_of(TABLE)
    for name, fault in {
        "ocean": "latitude 0, longitude 0 (table) is in no county",
        "elsewhere": "no county is in region US",
        "other": "its place is not known",
    }.items():
        factors, reasons, (problem,) = ask(chosen, name)
        assert factors.tolist() == [1, 1, 1] and (problem.subject, problem.reason) == (name, fault)
        assert {reason.why for reason in reasons} == {"the place is not known"}
    problems = ask(chosen, "broken")[2]
    assert [(problem.subject.rpartition("/")[2], problem.reason) for problem in problems] == [
        ("recordings.csv:7", "latitude 'north' and longitude '-76' are not two numbers"),
        ("recordings.csv:7", "date = 'soon' is no date"),
        ("recordings.csv:8", "broken stands above already"),
        ("broken", "its place is not known"),
    ]


@pytest.mark.parametrize("text", ["", "name,region\na,CA\n", "recording,site\na,b\n"])
def test_a_table_that_says_nothing_is_an_error_of_one_line(table_of, text):
    with pytest.raises(EarshotError, match=r"recordings\.csv: ") as error:
        table_of(text)
    assert "\n" not in str(error.value)


@pytest.fixture
def guano(tmp_path):
    path = write(tmp_path / "x.wav", noise(0.1, 8000), 8000)
    return add_guano(path, "Timestamp: 2024-10-25T05:30:00\nLoc Position: 43.5 -79.5")


def test_a_recording_can_tell_its_own_place_and_date(provider, table_of, guano):
    for chosen in (
        OccurrenceFilter(provider, "guano", None, None, "date", 0.0),
        table_of("recording,region\n", week="date"),
    ):
        _, reasons, problems = ask(chosen, "x", guano)
        assert (reasons[0].region, reasons[0].week) == ("CA-ON-YO", 40)
        assert "CA-ON-YO (GUANO), week 40 (GUANO)" in reasons[0].why
        assert [problem.subject for problem in problems] == ["class owl"]
    _, reasons, _ = ask(OccurrenceFilter(provider, "CA-ON-OT", None, None, 18, 0.0), "x", guano)
    assert (reasons[0].region, reasons[0].week) == ("CA-ON-OT", 18)


def test_the_key_changes_with_what_the_answer_depends_on_and_not_otherwise(provider, tmp_path, table_of):
    pickle = tmp_path / "occurrences.pkl"

    def key(recording="ottawa", text=TABLE, **settings):
        return table_of(text, **settings).key(recording, Path(f"{recording}.wav"))

    one = key()
    assert one == key() == key(text=f"{TABLE}another,46,-76,,\n")
    others = [key(min_occurrence=0.1), key(occurrence_factor=0.5), key(region="CA"), key(week=3), key("autumn")]
    others.append(key(text=TABLE.replace("ottawa,45", "ottawa,45.5")))
    pickle.write_bytes(pickle.read_bytes().replace(b"County CA-ON-OT", b"County CA-ON-TO"))
    assert len({one, key(), *others}) == 8

import shutil
from pathlib import Path

import numpy as np
import pytest

from lib.config.schema import InferSettings
from lib.core import code_digest
from lib.core.errors import EarshotError
from lib.occurrence.occurrence_filter import OccurrenceFilter, Reason, occurrence_filter
from tests.recordings import add_guano, noise, write

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


@pytest.fixture
def filter_of(provider, tmp_path):
    """A function from settings, and the text of a recordings table, to the filter."""

    def make(text=None, **settings) -> OccurrenceFilter:
        if text is not None:
            (tmp_path / "recordings.csv").write_text(text)
            settings["recordings_table"] = str(tmp_path / "recordings.csv")
        return occurrence_filter(InferSettings(**settings), tmp_path / "occurrences.pkl")

    return make


def ask(chosen, recording="a", path=Path("nowhere.wav")):
    return chosen.factors(CLASSES, recording, path)


def kept(chosen, recording="a"):
    return [reason.name for reason in ask(chosen, recording)[1] if reason.decision == "kept"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"region": "CA-ON-OT"}, ["owl", "wren"]),
        ({"latitude": 43.5, "longitude": -79.5}, ["finch", "owl"]),
        ({"region": "CA"}, CLASSES),
        ({"region": "CA-ON-OT", "week": 17}, ["owl", "wren"]),
        ({"region": "CA-ON-OT", "week": 18}, ["owl", "wren"]),
        ({"region": "CA-ON-OT", "week": 20}, ["owl"]),
        ({"region": "CA-ON-OT", "min_occurrence": 0.49}, ["owl", "wren"]),
        ({"region": "CA-ON-OT", "min_occurrence": 0.5}, ["owl"]),
    ],
)
def test_classes_that_do_not_occur_there_and_then_are_dropped_and_unknown_ones_kept(filter_of, settings, names):
    assert kept(filter_of(**settings)) == names


def test_the_season_can_come_from_the_name_of_the_recording(filter_of):
    chosen = filter_of(region="CA-ON-OT", week="date")
    assert kept(chosen, "SMM1_20240512_053000") == ["owl", "wren"]
    assert kept(chosen, "SMM1_20241012_053000") == ["owl"]


def test_without_a_date_in_the_name_the_whole_year_counts_and_it_is_said(filter_of):
    chosen = filter_of(region="CA-ON-OT", week="date")
    assert kept(chosen, "first") == ["owl", "wren"]
    _, _, (problem,) = ask(chosen, "second")
    assert problem.subject == "second" and problem.fault.startswith("no date in its name") and not problem.lost


def test_a_class_that_is_not_in_the_table_is_reported_for_the_run_and_not_for_a_recording(filter_of):
    chosen = filter_of(region="CA")
    (problem,) = chosen.unknown_classes(CLASSES)
    assert problem.subject == "class owl" and not problem.lost
    assert ask(chosen)[2] == []


def test_the_answer_for_a_recording_does_not_depend_on_which_were_asked_about_before(filter_of):
    names = ["ottawa", "york", "ocean", "other"]

    def answers(order):
        chosen = filter_of(TABLE, week="date")
        factors = {name: ask(chosen, name, Path(f"{name}.wav")) for name in order}
        return [(factors[name][0].tolist(), *factors[name][1:]) for name in names]

    assert answers(names) == answers(reversed(names))


@pytest.mark.parametrize("place", [{"region": "US"}, {"latitude": 0.0, "longitude": 0.0}])
def test_an_unknown_place_is_an_error_that_lists_known_codes(filter_of, place):
    with pytest.raises(EarshotError, match=r"known counties: CA-ON-OT, CA-ON-YO, CA-QC-MO$"):
        filter_of(**place)


def test_a_place_without_occurrences_is_an_error(provider_of):
    with pytest.raises(EarshotError, match="region CA: no occurrences are configured"):
        OccurrenceFilter(provider_of([]), InferSettings(region="CA"))


def test_settings_without_a_place_make_no_filter_and_need_no_pickle(tmp_path):
    assert occurrence_filter(InferSettings(), tmp_path / "missing.pkl") is None


def test_each_class_has_its_reason(filter_of):
    factors, reasons, _ = ask(filter_of(region="CA-ON-OT", week=18, min_occurrence=0.1))
    assert factors.dtype == np.float32 and factors.tolist() == [0, 1, 1]
    where = "in CA-ON-OT (setting), week 18 (setting)"
    assert reasons == [
        Reason("a", "finch", "dropped", 0.0, "CA-ON-OT", 18, f"occurrence 0 is not above 0.1 {where}"),
        Reason("a", "owl", "kept", None, "CA-ON-OT", 18, "not in the occurrence table"),
        Reason("a", "wren", "kept", 0.5, "CA-ON-OT", 18, f"occurrence 0.5 is above 0.1 {where}"),
    ]


def test_scores_can_be_lowered_instead(filter_of):
    factors, reasons, _ = ask(filter_of(region="CA-ON-OT", occurrence_factor=0.25))
    assert factors.tolist() == [0.25, 1, 1] and reasons[0].decision == "lowered"


def test_a_point_is_one_county_even_if_others_lie_below_its_code(line, provider_of):
    lines = [line("A", "wren", {1: 0.2}, (0, 1, 0, 1)), line("A-B", "wren", {1: 0.8}, (5, 6, 0, 1))]
    chosen = OccurrenceFilter(provider_of(lines), InferSettings(latitude=0.5, longitude=0.5, week=1))
    reason = chosen.factors(["wren"], "a", Path("a.wav"))[1][0]
    assert (reason.value, reason.region) == (0.2, "A") and "A (setting)" in reason.why


TABLE = """recording,latitude,longitude,region,date
ottawa,45,-76,,
york.wav,,,CA-ON-YO,2024-10-25 05:30
autumn,,,,2024-10-25
ocean,0,0,,
elsewhere,,,US,
broken,north,-76,,soon
"""


def test_recordings_of_a_table_have_their_own_place_and_date(filter_of):
    chosen = filter_of(TABLE, region="CA-QC-MO", week=1)
    answers = {name: ask(chosen, name, Path(f"{name}.wav"))[1] for name in ("ottawa", "york", "autumn", "other")}
    assert {name: (reasons[0].region, reasons[0].week) for name, reasons in answers.items()} == {
        "ottawa": ("CA-ON-OT", 1),
        "york": ("CA-ON-YO", 40),
        "autumn": ("CA-QC-MO", 40),
        "other": ("CA-QC-MO", 1),
    }
    assert [reason.decision for reason in answers["york"]] == ["kept", "kept", "dropped"]
    assert [reason.decision for reason in answers["other"]] == ["dropped", "kept", "kept"]
    assert "CA-ON-YO (table), week 40 (table)" in answers["york"][0].why


@pytest.mark.parametrize(
    ("recording", "faults"),
    [
        ("ocean", ["latitude 0, longitude 0 (table) is in no county"]),
        ("elsewhere", ["no county is in region US"]),
        ("other", ["its place is not known"]),
        ("broken", ["latitude 'north' and longitude '-76' are not two numbers", "date = 'soon' is not a date",
                    "its place is not known"]),
    ],
)  # fmt: skip
def test_faults_of_the_table_are_named_with_the_recording_and_its_classes_kept(filter_of, recording, faults):
    factors, reasons, problems = ask(filter_of(TABLE), recording)
    assert factors.tolist() == [1, 1, 1] and {reason.why for reason in reasons} == {"the place is not known"}
    assert [problem.fault for problem in problems] == faults and problems[-1].subject == recording


def test_a_recording_can_tell_its_own_place_and_date(filter_of, tmp_path):
    path = write(tmp_path / "x.wav", noise(0.1, 8000), 8000)
    add_guano(path, "Timestamp: 2024-10-25T05:30:00\nLoc Position: 43.5 -79.5")
    for chosen in (filter_of(region="guano", week="date"), filter_of("recording,region\n", week="date")):
        _, reasons, problems = ask(chosen, "x", path)
        assert (reasons[0].region, reasons[0].week) == ("CA-ON-YO", 40)
        assert "CA-ON-YO (GUANO), week 40 (GUANO)" in reasons[0].why
        assert problems == []
    _, reasons, _ = ask(filter_of(region="CA-ON-OT", week=18), "x", path)
    assert (reasons[0].region, reasons[0].week) == ("CA-ON-OT", 18)


def test_the_key_changes_with_what_the_answer_depends_on_and_not_otherwise(filter_of, tmp_path):
    pickle = tmp_path / "occurrences.pkl"

    def key(recording="ottawa", text=TABLE, **settings):
        return filter_of(text, **settings).key(recording, Path(f"{recording}.wav"))

    one = key()
    assert one == key() == key(text=f"{TABLE}another,46,-76,,\n")
    others = [key(min_occurrence=0.1), key(occurrence_factor=0.5), key(region="CA"), key(week=3), key("autumn")]
    others.append(key(text=TABLE.replace("ottawa,45", "ottawa,45.5")))
    pickle.write_bytes(pickle.read_bytes().replace(b"County CA-ON-OT", b"County CA-ON-TO"))
    assert len({one, key(), *others}) == 8


@pytest.mark.parametrize(
    ("file", "before", "after", "is_new"),
    [
        ("occurrence_filter", "value <= least", "value < least", True),
        ("occurrence_pickle_provider", ".sum(axis=0)", ".max(axis=0)", True),
        ("season", "// 7, 3", "// 8, 3", True),
        ("recordings_table", "float(decimal_point(latitude))", "-float(decimal_point(latitude))", True),
        ("season", "Weeks of the occurrence calendar", "The weeks of a year", False),
    ],
)
def test_the_key_follows_the_code_that_computes(filter_of, tmp_path, monkeypatch, file, before, after, is_new):
    def key() -> str:
        code_digest._known_digest.cache_clear()
        code_digest._module.cache_clear()
        return filter_of(region="CA").key("a", Path("a.wav"))

    shutil.copytree(code_digest.PROJECT / "lib", tmp_path / "lib")
    monkeypatch.setattr(code_digest, "PROJECT", tmp_path)
    first, path = key(), tmp_path / f"lib/occurrence/{file}.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    assert (key() != first) == is_new
    code_digest._known_digest.cache_clear()
    code_digest._module.cache_clear()

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import EarshotError
from lib.occurrence.ebird import read_bar_chart
from lib.occurrence.occurrence_database import OccurrenceDatabase, write_database
from lib.occurrence.occurrence_pickle_provider import OccurrencePickleProvider
from lib.occurrence.occurrence_pickler import OccurrencePickler
from lib.occurrence.occurrence_provider import OccurrenceDataProvider
from lib.occurrence.occurrence_table import COLUMNS, read_occurrences

NAME = "ebird_{}__2000_2024_1_12_barchart.txt"
MONTHS = "\t" + "".join(f"{month:02}\t\t\t\t" for month in range(1, 13))


def row(name: str, values) -> str:
    return "\t".join([name, *map(str, values)]) + "\t"


def chart(*taxa: str, sizes=(10,) * 48) -> str:
    """A bar chart as eBird writes it, with a blank line between all others."""
    head = ["", "", "Frequency of observations in the selected location(s).:", f"Number of taxa: \t{len(taxa)}"]
    return "\n\n".join([*head, MONTHS, row("Sample Size:", map(float, sizes)), "", *taxa]) + "\n"


def year(**weeks: float) -> list[float]:
    return [weeks.get(f"w{week}", 0.0) for week in range(1, 49)]


WREN = row('House Wren (<em class="sci">Troglodytes aedon</em>)', year(w1="0.25", w48="9.132E-4"))
OWL = row("Eastern Screech-Owl", year(w2=1))


@pytest.fixture
def folder(tmp_path):
    """A function that writes files (name -> content) to a folder."""

    def make(files: dict[str, str]):
        (tmp_path / "occurrences").mkdir(exist_ok=True)
        for name, content in files.items():
            (tmp_path / "occurrences" / name).write_text(content, encoding="utf-8")
        return tmp_path / "occurrences"

    return make


def test_a_bar_chart_is_read_by_the_region_in_its_name(folder):
    path = folder({NAME.format("CA-ON-OT"): chart(WREN, OWL)})
    rows, problems = read_occurrences(path)
    assert problems == []
    assert [(one.county_code, one.county_name, one.class_name) for one in rows] == [
        ("CA-ON-OT", "CA-ON-OT", "Eastern Screech-Owl"),
        ("CA-ON-OT", "CA-ON-OT", "House Wren"),
    ]
    assert rows[1].weeks.tolist() == year(w1=0.25, w48=9.132e-4) and rows[1].box == (None,) * 4
    from_file, _ = read_occurrences(path / NAME.format("CA-ON-OT"))
    assert [one.class_name for one in from_file] == [one.class_name for one in rows]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ('Lincoln&#39;s Sparrow (<em class="sci">Melospiza lincolnii</em>)', "Lincoln's Sparrow"),
        ('Mallard (Domestic type) (<em class="sci">Anas (Domestic type)</em>)', "Mallard (Domestic type)"),
        ('goose sp. (<em class="sci">Anser/Branta sp.</em>)', "goose sp."),
        ('シジュウカラ (<em class="sci">Parus cinereus</em>)', "シジュウカラ"),
        ("  Bar-headed   Goose ", "Bar-headed Goose"),
    ],
)
def test_the_class_is_the_common_name(title, name):
    assert [taxon.name for taxon in read_bar_chart(chart(row(title, year())), "x")] == [name]


def test_boxes_come_from_counties_csv_or_from_a_table_beside(folder, line):
    header = ",".join(COLUMNS[:6])
    files = {NAME.format(code): chart(WREN) for code in ("CA-ON-OT", "CA-ON-YO", "CA-QC-MO")}
    files["counties.csv"] = f"{header}\nCA-ON-OT,Ottawa,-76.4,-75.2,44.9,45.6\nUS-1,Unused,0,1,0,1\nCA-ON-YO,,0,1,0,1\n"
    of_montreal = line("CA-QC-MO", "owl", {1: 0.5}, (-74, -73, 45, 46))
    files["table.csv"] = f"{','.join(COLUMNS)}\n{','.join(map(str, of_montreal))}\n"
    path = folder(files)
    rows, (problem,) = read_occurrences(path)
    assert {(one.county_code, one.county_name, one.box) for one in rows} == {
        ("CA-ON-OT", "Ottawa", (-76.4, -75.2, 44.9, 45.6)),
        ("CA-ON-YO", "CA-ON-YO", (None,) * 4),
        ("CA-QC-MO", "County CA-QC-MO", (-74.0, -73.0, 45.0, 46.0)),
    }
    assert (problem.subject, problem.fault) == (f"{path}/counties.csv:4", "county_name is empty")
    (single,), _ = read_occurrences(path / NAME.format("CA-ON-OT"))
    assert single.county_name == "Ottawa"


def test_a_county_without_a_box_is_found_by_its_code_only(folder, tmp_path):
    rows, _ = read_occurrences(folder({NAME.format("CA-ON-OT"): chart(WREN)}))
    write_database(rows, tmp_path / "o.db")
    OccurrencePickler(tmp_path / "o.db", tmp_path / "o.pkl").pickle(quiet=True)
    provider = OccurrencePickleProvider(tmp_path / "o.pkl")
    assert provider.occurrence_value("House Wren", False, "CA-ON", week_num=0) == (True, True, 0.25)
    assert provider.find_county(45.0, -76.0) is None and provider.find_counties("CA")[0].min_x is None
    with OccurrenceDatabase(tmp_path / "o.db") as database:
        slow = OccurrenceDataProvider(database)
        assert slow.average_occurrences("CA", "House Wren")[0] == 0.25
        with pytest.raises(EarshotError, match="county CA-ON-OT: has no box"):
            slow.average_occurrences("CA", "House Wren", area_weight=True)


def test_weeks_without_a_checklist_are_filled_from_those_beside_them():
    sizes = [0, 5, 5, 0, 0, 0, *[5] * 41, 0]
    (owl,) = read_bar_chart(chart(row("owl", year(w2=0.6, w3=0.2, w7=1.0, w47=0.3)), sizes=sizes), "x")
    assert owl.weeks()[[47, 0, 1, 2, 3, 4, 5, 6]] == pytest.approx([0.4, 0.5, 0.6, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_faults_of_a_row_are_named_with_its_line_and_the_rest_is_used(folder):
    faulty = {"short": year()[:-1], "often": year(w3="often"), "high": year(w3=1.5), "none": year(w3="nan")}
    rows = [row(name, values) for name, values in faulty.items()]
    path = folder({NAME.format("CA"): chart(*rows, WREN, WREN).replace("\n", "\r\n")})
    rows, problems = read_occurrences(path)
    assert [one.class_name for one in rows] == ["House Wren"]
    lines = [int(problem.subject.rpartition(":")[2]) for problem in problems]
    assert lines == [lines[0] + 2 * k for k in (0, 1, 2, 3, 5)]
    assert [problem.fault.split(", in ")[0] for problem in problems] == [
        "has 47 values instead of 48",
        "could not convert string to float: 'often'",
        "1.5 is not within 0..1",
        "a value is not a number from 0 on",
        "House Wren in CA was given before",
    ]


def test_a_second_bar_chart_of_a_region_is_left_out_in_one_line(folder):
    first, second = NAME.format("CA"), NAME.format("CA").replace("2000", "2010")
    path = folder({first: chart(WREN), second: chart(OWL, WREN), NAME.format("US"): chart(WREN)})
    rows, (problem,) = read_occurrences(path)
    assert [(row.county_code, row.class_name) for row in rows] == [("CA", "House Wren"), ("US", "House Wren")]
    assert problem.subject == str(path / second) and first in problem.fault


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("barchart.txt", chart(WREN), "the name tells no region"),
        (NAME.format("CA"), "a text\n", "has no row 'Sample Size:'"),
        (NAME.format("CA"), chart(WREN, sizes=(10,) * 24), "has 24 values instead of 48"),
        (NAME.format("CA"), chart(WREN, sizes=(0,) * 48), "no checklist in any week"),
    ],
)
def test_a_file_that_is_no_bar_chart_of_a_region_is_an_error_of_one_line(folder, name, content, fault):
    with pytest.raises(EarshotError, match=f"barchart.txt.*{fault}") as error:
        read_occurrences(folder({name: content}))
    assert "\n" not in str(error.value)


TAXA = st.dictionaries(
    st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="<&"), min_size=1, max_size=9),
    st.lists(st.floats(0, 1), min_size=48, max_size=48),
    max_size=4,
)


@given(TAXA, st.booleans())
def test_what_is_written_is_read_back(taxa, scientific):
    title = '{} (<em class="sci">Genus species</em>)' if scientific else "{}"
    content = chart(*(row(title.format(name), map(repr, values)) for name, values in taxa.items()))
    assert {taxon.name: taxon.weeks().tolist() for taxon in read_bar_chart(content, "x")} == taxa

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.sound.scenario_tables import Scenario, ScenarioStretch, read_scenario_files, scenario_path, write_scenario

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
TIMES = st.sampled_from([0.0, 0.25, 3.0, 59.5, 86398.125])
STRETCHES = st.builds(
    lambda name, start, length, label: ScenarioStretch(name, start, start + length, label),
    st.sampled_from(["r1", "=cmd()", "a,b", 'q"']),
    TIMES,
    st.sampled_from([0.5, 3.0, float("inf")]),
    st.sampled_from(["", "Wren", "<img onerror=x>"]),
)


@given(NAMES, st.sets(STRETCHES, min_size=1, max_size=5), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_scenario_is_read_as_it_was_written_whatever_its_name(tmp_path, name, stretches, is_regression):
    written = Scenario(name, tuple(sorted(stretches)), is_regression)
    write_scenario(tmp_path, written)
    path = scenario_path(tmp_path, name)
    assert path.parent == tmp_path and path.is_file()
    assert read_scenario_files(tmp_path) == ([written], [])
    path.unlink()


def test_what_is_unusable_is_named_and_the_rest_is_read(tmp_path):
    rows = ["r1,0,3,,scenario", "r1,3,3,,scenario", "r1,x,3,,scenario", "r1,0,3,,wish"]
    (tmp_path / "mine.csv").write_text("\n".join(["recording,start_time,end_time,class,kind", *rows]))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    scenarios, problems = read_scenario_files(tmp_path)
    assert scenarios == [Scenario("mine", (ScenarioStretch("r1", 0.0, 3.0, ""),), False)]
    subjects = [problem.subject.rpartition("/")[2] for problem in problems]
    assert subjects == ["mine.csv:3", "mine.csv:4", "mine.csv:5", "other.csv"]
    assert read_scenario_files(tmp_path / "none") == ([], [])

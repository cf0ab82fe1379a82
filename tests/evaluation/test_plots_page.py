from pathlib import Path

from dvc_render.vega_templates import TEMPLATES

from lib.evaluation.plots_page import SCRIPT, VEGA_LITE, ensure_script

PROJECT = Path(__file__).parents[2]


def test_the_page_of_plots_loads_the_script_that_evaluate_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    page = (PROJECT / ".dvc/plots.html").read_text(encoding="utf-8")
    assert f'<script src="../{SCRIPT}">' in page  # the page lies in dvc_plots
    assert "{plot_divs}" in page and "{refresh_tag}" in page
    assert "html_template = plots.html" in (PROJECT / ".dvc/config").read_text()
    assert ensure_script() == [] and "vegaEmbed" in (tmp_path / SCRIPT).read_text(encoding="utf-8")


def test_the_script_draws_what_dvc_writes():
    schemas = {
        template.DEFAULT_CONTENT["$schema"] for template in TEMPLATES if isinstance(template.DEFAULT_CONTENT, dict)
    }
    assert {schema.rpartition("/v")[2].split(".")[0] for schema in schemas} == {VEGA_LITE.split(".")[0]}


def test_a_page_that_cannot_be_written_costs_the_evaluation_nothing_but_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / ".cache").write_text("a file")
    (problem,) = ensure_script()
    assert ".cache" in str(problem) and not problem.lost

from pathlib import Path
from typing import Annotated, Literal

import pytest
from dvc.utils.serialize import modify_yaml
from pydantic import Field

from lib.config.documentation import params_text, settings_help, type_text
from lib.config.load import load_settings
from lib.config.schema import Section, Settings
from lib.formats import WRITERS

PARAMS = Path(__file__).parents[2] / "params.yaml"


def sections(model: type[Section], path: str = ""):
    yield path, model
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from sections(field.annotation, f"{path}.{name}")


def test_params_yaml_is_what_the_schema_says_with_its_values():
    """After a change of the schema: python -m lib.config.documentation > params.yaml."""
    assert PARAMS.read_text(encoding="utf-8") == params_text(load_settings(PARAMS))


def test_the_defaults_are_those_of_params_yaml():
    assert load_settings(PARAMS) == Settings()


def test_params_yaml_stays_as_it_is_when_dvc_sets_a_value(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text(encoding="utf-8"), encoding="utf-8")
    with modify_yaml(path) as content:
        content["train"]["epochs"] = 33
    before, after = (file.read_text(encoding="utf-8").splitlines() for file in (PARAMS, path))
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        "  epochs: 33 # passes over the data"
    ]


@pytest.mark.parametrize(("path", "model"), list(sections(Settings)))
def test_every_setting_has_a_description(path, model):
    if path:  # the top of the file names sections, which speak for themselves
        assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Annotated[int, Field(ge=1)], "whole number from 1"),
        (Annotated[float, Field(gt=0, lt=1)] | None, "number above 0 below 1, or empty"),
        (Annotated[int, Field(ge=1, le=48)] | Literal["date"] | None, "whole number from 1 to 48, or date, or empty"),
        (list[Annotated[float, Field(ge=0)]], "list of numbers from 0"),
        (bool, "true or false"),
    ],
)
def test_types_are_told_in_words(annotation, text):
    assert type_text(annotation) == text


def test_a_setting_that_names_a_part_lists_all_that_are_registered():
    meanings = dict(settings_help("infer", Settings()))
    assert meanings["--formats (list of texts; default: audacity)"] == f"of the label files: {', '.join(WRITERS)}"


def test_choices_are_listed_once():
    flags = [flag for section in ("audio", "infer", "train", "tune") for flag, _ in settings_help(section, Settings())]
    assert {"--freq_scale (one of these; default: mel)", "--metric (one of these; default: macro_pr)"} <= set(flags)

from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
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
    assert yaml.safe_load(params_text(Settings())) == Settings().model_dump()


@pytest.mark.parametrize(("path", "model"), list(sections(Settings)))
def test_every_setting_has_a_description(path, model):
    if path:  # the top of the file names sections, which speak for themselves
        assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Annotated[int, Field(ge=1)], "whole number from 1"),
        (Annotated[float, Field(gt=0, lt=1)] | None, "number above 0 below 1, or null"),
        (Annotated[int, Field(ge=1, le=48)] | Literal["date"] | None, "whole number from 1 to 48, or date, or null"),
        (list[Annotated[float, Field(ge=0)]], "list of numbers from 0"),
        (bool, "true or false"),
    ],
)
def test_types_are_told_in_words(annotation, text):
    assert type_text(annotation) == text


def test_a_setting_that_names_a_part_lists_all_that_are_registered():
    line = next(line for line in settings_help("infer").splitlines() if "csv" in line and "audacity" in line)
    assert line.strip() == f"of label files: {', '.join(WRITERS)}"

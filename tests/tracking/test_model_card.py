import json

import pytest

from lib.config.schema import InferSettings
from lib.core.errors import SettingsError
from lib.models.description import Calibration
from lib.tracking.registry.model_card import (
    LONGEST,
    NOT_GIVEN,
    CardInputs,
    ModelCard,
    Provenance,
    make_card,
    read_card_inputs,
    write_card,
)
from tests.models.builders import describe
from tests.training_data.builders import AUDIO

PEOPLE = """
license: CC-BY-4.0
contact: frogs@example.org
intended_use: frogs at ponds
taxonomy: eBird 2024
calibrated_on: the nights of May
training_data: {source: our own, license: CC0, region: Queensland}
"""
INFER = InferSettings(overlap=0.25, min_score=0.6)
FIGURES = {"macro_pr": 0.8, "macro_pr_low": 0.7, "macro_pr_high": 0.9, "f1": 0.5, "n_recordings": 3}


def card(details: CardInputs | None = None, descriptions=None, **changes) -> ModelCard:
    known = {"experiment": "loud-owl", "data": {"data/train": "1" * 32 + ".dir"}, "commit": "c0ffee"} | changes
    origin = Provenance(details or CardInputs(), **known)
    return make_card("frogs", descriptions or [describe(AUDIO)], INFER, FIGURES, {"model.pt": "ab" * 32}, origin)


def test_a_card_says_what_the_pipeline_and_people_know(tmp_path):
    (tmp_path / "model_card.yaml").write_text(PEOPLE)
    description = describe(AUDIO, calibration=Calibration(coefficient=1.5, intercept=-0.2, thresholds={"b": 0.3}))
    made = card(read_card_inputs(tmp_path / "model_card.yaml"), [description])
    text = made.markdown()
    for part in (
        "# frogs",
        "- license: CC-BY-4.0",
        "- contact: frogs@example.org",
        "- intended use: frogs at ponds",
        "- experiment: loud-owl",
        "| macro PR-AUC | 0.800 | 0.700 to 0.900 |",
        f"- sampling rate: {AUDIO.sampling_rate} Hz",
        f"- window: {AUDIO.spec_duration:g} s, one each {AUDIO.spec_duration - 0.25:g} s",
        "- frontend: mel",
        "1 at the loudest point of the window",
        "- meaning: probability in 0..1: a sigmoid",
        "- calibration: Platt scaling, coefficient 1.5, intercept -0.2",
        "- calibrated on: the nights of May",
        "- ONNX output `scores`: score in 0..1",
        "- ONNX output `embeddings`:",
        "- region: Queensland",
        "- code: commit c0ffee",
        f"- data `data/train`: md5 {'1' * 32}.dir",
        f"- weights `model.pt`: SHA-256 {'ab' * 32}",
        "- taxonomy: eBird 2024",
        "| a | A |  |  | 0.6 |",
        "| b | B |  |  | 0.3 |",
    ):
        assert part in text, part


def test_what_nobody_gave_is_said_to_be_missing(tmp_path):
    text = card(read_card_inputs(tmp_path / "none.yaml"), data={}, commit="").markdown()
    for name in ("license", "contact", "intended use", "taxonomy", "region", "data", "code"):
        assert f"- {name}: {NOT_GIVEN}" in text
    assert "calibration: none; scores are not calibrated probabilities" in text and "calibrated on" not in text


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("licence: x", "model_card.yaml: licence = 'x': unknown key; did you mean license?"),
        ("training_data: {regoin: x}", "training_data.regoin = 'x': unknown key; did you mean region?"),
        ("license: [a]", "license = .*must be a valid string"),
        ("- a", "must be a mapping|a valid dictionary"),
        ("license: [", "cannot be read"),
    ],
)
def test_a_faulty_file_of_people_is_one_clear_line(tmp_path, content, fault):
    (tmp_path / "model_card.yaml").write_text(content)
    with pytest.raises(SettingsError, match=fault) as raised:
        read_card_inputs(tmp_path / "model_card.yaml")
    assert "\n" not in str(raised.value)


def test_an_empty_file_says_nothing(tmp_path):
    (tmp_path / "model_card.yaml").write_text("# to be written\n")
    assert read_card_inputs(tmp_path / "model_card.yaml") == CardInputs()


def test_a_card_is_written_for_people_and_for_programs(tmp_path):
    made = card()
    write_card(tmp_path, made)
    assert (tmp_path / "model_card.md").read_text() == made.markdown() + "\n"
    assert ModelCard.model_validate(json.loads((tmp_path / "model_card.json").read_text())) == made


def test_a_card_of_many_classes_fits_into_the_registry():
    names = [f"species number {i}" for i in range(2000)]
    made = card(descriptions=[describe(AUDIO, names)])
    short = made.markdown(LONGEST)
    assert len(short) <= LONGEST < len(made.markdown()) and "species number 0 " in short
    shown = short.count("| species number")
    assert short.endswith(f"and {2000 - shown:,} classes more") and shown > 10
    assert card().markdown(LONGEST) == card().markdown()


def test_the_tags_of_a_card_can_be_searched_for(tmp_path):
    (tmp_path / "model_card.yaml").write_text(PEOPLE)
    tags = card(read_card_inputs(tmp_path / "model_card.yaml")).tags()
    assert tags["earshot.card.license"] == "CC-BY-4.0" and tags["earshot.card.training_data.region"] == "Queensland"
    assert tags["earshot.card.sampling_rate"] == str(AUDIO.sampling_rate) and tags["earshot.card.n_classes"] == "3"
    assert tags["earshot.card.test.macro_pr"] == "0.8000 (0.700 to 0.900)" and tags["earshot.card.test.f1"] == "0.5000"
    assert tags["earshot.card.data.data/train"] == "1" * 32 + ".dir"
    assert "earshot.card.citation" not in tags

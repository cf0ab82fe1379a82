"""The tables of Lumen's names, against the settings and, where it is at hand, against Lumen's documentation."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lib.config.load import load_settings
from lib.config.load import setting as setting_of
from lib.config.lumen_names import AUGMENTATION_SETTINGS, COMMANDS, ENUMERATIONS, FLAGS, PAGE, page_lines
from lib.config.schema import TrainSettings
from lib.formats import READERS
from lib.models.backbone_options import BackboneOptions
from lib.models.backbones import make_backbone
from lib.server.app import make_app
from lib.training.optimizer import make_optimizer

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT.parent / "shared/reference/lumen-technical-documentation.txt"
NULLABLE = {"train.backbone_after", "train.load_checkpoint"}
VALUES = [(value.setting, value.value) for values in ENUMERATIONS.values() for value in values if value.setting]


@pytest.fixture(scope="module")
def document() -> str:
    if not DOCUMENT.is_file():
        pytest.skip("Lumen's technical documentation is not here")
    return DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize(("setting", "value"), VALUES)
def test_every_value_is_accepted_by_its_setting(setting, value):
    accepted = setting_of(load_settings(ROOT / "params.yaml", {setting: value}), setting)
    assert (f"[{accepted[0].name}]" if isinstance(accepted, list) else accepted) == value


@pytest.mark.parametrize("name", [value.value for value in ENUMERATIONS["SupportedModels"]])
def test_every_model_can_be_made(name):
    with torch.device("meta"):
        assert make_backbone(name, BackboneOptions()).num_features > 0


@pytest.mark.parametrize("name", [value.value for value in ENUMERATIONS["SupportedOptimizer"]])
def test_every_optimizer_can_be_made(name):
    assert make_optimizer(torch.nn.Linear(2, 2), TrainSettings(optimizer=name)).param_groups


def test_settings_that_flags_stand_for_exist():
    listed = {"train.augmentations": "[time_stretch,freq_mask,sum_n_samples]"}
    settings = load_settings(ROOT / "params.yaml", listed)
    here = [flag.here for flags in (*FLAGS.values(), AUGMENTATION_SETTINGS) for flag in flags]
    named = {name for text in here for name in re.findall(r"`(\w+\.[\w.]+)", text) if not name.startswith("stages.")}
    assert len(named) > 20
    for name in named - NULLABLE:
        assert setting_of(settings, name) is not None, name
    for name in NULLABLE:
        assert name.split(".")[1] in type(settings.train).model_fields


@pytest.mark.parametrize("command", [each.here for each in COMMANDS if each.here.startswith(("dvc exp run", "python"))])
def test_commands_are_understood(command):
    words = shlex.split(command)
    if words[0] == "dvc":
        changes = dict(word.split("=", 1) for flag, word in itertools.pairwise(words) if flag == "-S")
        load_settings(ROOT / "params.yaml", changes)
    elif words[0] == "python":
        command = [sys.executable, *words[1:], "--params", "missing.yaml"]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert told.stderr.startswith("error: missing.yaml: no such file"), told.stderr


def test_the_server_has_the_addresses_of_the_commands(tmp_path):
    folders = {"serve.model_dir": str(tmp_path), "serve.data_dir": str(tmp_path)}
    paths = make_app(load_settings(ROOT / "params.yaml", folders)).openapi()["paths"]
    told = [re.search(r"localhost:8090([^?' ]*)", each.here)[1] for each in COMMANDS if each.here.startswith("curl")]
    assert len(told) == 4 and set(told) <= set(paths)
    posted = [json.loads(each.here.split("'")[1]) for each in COMMANDS if "--json" in each.here]
    assert posted[1][0].keys() == {"dataset_type", "dataset_path"} and posted[1][0]["dataset_type"] in READERS


def test_the_page_is_what_the_tables_say():
    """After a change of the tables: python -m lib.config.lumen_names."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == "\n".join(page_lines()) + "\n"


def test_every_value_of_the_document_is_in_the_tables(document):
    """The document breaks lines, and lost some underscores."""
    found = document[document.index("AudioTransforms:") : document.index("Recommanded models")]
    told = re.split(r"(\w+): ", found.replace("`", " "))[1:]
    for name, listed in zip(told[::2], told[1::2], strict=True):
        wanted = {re.sub(r"\s+", "_", value.strip()) for value in re.split(r"[,\n]", listed) if value.strip()}
        assert wanted == {value.theirs for value in ENUMERATIONS[name]}, name


def test_every_flag_of_the_document_is_in_the_tables(document):
    known = {flag.theirs for flags in FLAGS.values() for flag in flags}
    not_of_lumen = {"--ho-t-reload", "--logdir", "--name", "--help"}  # misread, TensorBoard's, Conda's, every program's
    found = set(re.findall(r"(?<![\w-])--[a-zA-Z][\w-]+", document[document.index("Dataset setup") :]))
    assert found - known - not_of_lumen == set()


def test_every_key_of_an_augmentation_that_the_document_names_is_in_the_table(document):
    example = document[document.index("e.g. --aug-kwargs") :].splitlines()[0]
    assert re.findall(r"(\w+)=", example) == [flag.theirs for flag in AUGMENTATION_SETTINGS]

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.config.schema import Parameter, Settings
from lib.core.errors import SettingsError
from lib.tuning import search_space as space_module
from lib.tuning.search_space import plan, read_space, sections_of, setting_key, values_of, with_values


def numbers(name, kind, low, high, step):
    return {"name": name, "type": kind, "bounds": [low, high], "step": step}


def test_numbers_go_from_bound_to_bound_both_included_without_rounding_errors():
    assert values_of(Parameter(**numbers("dropout", "float", 0.1, 0.3, 0.1))) == [0.1, 0.2, 0.3]
    assert values_of(Parameter(**numbers("dropout", "float", 0.0, 0.25, 0.1))) == [0.0, 0.1, 0.2]
    assert values_of(Parameter(**numbers("epochs", "int", 2, 7, 2))) == [2, 4, 6]
    assert [type(value) for value in values_of(Parameter(**numbers("epochs", "int", 2, 3, 1)))] == [int, int]
    assert values_of(Parameter(name="head", choices=["pool", "sed"])) == ["pool", "sed"]


def test_int_parameter_with_a_step_between_whole_numbers_is_refused():
    with pytest.raises(SettingsError, match=r"epochs is of type int; give whole bounds and step"):
        values_of(Parameter(**numbers("epochs", "int", 1, 3, 0.5)))


def test_names_without_a_section_are_looked_for_in_train_then_audio_then_infer():
    assert setting_key("batch_size") == "train.batch_size"
    assert setting_key("hop_length") == "audio.hop_length"
    assert setting_key("overlap") == "infer.overlap"
    assert setting_key("extract.overlap") == "extract.overlap"
    assert setting_key("augmentations.pitch.semitones") == "train.augmentations.pitch.semitones"
    assert sections_of(read_space([{"name": "overlap", "choices": [0.0]}, {"name": "seed", "choices": [1]}])) == {
        "infer",
        "train",
    }


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"name": "lerning_rate", "choices": [1]}], "lerning_rate is not a setting that can be tuned"),
        ([{"name": "tune.runs", "choices": [1]}], "tune.runs is not a setting that can be tuned"),
        ([{"name": "mixup", "choices": [1]}], r"mixup is now train\.augmentations\.mixup\.probability"),
        ([{"name": "augmentations.pich.semitones", "choices": [1]}], "'pich': must be one of .*; did you mean pitch"),
        ([{"name": "dropout", "choices": []}], "tune.space.0: dropout: give choices"),
        (
            [{"name": "dropout", "type": "float", "bounds": [0.3, 0.1], "step": 0.1}],
            "bounds must be",
        ),
        (
            [{"name": "dropout", "type": "decimal", "choices": [1]}],
            "tune.space.0.type = 'decimal': must be 'categorical', 'int' or 'float'",
        ),
        ([{"name": "dropout", "choices": [0.1]}, {"name": "train.dropout", "choices": [0.2]}], "is given twice"),
        (["dropout"], "tune.space.0 = 'dropout': must be a mapping of name, type"),
        ([{"name": "dropout", "choice": [1]}], r"tune.space.0.choice = \[1\]: unknown key; did you mean choices\?"),
        ([{"name": "dropout", "type": "float", "bounds": [0.1], "step": 0.1}], r"give bounds, \[lowest, highest\]"),
    ],
)
def test_faulty_entries_are_one_clear_line(entries, message):
    with pytest.raises(SettingsError, match=message) as caught:
        read_space(entries)
    assert "\n" not in str(caught.value)


def test_exhaustive_plan_holds_all_combinations_the_last_parameter_fastest():
    space = read_space([{"name": "head", "choices": ["pool", "sed"]}, numbers("epochs", "int", 1, 2, 1)])
    combinations, problems = plan(space, 0, "study", Settings())
    assert combinations == [
        {"head": "pool", "epochs": 1},
        {"head": "pool", "epochs": 2},
        {"head": "sed", "epochs": 1},
        {"head": "sed", "epochs": 2},
    ]
    assert problems == []
    assert plan(space, 4, "study", Settings())[0] == plan(space, 9, "study", Settings())[0] == combinations
    assert plan(read_space(None), 0, "study", Settings()) == ([{}], [])  # one trial of the settings as they are


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    trials=st.integers(1, 30),
    seed=st.text(max_size=5),
)
def test_random_plan_has_no_repeats_and_a_longer_one_begins_with_it(sizes, trials, seed):
    names = ["epochs", "augmentations.freq_mask.masks", "audio.spec_height"]
    space = [Parameter(name=name, choices=list(range(8, 8 + size))) for name, size in zip(names, sizes, strict=False)]
    combinations, _ = plan(space, trials, seed, Settings())
    total = math.prod(sizes)
    assert len(combinations) == len({tuple(values.values()) for values in combinations}) == min(trials, total)
    longer, _ = plan(space, trials + 1, seed, Settings())
    if trials + 1 < total:
        assert longer[:trials] == combinations


def test_random_plan_of_a_huge_space_is_made_at_once():
    names = ("epochs", "augmentations.freq_mask.masks", "head_epochs", "epoch_windows")
    space = [Parameter(name=name, choices=list(range(1, 1001))) for name in names]
    assert len(plan(space, 5, "study", Settings())[0]) == 5


def test_combinations_that_the_settings_refuse_are_left_out_and_told_of():
    space = read_space([{"name": "win_length", "choices": [256, 512]}, {"name": "hop_length", "choices": [200, 400]}])
    combinations, (problem,) = plan(space, 0, "study", Settings())
    assert {"win_length": 256, "hop_length": 400} not in combinations
    assert len(combinations) == 3
    assert "1 combinations are left out" in str(problem)
    assert "must be at most audio.win_length (256 samples)" in str(problem)
    assert len(plan(space, 3, "study", Settings())[0]) == 3
    with pytest.raises(SettingsError, match=r"dropout = 2: train\.dropout = 2: must be less than 1"):
        plan(read_space([{"name": "dropout", "choices": [2, 3]}]), 0, "study", Settings())


def test_values_that_do_not_fit_together_are_told_by_their_keys():
    with pytest.raises(SettingsError, match=r"^tune\.space: overlap = 5\.0: infer\.overlap = 5: must be below [^:]*$"):
        with_values(Settings(), {"overlap": 5.0})
    with pytest.raises(SettingsError, match=r"^tune\.space: latitude = 5\.0: infer: latitude and longitude [^:]*$"):
        with_values(Settings(), {"latitude": 5.0})


def test_exhaustive_plan_goes_on_however_many_combinations_are_refused(monkeypatch):
    monkeypatch.setattr(space_module, "DRAWS", 2)
    space = read_space([{"name": "dropout", "choices": [*range(2, 12), 0.5]}])
    assert plan(space, 0, "study", Settings())[0] == [{"dropout": 0.5}]


def test_values_may_be_tuples_ranges_and_arrays_and_count_once():
    space = read_space(
        (
            {"name": "epochs", "choices": range(1, 3)},
            {"name": "train.augmentations.mixup.probability", "choices": np.array([0.0, 0.5, 0.5])},
            {"name": "initial_offsets", "choices": (None, (0.0, 1.0), None, [0.0, 1.0])},
            {"name": "dropout", "type": "float", "bounds": (0.0, np.float64(0.2)), "step": np.float64(0.1)},
            Parameter(name="augmentations.freq_mask.masks", choices=np.arange(2)),
        )
    )
    assert [values_of(parameter) for parameter in space[:3]] == [[1, 2], [0.0, 0.5], [None, [0.0, 1.0]]]
    assert values_of(space[3]) == pytest.approx([0.0, 0.1, 0.2])
    assert values_of(space[4]) == [0, 1] and type(values_of(space[4])[0]) is int
    assert len(plan(space, 0, "study", Settings())[0]) == 2 * 2 * 2 * 3 * 2


def test_values_take_their_places_in_a_copy_of_the_settings():
    settings = Settings()
    changed = with_values(settings, {"dropout": 0.4, "infer.overlap": 0.0, "initial_offsets": [0.0, 1.0]})
    assert (changed.train.dropout, changed.infer.overlap, changed.infer.initial_offsets) == (0.4, 0.0, [0.0, 1.0])
    assert settings == Settings()

from lib.tracking.run_description import description


def lines(now, before):
    return [line for line in description({}, now, before, "first").splitlines() if line.startswith("- ")]


def test_what_differs_is_told_and_of_lists_what_they_have_or_lack():
    before = {
        "train.epochs": "3",
        "train.augmentations": "time_shift, mixup, background_mix, gain, freq_mask, time_mask",
    }
    now = before | {
        "train.epochs": "5",
        "train.augmentations": "time_shift, background_mix, gain, freq_mask, time_mask, pitch",
    }
    assert lines(now, before) == ["- train.augmentations: with pitch, without mixup", "- train.epochs: 3 → 5"]


def test_lists_in_another_order_differ():
    assert lines({"a": "x, y"}, {"a": "y, x"}) == ["- a: in the order x, y"]


def test_long_values_that_differ_at_their_end_differ():
    assert len(lines({"a": 70 * "x" + "y"}, {"a": 70 * "x" + "z"})) == 1

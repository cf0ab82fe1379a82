import numpy as np
import pytest

from lib.results.predictions import Prediction, fault_of
from lib.sound.classes import ClassList

CLASSES = ClassList([{"name": "Moor Frog", "code": "MOFR"}, {"name": "Common Toad"}])
GOOD = Prediction("Moor Frog", "dawn", 0.0, 1.5, 0.9)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"label": "MOFR"},
        {"start_time": 0, "end_time": np.float32(2), "confidence": 1},
        {"annotation_id": "call 7 \N{DEGREE SIGN}", "low_freq": 0, "high_freq": 1200.5},
        {"low_freq": 300.0},
        {"class_pdf": {"Moor Frog": 0.9, "a class that is not in the run": 0.1}, "metadata": {"a": [1, None, "b"]}},
        {"class_pdf": {}, "metadata": {}},
    ],
)
def test_valid_predictions_have_no_fault(values):
    assert fault_of(GOOD._replace(**values), CLASSES, {"dawn"}) == ""


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"label": "Wren"}, "label 'Wren' is not a class of the model run"),
        ({"label": None}, "label None is not a class"),
        ({"reference_id": "dusk"}, "reference_id 'dusk' is not a readable recording of the data set"),
        ({"reference_id": 3}, "reference_id 3 is not a readable recording"),
        ({"start_time": 1.5}, "times 1.5 to 1.5 must be seconds"),
        ({"start_time": -0.1}, "times -0.1 to 1.5 must be seconds"),
        ({"end_time": float("inf")}, "times 0.0 to inf must be seconds"),
        ({"end_time": 10**400}, "must be seconds"),
        ({"start_time": "0"}, "times '0' to 1.5 must be seconds"),
        ({"confidence": 1.01}, "confidence 1.01 must be within 0..1"),
        ({"confidence": float("nan")}, "confidence nan must be within 0..1"),
        ({"confidence": True}, "confidence True must be within 0..1"),
        ({"annotation_id": ""}, "annotation_id '' must be a text"),
        ({"annotation_id": 7}, "annotation_id 7 must be a text"),
        ({"annotation_id": "a\x00b"}, "must not hold control characters or invalid Unicode"),
        ({"annotation_id": "\ud800"}, "must not hold control characters or invalid Unicode"),
        ({"low_freq": -1.0}, "frequencies -1.0 to None must be Hz"),
        ({"low_freq": 900.0, "high_freq": 900.0}, "low_freq 900.0 must be below high_freq 900.0"),
        ({"class_pdf": {"Moor Frog": 1.5}}, "must give a probability, 0..1, for each class name"),
        ({"class_pdf": [0.5, 0.5]}, "must give a probability, 0..1, for each class name"),
        ({"metadata": {"a": {1, 2}}}, "metadata must be a mapping that JSON can hold"),
        ({"metadata": {"a": float("nan")}}, "metadata must be a mapping that JSON can hold"),
        ({"metadata": "text"}, "metadata must be a mapping that JSON can hold"),
    ],
)
def test_a_fault_is_one_line_that_names_the_field(values, fault):
    found = fault_of(GOOD._replace(**values), CLASSES, {"dawn"})
    assert fault in found and "\n" not in found


def test_only_a_prediction_is_accepted():
    assert fault_of(("Moor Frog", "dawn"), CLASSES, {"dawn"}) == "is a tuple, not a Prediction"

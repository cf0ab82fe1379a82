from lib.training.state import CODE
from tests.code import PROJECT, reached


def test_training_is_done_anew_for_a_change_of_any_code_that_it_uses_and_of_no_other():
    aside = {"lib/training/lr_finder.py"}  # Trainer has it besides
    assert {f"lib/{module}" for module in CODE} == reached(PROJECT / "lib/training/trainer.py") - aside

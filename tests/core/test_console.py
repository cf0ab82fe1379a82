import pytest

from lib.core.console import show_problems, table_text
from lib.core.errors import EarshotError, Problem


def test_problems_are_a_line_each_whatever_they_hold(capsys):
    show_problems([Problem("a.wav", "is\nbad", "mend it"), Problem("b.wav", "is silent", "look at it", lost=False)])
    assert capsys.readouterr().err == "warning: a.wav: is bad; mend it\nwarning: b.wav: is silent; look at it\n"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EarshotError("a.wav", "is bad", "mend it"), "a.wav: is bad; mend it"),
        (EarshotError("", "nothing to do"), "nothing to do"),
        (EarshotError("b", "two", causes=["a: one"]), "a: one\nb: two"),
        (EarshotError(b"caf\xe9".decode("utf-8", "surrogateescape"), "is bad"), r"caf\xe9: is bad"),
    ],
)
def test_an_error_is_told_by_its_fields(error, text):
    assert str(error) == text


def test_an_error_of_one_input_becomes_a_problem_of_the_same_fields():
    assert EarshotError("a.wav", "is; bad", "mend it").problem() == Problem("a.wav", "is; bad", "mend it", lost=True)


def test_a_table_aligns_numbers_right_and_shows_what_is_missing_as_a_dash():
    text = table_text({"class": ["tern", "gull"], "n": [5, 1200], "score": [0.5, float("nan")]})
    assert text.splitlines()[0].split() == ["class", "n", "score"]
    assert [line.split() for line in text.splitlines()[2:]] == [["tern", "5", "0.50"], ["gull", "1200", "-"]]
    assert text.splitlines()[2].index("5") == text.splitlines()[3].index("1200") + 3

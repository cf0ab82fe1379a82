"""The grammar of tag filters: each example of the reference, and random filters against a formula written out."""

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import SettingsError
from lib.tracking.registry.tag_filter import tag_filter


def subsets(letters):
    return [set(each) for each in chain.from_iterable(combinations(letters, n) for n in range(len(letters) + 1))]


def agree(terms, formula, letters) -> bool:
    passes = tag_filter(terms)
    return all(passes(tags) == bool(formula(tags)) for tags in subsets(letters))


@pytest.mark.parametrize(
    ("terms", "formula"),
    [
        ([], lambda t: True),
        (["production"], lambda t: "production" in t),
        (["production", "verified", "-qa"], lambda t: t & {"production", "verified"} and "qa" not in t),
        (["-qa"], lambda t: "qa" not in t),
        (["__$all", "best", "model", "ever"], lambda t: t >= {"best", "model", "ever"}),
        (["__$and", "best", "model", "ever"], lambda t: t >= {"best", "model", "ever"}),
        (["__$any", "best", "model"], lambda t: t & {"best", "model"}),
        (["__$or", "best", "model"], lambda t: t & {"best", "model"}),
        (
            ["__$all", "best", "model", "ever", "__$not", "internal", "__$not", "test"],
            lambda t: t >= {"best", "model", "ever"} and not t & {"internal", "test"},
        ),
        (
            ["__$all", "a", "b", "c", "__$or", "d", "__$not", "e", "__$and", "__$or", "f", "g"],
            lambda t: t >= {"a", "b", "c"} and ("d" in t or "e" not in t) and t & {"f", "g"},
        ),
        (["__$or", "a", "b", "__$and", "c", "d"], lambda t: t & {"a", "b"} or t >= {"c", "d"}),
        (["a", "__$not", "b"], lambda t: "a" in t or "b" not in t),
        (["__$all", "a", "__$or", "b", "__$or", "c"], lambda t: "a" in t and t & {"b", "c"}),
        (["__$or", "a", "-b"], lambda t: "a" in t and "b" not in t),
        (["__$all"], lambda t: True),
    ],
)
def test_a_filter_means_what_the_reference_says(terms, formula):
    letters = sorted({term.lstrip("-") for term in terms if not term.startswith("__$")})
    assert agree(terms, formula, letters)


tags_or_negations = st.tuples(st.sampled_from("abcd"), st.booleans())
groups = st.lists(st.lists(tags_or_negations, max_size=3), min_size=1, max_size=4)


@given(groups, st.booleans(), st.sets(st.sampled_from("abcd")))
def test_groups_of_alternating_operators_are_joined_by_the_first(groups, starts_with_and, excluded):
    kinds = [all if (index % 2 == 0) == starts_with_and else any for index in range(len(groups))]
    terms = [f"-{tag}" for tag in excluded]
    for kind, group in zip(kinds, groups, strict=True):
        terms.append("__$and" if kind is all else "__$or")
        for tag, is_negated in group:
            terms += ["__$not", tag] if is_negated else [tag]

    def formula(tags):
        values = [
            kind((tag in tags) != is_negated for tag, is_negated in group)
            for kind, group in zip(kinds, groups, strict=True)
            if group
        ]
        return (not values or kinds[0](values)) and not tags & excluded

    assert agree(terms, formula, "abcd")


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        (["__$nand", "a"], "__\\$nand is not an operator; there are"),
        (["a", "__$not"], "__\\$not is last; put a tag after it"),
        (["__$not", "__$or", "a"], "__\\$not stands before __\\$or"),
        ("best", "must be a list; give \\['best'\\]"),
    ],
)
def test_a_filter_that_means_nothing_is_an_error(terms, fault):
    with pytest.raises(SettingsError, match=fault):
        tag_filter(terms)

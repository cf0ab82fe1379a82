"""Filters by tags, written as a list of texts: tags, and operators between them.

A model passes `["production", "verified", "-qa"]` if it is tagged production or verified, and not qa. By rule:

- An operator applies to the tags after it, up to the next other one: `__$all` or `__$and`, all of them; `__$any` or
  `__$or`, at least one. Such a run of tags is a group. A list that begins with a tag begins with `__$or`.
- The first operator also joins the groups. `["__$all", "a", "__$or", "b", "c"]` means a AND (b OR c). One that only
  ends a group may be followed by no tag: `["__$all", "__$or", "a", "b", "__$and", "__$or", "c", "d"]` means
  (a OR b) AND (c OR d).
- `__$not` negates the tag after it, inside its group. `-tag` excludes: whatever else the list says, no model with that
  tag passes.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from lib.core.errors import SettingsError

TagPredicate = Callable[[Collection[str]], bool]
"""Whether a model with these tags passes."""
_Quantifier = Callable[[list[bool]], bool]
NOT = "__$not"
QUANTIFIERS: dict[str, _Quantifier] = {"__$all": all, "__$and": all, "__$any": any, "__$or": any}
OPERATOR = "__$"
"""How operators begin."""


class _Term(NamedTuple):
    tag: str
    is_negated: bool

    def holds(self, tags: Collection[str]) -> bool:
        return (self.tag in tags) != self.is_negated


class _Group(NamedTuple):
    quantifier: _Quantifier
    terms: list[_Term]

    def holds(self, tags: Collection[str]) -> bool:
        return self.quantifier([term.holds(tags) for term in self.terms])


def tag_filter(terms: Sequence[str]) -> TagPredicate:
    """The predicate that a list of tags and operators means. An empty list lets everything pass.

    >>> passes = tag_filter(["__$all", "best", "__$not", "internal"])
    >>> passes({"best"}), passes({"best", "internal"})
    (True, False)

    Raises SettingsError if the list has an unknown operator, or `__$not` without a tag after it.
    """
    if isinstance(terms, str):
        raise SettingsError(f"tags = {terms!r}", "must be a list", f"give [{terms!r}]")
    groups: list[_Group] = []
    excluded: set[str] = set()
    is_negated = False
    for term in terms:
        if is_negated and term.startswith(("-", OPERATOR)):
            raise SettingsError(f"tags = {list(terms)!r}", f"{NOT} stands before {term}", "put a tag after it")
        if term == NOT:
            is_negated = True
        elif term in QUANTIFIERS:
            if not groups or groups[-1].quantifier is not QUANTIFIERS[term]:
                groups.append(_Group(QUANTIFIERS[term], []))
        elif term.startswith(OPERATOR):
            fault = f"{term} is not an operator; there are {', '.join([*QUANTIFIERS, NOT])}"
            raise SettingsError(f"tags = {list(terms)!r}", fault)
        elif term.startswith("-"):
            excluded.add(term[1:])
        else:
            if not groups:
                groups.append(_Group(any, []))
            groups[-1].terms.append(_Term(term, is_negated))
            is_negated = False
    if is_negated:
        raise SettingsError(f"tags = {list(terms)!r}", f"{NOT} is last", "put a tag after it")
    join = groups[0].quantifier if groups else all
    filled = [group for group in groups if group.terms]

    def passes(tags: Collection[str]) -> bool:
        is_in = not filled or join([group.holds(tags) for group in filled])
        return is_in and excluded.isdisjoint(tags)

    return passes

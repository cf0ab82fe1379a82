"""Annotations of a recording and decisions about it, as hypothesis makes them."""

from hypothesis import strategies as st

from lib.sound.decisions import KINDS, Decision

times = st.floats(0, 20).map(lambda seconds: round(seconds, 2))
stretches = st.tuples(times, times).filter(lambda pair: pair[1] - pair[0] > 0.01)
names = st.sampled_from(["wren", "owl", "frog"])
events = st.lists(st.tuples(st.just("a"), names, stretches).map(lambda row: (row[0], row[1], *row[2])), max_size=6)
decided_once = st.builds(
    lambda stretch, name, kind, new: Decision("a", *stretch, name, kind, new if kind == "relabel" else ""),
    stretches,
    names,
    st.sampled_from(KINDS),
    names,
)

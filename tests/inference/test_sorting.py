import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from lib.inference import sorting
from lib.inference.labels import Label
from lib.inference.sorting import in_order

LABELS = st.lists(
    st.tuples(st.sampled_from(["b", 'a, "quoted"', "c"]), st.floats(0, 9), st.floats(0, 1)), unique_by=lambda x: x[:2]
)


@given(LABELS, st.integers(1, 5))
def test_labels_come_in_the_order_of_start_and_class_however_few_are_held(tmp_path_factory, drawn, size):
    folder = tmp_path_factory.getbasetemp()
    labels = [Label(name, start, start + 3, score) for name, start, score in drawn]
    pieces = [labels[i : i + size] for i in range(0, len(labels), size)]
    names = ["b", 'a, "quoted"', "c"]
    expected = sorted(labels, key=lambda label: (label.start_time, names.index(label.name)))
    for held in (1, 3, 100):
        sorting.HELD, before = held, sorting.HELD
        try:
            assert list(in_order(pieces, names, folder)) == expected
        finally:
            sorting.HELD = before


def test_memory_does_not_grow_with_the_number_of_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "HELD", 1000)
    peaks = []
    for n in (5, 20):
        pieces = ([Label("a", 1000.0 * k - i, 1000.0 * k, 0.5) for i in range(1000)] for k in range(n))
        tracemalloc.start()
        assert sum(1 for _ in in_order(pieces, ["a"], tmp_path)) == 1000 * n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
    assert not list(tmp_path.iterdir())

import threading
import time

import pytest

from lib.core.parallel import ahead, map_ordered, map_streams, n_workers


def numbers(item: int):
    time.sleep(0.001 * (item % 3))
    for k in range(item):
        yield item * 100 + k


def wait_until(condition) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("workers", [1, 2, 8, 50])
@pytest.mark.parametrize("ahead", [1, 16])
def test_results_come_in_order_whatever_the_workers(workers, ahead):
    streams = map_streams(numbers, range(20), workers, ahead)
    assert [(item, list(stream)) for item, stream in streams] == [(item, list(numbers(item))) for item in range(20)]


def test_no_items_give_no_streams():
    assert list(map_streams(numbers, [], 4)) == []


def test_an_error_comes_where_its_stream_is_read_and_the_others_go_on():
    def half(item: int):
        yield item
        if item == 1:
            raise ValueError(f"item {item}")
        yield item

    seen = []
    for item, stream in map_streams(half, range(4), 2):
        try:
            seen.append(list(stream))
        except ValueError as error:
            seen.append(str(error))
        assert len(seen) == item + 1
    assert seen == [[0, 0], "item 1", [2, 2], [3, 3]]


def test_no_stream_runs_further_ahead_than_it_may_and_no_item_earlier():
    made: dict[int, int] = {}

    def count(item: int):
        for k in range(1000):
            made[item] = k + 1
            yield k

    streams = map_streams(count, range(10), workers=3, ahead=4)
    _, first = next(streams)
    next(first)
    assert wait_until(lambda: made.get(2, 0) >= 4)
    time.sleep(0.05)
    assert set(made) == {0, 1, 2} and max(made.values()) <= 4 + 2
    streams.close()


def test_streams_that_nobody_reads_to_the_end_leave_no_thread_behind():
    def endless(item: int):
        while True:
            yield item

    before = set(threading.enumerate())
    for item, stream in map_streams(endless, range(5), workers=2, ahead=2):
        assert next(stream) == item
        if item == 3:
            break
    assert wait_until(lambda: set(threading.enumerate()) <= before)


def test_a_stream_is_filled_while_another_is_read():
    started = threading.Event()

    def slow(item: int):
        if item == 1:
            started.set()
        yield item

    streams = map_streams(slow, range(2), workers=2)
    assert started.wait(5)  # before anything was asked for
    assert [list(stream) for _, stream in streams] == [[0], [1]]


@pytest.mark.parametrize("workers", [1, 3])
def test_ordered_results_follow_their_items_and_errors_come_in_their_place(workers):
    def inverse(item: int) -> float:
        time.sleep(0.002 * (item % 3))
        return 1 / (item - 5)

    results = map_ordered(inverse, range(10), workers)
    assert [next(results) for _ in range(5)] == [1 / (item - 5) for item in range(5)]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_ordered_work_is_not_begun_far_ahead_of_its_consumer():
    begun = []
    results = map_ordered(begun.append, range(100), 2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 5
    results.close()


def test_a_thread_works_ahead_and_ends_with_its_consumer():
    before = set(threading.enumerate())
    assert list(ahead(iter(range(50)), 4)) == list(range(50))
    made = []
    results = ahead((made.append(k) or k for k in range(50)), 4)
    assert next(results) == 0 and wait_until(lambda: len(made) >= 5)
    results.close()
    assert len(made) <= 7 and wait_until(lambda: set(threading.enumerate()) <= before)


def test_zero_workers_stand_for_one_a_processor():
    assert n_workers(3) == 3 and n_workers(0) >= 1

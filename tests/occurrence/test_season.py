import calendar
import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lib.occurrence.season import smooth, week_of


@pytest.mark.parametrize(
    ("month", "day", "week"),
    [(1, 1, 1), (1, 7, 1), (1, 8, 2), (1, 14, 2), (1, 15, 3), (1, 22, 4), (1, 31, 4), (2, 1, 5), (12, 31, 48)],
)
def test_weeks_begin_on_days_1_8_15_and_22_of_each_month(month, day, week):
    assert week_of(datetime.date(2023, month, day)) == week


@given(st.dates())
def test_every_date_lies_in_one_of_the_four_weeks_of_its_month(date):
    last = calendar.monthrange(date.year, date.month)[1]
    days = [range(1, 8), range(8, 15), range(15, 22), range(22, last + 1)]
    (week,) = [number for number, span in enumerate(days, start=1) if date.day in span]
    assert week_of(date) == 4 * (date.month - 1) + week


@given(arrays(np.float64, 48, elements=st.floats(0, 1)))
def test_smoothing_is_the_maximum_of_each_week_and_its_neighbours(values):
    naive = [max(values[week - 1], values[week], values[(week + 1) % 48]) for week in range(48)]
    assert smooth(values).tolist() == naive


def test_smoothing_wraps_around_the_end_of_the_year():
    values = np.zeros(48)
    values[47] = 0.5
    assert np.flatnonzero(smooth(values)).tolist() == [0, 46, 47]

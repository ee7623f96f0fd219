"""The plan of windows: everything is asked for, in few requests, whatever lies where. No I/O: a thousand runs are quick."""

import bisect
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kayrros_ext._results.windows import CUT_MS, DAY_MS, Plan, Window

BEGIN = 1_704_153_600_000  # 2024-01-02
EVER = (0, 4_102_444_800_000)


class Server:
    """Some assets with a value each on some dates, and a limit of rows for one answer."""

    def __init__(self, dates: list[int], assets: int, most: int) -> None:
        self.dates, self.assets, self.most = sorted(dates), assets, most

    def rows(self, plan: Plan, window: Window) -> int:
        first, last = plan.asked(window)
        count = bisect.bisect_right(self.dates, last) - bisect.bisect_left(self.dates, first)
        return count * (len(window.assets) if window.assets else self.assets)


def run(server: Server, width: int, likely: tuple[int, int] | None = None) -> tuple[int, list[Window], list[Window]]:
    """How many requests it took, the windows that came, and those that could not be had."""
    plan = Plan(EVER, likely or (server.dates[0], server.dates[-1]), [None], width, has_failed=True)
    plan.assets = tuple(f"asset-{number:03d}" for number in range(server.assets))
    requests, running, came, gaps = 1, list[Window](), list[Window](), list[Window]()
    while True:
        while len(running) < width and (window := plan.take()):
            requests += 1
            running.append(window)
        if not running:
            assert not plan.pending
            return requests, came, gaps
        window = running.pop(0)
        rows = server.rows(plan, window)
        if rows <= server.most:
            plan.succeeded(window, rows)
            came.append(window)
        elif not plan.failed(window):
            gaps.append(window)


def bound(ratio: float, width: int) -> float:
    """What is asked of us, for so many times the limit."""
    return 2 * ratio + 2 * math.log2(max(ratio, 1)) + width


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("ratio", [1.5, 2, 3, 10, 30, 64, 100, 300, 1000])
@pytest.mark.parametrize(
    ("step", "count", "assets"), [(DAY_MS, 1000, 10), (7 * DAY_MS, 1000, 10), (3_600_000, 24_000, 1), (DAY_MS, 100, 50)]
)
def test_few_requests(width: int, ratio: float, step: int, count: int, assets: int) -> None:
    """At most 2N/L + 2 log2(N/L) + concurrency for N rows against a limit of L."""
    server = Server([BEGIN + number * step for number in range(count)], assets, math.ceil(count * assets / ratio))
    requests, _, gaps = run(server, width)
    assert not gaps
    assert requests <= bound(count * assets / server.most, width)


@settings(max_examples=150)
@given(
    st.lists(st.integers(0, 3000).map(lambda day: BEGIN + day * DAY_MS), min_size=2, max_size=80, unique=True),
    st.integers(1, 7),
    st.integers(1, 40),
    st.integers(1, 9),
)
def test_everything_is_asked_for_once(dates: list[int], assets: int, most: int, width: int) -> None:
    """Windows of each asset follow each other without a hole, from the first moment to the last, however it was cut."""
    server = Server(dates, assets, most)
    _, came, gaps = run(server, width)
    for number in range(assets):
        name = f"asset-{number:03d}"
        mine = sorted(
            (window for window in [*came, *gaps] if not window.assets or name in window.assets),
            key=lambda window: window.start_ms,
        )
        assert EVER == (mine[0].start_ms, mine[-1].stop_ms)
        assert all(one.stop_ms == two.start_ms for one, two in pairwise(mine))
    plan = Plan(EVER, EVER, [None], 1)
    assert all(server.rows(plan, gap) > most and len(gap.assets or ()) <= 1 for gap in gaps)


def test_what_worked_is_what_the_next_one_starts_with() -> None:
    """And where less lies, it grows again, by what lies there."""
    dense = [BEGIN + number * DAY_MS for number in range(400)]
    sparse = [dense[-1] + number * 30 * DAY_MS for number in range(1, 100)]
    server = Server([*dense, *sparse], 1, 10)
    _, came, _ = run(server, 1)
    lengths = [
        window.stop_ms - window.start_ms for window in sorted(came, key=lambda one: one.start_ms) if window.start_ms
    ]
    assert 10 * DAY_MS >= max(lengths[2:20])
    assert 100 * DAY_MS < max(lengths[-10:-1])


@pytest.mark.parametrize("most", [30, 55, 70, 110])
def test_nothing_is_tried_at_the_end(most: int) -> None:
    """What is left and can be asked for at once is: a larger window that fails would come last of all."""
    server = Server([BEGIN + number * DAY_MS for number in range(1000)], 1, most)
    plan = Plan(EVER, (server.dates[0], server.dates[-1]), [None], 4, has_failed=True)
    running, fits, left_at_trials = list[Window](), 0, [math.inf]
    while True:
        while len(running) < 4 and (window := plan.take()):
            running.append(window)
            if window.is_trial:
                left_at_trials.append(sum(map(plan.amount, [window, *plan.pending])) / fits / DAY_MS)
        if not running:
            break
        window = running.pop(0)
        if (rows := server.rows(plan, window)) <= server.most:
            plan.succeeded(window, rows)
            fits = max(fits, rows)
        else:
            plan.failed(window)
    assert min(left_at_trials) > 4 * 0.95


def test_neighbours_share_their_boundary_and_ask_beyond_it() -> None:
    """So that a value on it is inside one of the two, whether the ends of a range count or not."""
    plan = Plan(EVER, (BEGIN, BEGIN + 100 * DAY_MS), [None], 4)
    left, right = plan.parts(plan.pending[0])
    assert left.stop_ms == right.start_ms
    assert (EVER[0], left.stop_ms + 1) == plan.asked(left)
    assert (right.start_ms - 1, EVER[1]) == plan.asked(right)
    assert CUT_MS == left.stop_ms % DAY_MS


def test_a_day_is_cut_by_assets() -> None:
    """Down to one, and no further."""
    day = Window(BEGIN + CUT_MS, BEGIN + CUT_MS + DAY_MS, ("a", "b", "c"))
    plan = Plan(EVER, (BEGIN, BEGIN + DAY_MS), [None], 4)
    one, others = plan.parts(day)
    assert [("a",), ("b", "c")] == [one.assets, others.assets]
    assert [] == plan.parts(one)
    assert [] == plan.parts(Window(day.start_ms, day.stop_ms))


@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize(
    "likely",
    [
        (BEGIN - 100 * DAY_MS, BEGIN),
        (BEGIN + 100 * DAY_MS, BEGIN + 200 * DAY_MS),
        (BEGIN - 900 * DAY_MS, BEGIN - 300 * DAY_MS),
        (BEGIN + 2000 * DAY_MS, BEGIN + 2000 * DAY_MS + 1),
    ],
)
def test_outside_the_known_range_is_cut_too(likely: tuple[int, int], width: int) -> None:
    """The metadata may be old, or wrong: what lies beside its dates is asked for, and cut where it is too much."""
    server = Server([BEGIN + number * DAY_MS for number in range(1000)], 1, 50)
    requests, came, gaps = run(server, width, likely=likely)
    plan = Plan(EVER, likely, [None], width)
    assert 1000 == sum(server.rows(plan, window) for window in came)
    assert not gaps
    assert requests <= 3 * bound(1000 / server.most, width)

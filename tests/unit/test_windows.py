"""The plan of time windows: nothing is left out, in few requests, wherever the data lies. There is no I/O in these tests."""

import bisect
import math
import random
from collections.abc import Iterator
from itertools import pairwise, product

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kayrros_ext._results.windows import CUT_MS, DAY_MS, HOUR_MS, Window, WindowPlanner

BEGIN = 1_704_153_600_000  # 2024-01-02
EVER = (0, 4_102_444_800_000)
RATIOS = (1.5, 2, 3, 5, 10, 30, 64, 100, 300, 1000)
CONCURRENCY = (1, 4, 16)


@attrs.frozen
class Data:
    """Assets with a value each on some dates, in order, and the range that the metadata of the dataset has."""

    dates: list[int]
    assets: int = 1
    likely: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        return len(self.dates) * self.assets

    def rows(self, first: int, last: int, window: Window) -> int:
        """Return the number of rows that a request for a window brings."""
        dates = bisect.bisect_right(self.dates, last) - bisect.bisect_left(self.dates, first)
        return dates * (len(window.assets) if window.assets else self.assets)


@attrs.define
class Run:
    """The requests for some data, its windows, and those that stay unavailable."""

    requests: int = 1
    windows: list[Window] = attrs.field(factory=list)
    gaps: list[Window] = attrs.field(factory=list)


def run(data: Data, limit: int, concurrency: int, *, seed: int | None = None) -> Run:
    """Request all windows of some data from a server with a limit of rows; with a seed, responses come in any order."""
    planner = WindowPlanner(
        EVER, data.likely or (data.dates[0], data.dates[-1] + 1), [()], concurrency, is_too_large=True
    )
    planner.assets = tuple(f"asset-{number:03d}" for number in range(data.assets))
    draw, done, running = random.Random(seed), Run(), list[Window]()
    while True:
        while len(running) < concurrency and (window := planner.take()):
            done.requests += 1
            running.append(window)
        if not running:
            assert not planner.pending
            return done
        window = running.pop(0 if seed is None else draw.randrange(len(running)))
        planner.running.remove(window)
        rows = data.rows(*planner.requested_range(window), window)
        if rows <= limit:
            planner.succeeded(window, rows)
            done.windows.append(window)
        elif not planner.failed(window):
            done.gaps.append(window)


@pytest.mark.parametrize("seed", range(150))
def test_windows_cover_any_range(seed: int) -> None:
    """Each moment of each asset is requested once, or is a gap, for ranges of hours to years that may begin without data."""
    draw = random.Random(seed)
    days = draw.choice([0, 0.3, 1, 1.5, 2, 3, 7, 30, 400])
    start = BEGIN + draw.randrange(3 * DAY_MS)
    outer = start, start + int(days * DAY_MS)
    dates = sorted(draw.randrange(outer[0], outer[1] + 1) for _ in range(draw.choice([1, 2, 5, 40, 200])))
    likely = outer if draw.random() < 0.5 or dates[0] == outer[1] else (dates[0], min(dates[-1] + 1, outer[1]))
    data = Data(dates, assets=draw.choice([1, 3, 8]))
    limit, concurrency = draw.choice([1, 5, 20, 100]), draw.choice(CONCURRENCY)
    planner = WindowPlanner(outer, likely, [()], concurrency, is_too_large=draw.random() < 0.7)
    ids = planner.assets = tuple(f"asset-{number}" for number in range(data.assets))
    covered, running = list[Window](), list[Window]()
    while True:
        while len(running) < concurrency and (window := planner.take()):
            running.append(window)
        if not running:
            break
        window = running.pop(draw.randrange(len(running)))
        planner.running.remove(window)
        rows = data.rows(*planner.requested_range(window), window)
        if rows <= limit:
            planner.succeeded(window, rows)
            covered.append(window)
        elif not planner.failed(window):
            covered.append(window)
    for asset in ids:
        windows = sorted((w for w in covered if asset in (w.assets or ids)), key=lambda w: w.start_ms)
        assert [windows[0].start_ms, *(w.stop_ms for w in windows)] == [*(w.start_ms for w in windows), outer[1]]
        assert windows[0].start_ms == outer[0]


def bound(ratio: float, concurrency: int) -> float:
    """Return the most requests for uniform data of `ratio` times the limit."""
    return 2 * ratio + 2 * math.log2(max(ratio, 1)) + concurrency


def every(step_ms: int, count: int, begin: int = BEGIN) -> list[int]:
    """Return dates at a regular step."""
    return [begin + number * step_ms for number in range(count)]


UNIFORM = {
    "daily": Data(every(DAY_MS, 1000), assets=10),
    "weekly": Data(every(7 * DAY_MS, 1000), assets=10),
    "monthly": Data(every(30 * DAY_MS, 400), assets=20),
    "six-hourly": Data(every(6 * HOUR_MS, 4000), assets=5),
    "hourly": Data(every(HOUR_MS, 24_000)),
    "few days": Data(every(DAY_MS, 100), assets=50),
}


def clustered() -> Iterator[tuple[str, Data]]:
    """Yield data that does not lie evenly in its range."""
    draw = random.Random(3)
    span = 2000 * DAY_MS
    for place in (0, 0.3, 0.95):
        begin = BEGIN + int(span * place)
        yield f"all in 5 % at {place}", Data(every(DAY_MS, 100, begin), 50, (BEGIN, BEGIN + span))
    dense, sparse = every(HOUR_MS, 17_520), every(7 * DAY_MS, 400)
    yield "dense, then sparse", Data([*dense, *every(7 * DAY_MS, 400, dense[-1] + DAY_MS)])
    yield "sparse, then dense", Data([*sparse, *every(HOUR_MS, 17_520, sparse[-1] + DAY_MS)])
    yield "growing fleet", Data([day for n, day in enumerate(every(DAY_MS, 1500)) for _ in range(1 + n // 75)])
    yield "exponential", Data([day for n, day in enumerate(every(DAY_MS, 1500)) for _ in range(int(1.0025**n))], 2)
    yield (
        "every winter",
        Data([date for year in range(8) for date in every(HOUR_MS, 2160, BEGIN + year * 365 * DAY_MS)]),
    )
    yield "random days", Data(sorted(BEGIN + draw.randrange(3000) * DAY_MS for _ in range(3000)), 3)
    yield "weekdays", Data([day for n, day in enumerate(every(DAY_MS, 1500)) if n % 7 < 5], 8)
    bursts = [every(HOUR_MS, 24 * draw.randrange(5, 30), BEGIN + draw.randrange(3000) * DAY_MS) for _ in range(20)]
    yield "bursts", Data(sorted(date for burst in bursts for date in burst), 1, (BEGIN, BEGIN + 3100 * DAY_MS))


CLUSTERED = dict(clustered())


def excess(data: Data) -> list[tuple[float, float, int]]:
    """Return requests as a share of the bound, with N/L and concurrency, of many runs without a gap."""
    shares = []
    for ratio, concurrency, seed in product(RATIOS, CONCURRENCY, (None, 1)):
        limit = math.ceil(data.count / ratio)
        done = run(data, limit, concurrency, seed=seed)
        if not done.gaps:
            # One more request checks that the server keeps to ranges.
            shares.append(((done.requests + 1) / bound(data.count / limit, concurrency), ratio, concurrency))
    return sorted(shares, reverse=True)


@pytest.mark.parametrize("name", list(UNIFORM))
def test_uniform_data_takes_few_requests(name: str) -> None:
    """N rows with a limit of L take at most 2N/L + 2 log2(N/L) + concurrency requests."""
    shares = excess(UNIFORM[name])
    assert len(shares) >= 48
    assert shares[0][0] <= 1, shares[:3]


@pytest.mark.parametrize("name", list(CLUSTERED))
def test_clustered_data_takes_at_most_twice_as_many(name: str) -> None:
    """The bound holds from N/L = 10. Below, finding the data in 5 % of the range, or 20 bursts, takes a few more."""
    most = 1.25 if name == "bursts" else 1
    shares = [(share, ratio, concurrency) for share, ratio, concurrency in excess(CLUSTERED[name]) if ratio >= 10]
    assert shares
    assert shares[0][0] / 2 <= most, shares[:3]


@settings(max_examples=150)
@given(
    st.lists(st.integers(0, 3000).map(lambda day: BEGIN + day * DAY_MS), min_size=2, max_size=80, unique=True),
    st.integers(1, 7),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(),
)
def test_everything_is_requested_once(dates: list[int], assets: int, limit: int, concurrency: int, seed: int) -> None:
    """The windows of each asset follow each other without a hole, from the first moment to the last."""
    data = Data(sorted(dates), assets)
    done = run(data, limit, concurrency, seed=seed)
    for number in range(assets):
        name = f"asset-{number:03d}"
        windows = sorted(
            (window for window in [*done.windows, *done.gaps] if not window.assets or name in window.assets),
            key=lambda window: window.start_ms,
        )
        assert (windows[0].start_ms, windows[-1].stop_ms) == EVER
        assert all(one.stop_ms == two.start_ms for one, two in pairwise(windows))
    assert all(data.rows(gap.start_ms, gap.stop_ms, gap) > limit for gap in done.gaps)
    assert all(len(gap.assets) <= 1 and gap.stop_ms - gap.start_ms <= DAY_MS for gap in done.gaps)


def test_windows_grow_where_data_is_sparse() -> None:
    """They start with what came before, and follow the density."""
    dense = every(DAY_MS, 400)
    done = run(Data([*dense, *every(30 * DAY_MS, 99, dense[-1] + 30 * DAY_MS)]), 10, 1)
    windows = sorted(done.windows, key=lambda window: window.start_ms)
    lengths = [window.stop_ms - window.start_ms for window in windows if window.start_ms]
    assert max(lengths[2:20]) <= 10 * DAY_MS
    assert max(lengths[-10:-1]) > 100 * DAY_MS


@pytest.mark.parametrize("limit", [30, 55, 70, 110])
def test_no_trial_comes_last(limit: int) -> None:
    """A larger window that fails when everything left could be requested at once would only take longer."""
    data = Data(every(DAY_MS, 1000))
    planner = WindowPlanner(EVER, (data.dates[0], data.dates[-1]), [()], 4, is_too_large=True)
    running, capacity, left_at_trials = list[Window](), 0, [math.inf]
    while True:
        while len(running) < 4 and (window := planner.take()):
            running.append(window)
            if window == planner.trial:
                left_at_trials.append(sum(map(planner.amount, [window, *planner.pending])) / capacity / DAY_MS)
        if not running:
            break
        window = running.pop(0)
        planner.running.remove(window)
        if (rows := data.rows(*planner.requested_range(window), window)) <= limit:
            planner.succeeded(window, rows)
            capacity = max(capacity, rows)
        else:
            planner.failed(window)
    assert min(left_at_trials) > 4 * 0.95


def test_requests_reach_beyond_the_ends_of_a_window() -> None:
    """A value at a boundary is inside a range, whether or not its ends count. No request reaches beyond the query."""
    planner = WindowPlanner(EVER, (BEGIN, BEGIN + 100 * DAY_MS), [()], 1)
    boundary = BEGIN + CUT_MS
    assert planner.requested_range(Window(0, EVER[0], boundary)) == (EVER[0], boundary + 1)
    assert planner.requested_range(Window(0, boundary, EVER[1])) == (boundary - 1, EVER[1])


def test_a_day_is_split_by_assets() -> None:
    """Down to one asset, and no further."""
    planner = WindowPlanner(EVER, EVER, [()], 1)
    day = Window(0, BEGIN + CUT_MS, BEGIN + CUT_MS + DAY_MS, ("a", "b", "c"))
    planner.pending.clear()
    assert planner.split(day)
    windows = list[Window]()
    while window := planner.take():
        windows.append(window)
        planner.running.remove(window)
        planner.succeeded(window, 1)
    assert [window.assets for window in windows] == [("a",), ("b",), ("c",)]
    assert not planner.can_split(day._replace(assets=("a",)))
    assert not planner.split(day._replace(assets=("a",)))
    assert not planner.split(day._replace(assets=()))


@pytest.mark.parametrize("concurrency", [1, 3, 8])
@pytest.mark.parametrize(
    "likely",
    [
        (BEGIN - 100 * DAY_MS, BEGIN),
        (BEGIN + 100 * DAY_MS, BEGIN + 200 * DAY_MS),
        (BEGIN - 900 * DAY_MS, BEGIN - 300 * DAY_MS),
        (BEGIN + 2000 * DAY_MS, BEGIN + 2000 * DAY_MS + 1),
    ],
)
def test_data_outside_of_the_likely_range_is_requested_too(likely: tuple[int, int], concurrency: int) -> None:
    """The metadata may be old or wrong. What lies elsewhere is split, too."""
    data = Data(every(DAY_MS, 1000), likely=likely)
    done = run(data, 50, concurrency)
    assert not done.gaps
    assert sum(data.rows(window.start_ms, window.stop_ms, window) for window in done.windows) == 1000
    assert done.requests <= 3 * bound(1000 / 50, concurrency)

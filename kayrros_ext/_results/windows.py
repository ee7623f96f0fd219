"""Decide which time window of a dataset's results to request next, when all of them are too many for one response. No I/O.

The size of a window follows from the rows that the last windows held: as many as came in one response before and, one window
at a time, up to twice as many. A window that is too large is halved, and a day is split by assets.

Windows follow each other without a hole. Whether the API counts the ends of a range in or out is unknown, so a request goes
a millisecond beyond its window. A wider margin would be wasteful where a response holds only a day or two.

A gateway may limit the days of a range instead, and fail where no data is. So what lies outside the dates of the metadata is
requested in as long windows as possible, and given up after some failures without a row.
"""

import math
from itertools import pairwise
from typing import NamedTuple

Range = tuple[int, int]  # epoch milliseconds
Assets = tuple[str, ...]  # ids; empty for all
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Windows end half a second before noon (UTC), when few values are dated.
CUT_MS = 12 * HOUR_MS - 500
# Ids of one request, a body of some 20 kB. How many the API accepts is unknown.
MAX_ASSETS_PER_REQUEST = 500
# Windows of different sizes that are requested first, all at once.
MAX_PROBES = 8
# Only try a larger window if it should hold 20 % more rows. After a failed try, wait for this many successes.
MIN_GROWTH, RETRY_AFTER_SUCCESSES = 1.2, 16
# Exponential decay, so that recent windows dominate the estimate of rows per time.
DECAY = 0.8
# A window that should have fitted and did not makes those that follow at most this long.
SHRINK = 0.6
# Failed windows on one side of the likely range until it is given up: that many halvings lead from 130 years to a day.
MAX_OUTSIDE_FAILURES = 16


class Window(NamedTuple):
    """The results from one moment to before another, of all assets or some. Windows are ordered by batch, then by time.

    Attributes:
        batch: number of the batch of assets.
        start_ms: first moment, in epoch milliseconds.
        stop_ms: the first moment after it.
        assets: ids; empty for all.
    """

    batch: int
    start_ms: int
    stop_ms: int
    assets: Assets = ()


class WindowPlanner:
    """The windows that are still to be requested.

    Args:
        outer: the whole range, in epoch milliseconds. Its ends are requested as they are.
        likely: the range that should hold the data. It grows once data turns up outside.
        batches: the assets of each batch of windows; empty for all.
        concurrency: how many requests run at a time.
        is_too_large: whether everything was requested at once, and is too large.

    Attributes:
        pending: windows, in order. `take` splits them.
        running: windows that were taken. The caller removes them.
        trial: the last window that should hold more rows than any response before.
        assets: the ids of all assets, when they are known. A day is split by them.
    """

    def __init__(
        self, outer: Range, likely: Range, batches: list[Assets], concurrency: int, *, is_too_large: bool = False
    ) -> None:
        self.outer, self._likely, self._concurrency = outer, likely, concurrency
        self.pending = [Window(number, *outer, ids) for number, ids in enumerate(batches)]
        self.running: set[Window] = set()
        self.trial: Window | None = None
        self.assets: Assets = ()
        self._total_assets = sum(map(len, batches))
        self._max_assets: float = math.inf  # of a window, once a day was too large
        self._capacity, self._too_many = 0.0, math.inf  # rows that came in one response, and rows that did not
        self._rows = self._amount = 0.0  # of the last windows; older ones count less
        self._max_amount = math.inf  # of a window, once one that should have fitted did not
        self._successes, self._patience = 0, RETRY_AFTER_SUCCESSES
        self._is_searching = True  # for a window that fits
        self._outside_failures = [0, 0]  # before the likely range, and after it
        self._probes = 0
        if is_too_large:
            while len(self.pending) < max(min(concurrency, MAX_PROBES), 2) and self._middle(self.pending[0]):
                self.split(self.pending.pop(0))
            self._probes = min(concurrency, len(self.pending))

    def take(self) -> Window | None:
        """Return the next window to request; None when no window is left, or a running request must end first."""
        if not self.running:
            self._is_searching = not self._capacity
        if not self.pending or (self._is_searching and self.running and not self._probes):
            return None
        if self.is_outside(self.pending[0]) and any(map(self.is_outside, self.running)):
            return None  # one at a time, so that each halves what is left
        window = self.pending.pop(0)
        if self._probes:
            self._probes -= 1
        else:
            window = self._size(self._limit_assets(window))
        self.running.add(window)
        return window

    def succeeded(self, window: Window, rows: int) -> None:
        """Learn from the rows of a window."""
        if amount := self.amount(window):
            if not self._capacity:
                self._rows = self._amount = 0  # empty windows before the data say nothing of its density
            self._rows, self._amount = self._rows * DECAY + rows, self._amount * DECAY + amount
            self._capacity = max(self._capacity, rows)
            self._too_many = max(self._too_many, self._capacity)
            self._max_amount = max(self._max_amount, amount * self._capacity / max(rows, 1))
            self._successes += 1
            if self._successes >= self._patience:
                self._too_many, self._successes = math.inf, 0
        elif rows:
            first, last = self._likely
            self._outside_failures[self._side(window)] = 0
            # Windows come in order of time. After the end, as much data may follow again.
            stop_ms = min(2 * window.stop_ms - first, self.outer[1])
            self._likely = (window.start_ms, last) if window.start_ms < first else (first, stop_ms)

    def failed(self, window: Window) -> bool:
        """Put back a window that is too large, in parts. False: it can't be split, or is given up, and stays out."""
        self._successes = 0
        self._patience *= 1 + (window == self.trial)
        amount = self.amount(window)
        if amount and self._capacity:
            expected = amount * self._rows / self._amount
            if expected > self._capacity:
                self._too_many = min(self._too_many, expected)
            elif cuts := [cut_ms for cut_ms in self._edges() if window.start_ms < cut_ms < window.stop_ms]:
                # The part outside of the likely range may be too long, although it has no data.
                self._cut(window, *cuts)
                return True
            else:
                self._max_amount = min(self._max_amount, amount * SHRINK)
        if self.is_outside(window):
            self._outside_failures[self._side(window)] += 1
            if self._outside_failures[self._side(window)] >= MAX_OUTSIDE_FAILURES:
                return False
        return self.split(window)

    def give_up(self, window: Window) -> Window:
        """Take back what is pending on the same side of the likely range, of the same batch. Return all of it."""
        place = window.batch, self._side(window)
        side = [other for other in self.pending if self.is_outside(other) and (other.batch, self._side(other)) == place]
        self.pending = [other for other in self.pending if other not in side]
        start_ms, stop_ms = min(w.start_ms for w in [window, *side]), max(w.stop_ms for w in [window, *side])
        return window._replace(start_ms=start_ms, stop_ms=stop_ms)

    def is_outside(self, window: Window) -> bool:
        """Return whether a window has no part of the likely range, which is not the whole one."""
        first, last = self._likely
        return self._likely != self.outer and (window.stop_ms <= first or window.start_ms >= last)

    def split(self, window: Window) -> bool:
        """Put back a window in two halves, or with fewer assets. False: it can't be split."""
        if cut_ms := self._middle(window):
            self._cut(window, cut_ms)
        elif self.can_split(window):
            self._max_assets = min(self._max_assets, len(window.assets or self.assets) // 2)
            self.put_back(window)
        else:
            return False
        return True

    def put_back(self, *windows: Window) -> None:
        """Add windows that are not running to those that are pending."""
        self.pending = sorted([*windows, *self.pending])

    def can_split(self, window: Window) -> bool:
        """Return whether a window can be split, by time or by assets."""
        return self._middle(window) is not None or len(window.assets or self.assets) > 1

    def requested_range(self, window: Window) -> Range:
        """Return the ends of the range to request: a millisecond beyond the ends that two windows share.

        A single day is requested as it is, because a gateway may allow no more.
        """
        first, last = self.outer
        if window.stop_ms - window.start_ms == DAY_MS:
            return window.start_ms, window.stop_ms
        return window.start_ms - (window.start_ms != first), window.stop_ms + (window.stop_ms != last)

    def amount(self, window: Window) -> float:
        """Return the milliseconds of a window that should hold data, times its share of the assets."""
        length = min(window.stop_ms, self._likely[1]) - max(window.start_ms, self._likely[0])
        total = len(self.assets) or self._total_assets
        return max(length, 0) * (len(window.assets) / total if window.assets and total else 1)

    def _side(self, window: Window) -> int:
        """Return 0 for a window before the likely range, and 1 after it."""
        return int(window.start_ms >= self._likely[0])

    def _edges(self) -> Range:
        """Return the cuts around the likely range."""
        return _noon(self._likely[0]), _noon(self._likely[1]) + DAY_MS

    def _cut(self, window: Window, *cuts: int) -> None:
        """Put back the parts of a window between cuts."""
        ends = pairwise([window.start_ms, *cuts, window.stop_ms])
        self.put_back(*(window._replace(start_ms=start_ms, stop_ms=stop_ms) for start_ms, stop_ms in ends))

    def _limit_assets(self, window: Window) -> Window:
        """Return a window of no more assets than a day may have, and put back the others."""
        ids = window.assets or self.assets
        if len(ids) <= self._max_assets:
            return window
        count = math.ceil(len(ids) / math.ceil(len(ids) / self._max_assets))
        self.put_back(window._replace(assets=ids[count:]))
        return window._replace(assets=ids[:count])

    def _size(self, window: Window) -> Window:
        """Return the part of a window that should fit one response, and put back the rest."""
        amount, safe = self.amount(window), self._amount_of(self._capacity)
        more = min((self._capacity + self._too_many) / 2, 2 * self._capacity)
        # A trial of what could be requested at once anyway would only fail last of all.
        has_use = amount + sum(map(self.amount, self.pending)) > self._concurrency * safe
        is_trial = has_use and more > self._capacity * MIN_GROWTH and self.trial not in self.running
        start, stop = self._core(window)
        size = (self._amount_of(more) if is_trial else safe) + amount / max(stop - start, 1) * HOUR_MS
        if amount > size:
            cut_ms = max(_noon(start + (stop - start) * size / amount), _noon(window.start_ms) + DAY_MS)
            if cut_ms < window.stop_ms:
                self.put_back(window._replace(start_ms=cut_ms))
                window = window._replace(stop_ms=cut_ms)
                self.trial = window if is_trial else self.trial
        return window

    def _amount_of(self, rows: float) -> float:
        """Return the amount that should hold a number of rows."""
        return min(rows * self._amount / self._rows if self._rows else math.inf, self._max_amount)

    def _middle(self, window: Window) -> int | None:
        """Return where to cut a window: in the middle of its data, else before or after it; None within a day."""
        start, stop = self._core(window)
        noon = _noon((start + stop) / 2)
        cuts = (noon, noon + DAY_MS, _noon(start), _noon(stop) + DAY_MS)
        return next((cut_ms for cut_ms in cuts if window.start_ms < cut_ms < window.stop_ms), None)

    def _core(self, window: Window) -> Range:
        """Return the part of a window that should hold data; all of it when no part should."""
        start, stop = max(window.start_ms, self._likely[0]), min(window.stop_ms, self._likely[1])
        return (start, stop) if start < stop else (window.start_ms, window.stop_ms)


def _noon(moment_ms: float) -> int:
    """Return the last possible cut up to a moment."""
    return int((moment_ms - CUT_MS) // DAY_MS) * DAY_MS + CUT_MS

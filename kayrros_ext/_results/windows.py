"""Decide which time window of a dataset's results to request next, when all of them are too many for one response. No I/O.

The size of a window follows from the rows that the last windows held: as many as came in one response before and, one window
at a time, up to twice as many. A window that is too large although it should have fitted is halved. Its second half waits
for the first, because an empty first half means that the second is too large as well. A day is split by assets.

Windows follow each other without a hole. Whether the API counts the ends of a range in or out is unknown, so a request goes
a millisecond beyond its window. A wider margin would be wasteful where a response holds only a day or two.
"""

import math

import attrs

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
# A window is at most this many times as long as one that came, because what follows sparse data may be dense.
MAX_GROWTH = 4


@attrs.frozen
class Window:
    """The results from one moment to before another, of all assets or some.

    Attributes:
        start_ms: first moment, in epoch milliseconds.
        stop_ms: the first moment after it.
        assets: ids; None for all.
        batch: number of the batch of assets.
        is_trial: whether it should hold more rows than any response before.
        is_too_large: whether it certainly holds more rows than a response can.
        is_alone: whether its rows are expected to fill a response, so that it is not merged with the next window.
        rest: the window that follows, when it waits for the result of this one.
    """

    start_ms: int
    stop_ms: int
    assets: tuple[str, ...] | None = None
    batch: int = 0
    is_trial: bool = attrs.field(default=False, eq=False)
    is_too_large: bool = attrs.field(default=False, eq=False)
    is_alone: bool = attrs.field(default=False, eq=False)
    rest: "Window | None" = attrs.field(default=None, eq=False)

    @property
    def sort_key(self) -> tuple[int, int, tuple[str, ...]]:
        """Windows are ordered by batch, then by time, then by assets."""
        return self.batch, self.start_ms, self.assets or ()


class WindowPlanner:
    """The windows that are still to be requested.

    Args:
        outer: the whole range, in epoch milliseconds. Its ends are requested as they are.
        likely: the range that should hold the data. It reaches to the end of `outer` once data turns up beyond.
        batches: the assets of each batch of windows; None for all.
        concurrency: how many requests run at a time.
        is_too_large: whether everything was requested at once, and is too large.

    Attributes:
        pending: windows, in order. `take` splits and merges them.
        assets: the ids of all assets, when they are known. A day is split by them.
    """

    def __init__(
        self,
        outer: tuple[int, int],
        likely: tuple[int, int],
        batches: list[tuple[str, ...] | None],
        concurrency: int,
        *,
        is_too_large: bool = False,
    ) -> None:
        self.outer = outer
        self._likely, self._concurrency = likely, concurrency
        self.pending = [Window(*outer, ids, n, is_too_large=is_too_large) for n, ids in enumerate(batches)]
        self.assets: tuple[str, ...] | None = None
        self._total_assets = sum(len(ids or ()) for ids in batches)
        self._max_assets: float = math.inf  # of a window, once a day was too large
        self._running = self._running_trials = 0
        self._capacity, self._too_many = 0.0, math.inf  # rows that came in one response, and rows that did not
        self._rows = self._amount = 0.0  # of the last windows; older ones count less
        self._empty_in_a_row = 0
        self._max_amount = self._failed_amount = math.inf
        self._successes, self._patience = 0, RETRY_AFTER_SUCCESSES
        self._probes = self._split_into_probes() if is_too_large else 0
        self._is_probing = self._probes > 0

    def take(self) -> Window | None:
        """Return the next window to request; None when no window is left, or a running request must end first."""
        if not self.pending:
            return None
        if self._probes:
            self._probes -= 1
            window = self.pending.pop(0)
        elif self._running and (self._is_probing or not self._capacity):
            return None
        else:
            self._is_probing = False
            window = self._size(self._merge())
        self._running += 1
        self._running_trials += window.is_trial
        return window

    def succeeded(self, window: Window, rows: int) -> None:
        """Learn from the rows of a window."""
        self._end(window)
        if window.rest:
            self._put_back(attrs.evolve(window.rest, is_too_large=not rows, is_alone=rows > 0))
        if rows and not self.amount(window):
            is_later = window.start_ms >= self._likely[1]  # how far the data reaches is unknown
            self._likely = (self._likely[0], self.outer[1]) if is_later else (self.outer[0], self._likely[1])
        amount = self.amount(window)
        if not amount:
            return
        self._empty_in_a_row = 0 if rows else self._empty_in_a_row + 1
        if self._empty_in_a_row > 1 or not self._capacity:  # the density of before says nothing of what follows
            self._rows = self._amount = 0
        self._rows, self._amount = self._rows * DECAY + rows, self._amount * DECAY + amount
        if rows and not self._capacity:
            self._too_many = rows / amount * self._failed_amount
        self._capacity = max(self._capacity, rows)
        self._too_many = max(self._too_many, self._capacity)
        growth = min(MAX_GROWTH, self._capacity / rows) if rows else MAX_GROWTH
        self._max_amount = max(self._max_amount, amount * growth)
        self._successes += 1
        if self._successes >= self._patience:
            self._too_many, self._successes = math.inf, 0

    def failed(self, window: Window) -> bool:
        """Put back a window that is too large. False: it can't be split, and stays out."""
        self._end(window)
        self._successes = 0
        self._patience *= 1 + window.is_trial
        if window.rest:
            self._put_back(window.rest)
        amount = self.amount(window)
        if not self._capacity:
            self._failed_amount = min(self._failed_amount, amount or math.inf)
        elif amount and (expected := amount * self._rows / self._amount) > self._capacity:
            self._too_many = min(self._too_many, expected)
        elif amount:
            self._max_amount = min(self._max_amount, amount / 2)
        return self.requeue(attrs.evolve(window, is_too_large=True))

    def abandon(self, window: Window) -> None:
        """Leave out a window that failed for another reason than its size."""
        self._end(window)
        if window.rest:
            self._put_back(window.rest)

    def requeue(self, window: Window) -> bool:
        """Put back a window that is not running. False: it is too large and can't be split."""
        if window.is_too_large and self._middle(window) is None and len(self._ids(window)) < 2:
            return False
        self._put_back(attrs.evolve(window, is_trial=False, rest=None))
        return True

    def can_split(self, window: Window) -> bool:
        """Return whether a window can be split, by time or by assets."""
        return self._middle(window) is not None or len(self._ids(window)) > 1

    def requested_range(self, window: Window) -> tuple[int, int]:
        """Return the ends of the range to request: a millisecond beyond the ends that two windows share."""
        first, last = self.outer
        return (
            first if window.start_ms == first else window.start_ms - 1,
            last if window.stop_ms == last else window.stop_ms + 1,
        )

    def amount(self, window: Window) -> float:
        """Return the milliseconds of a window that should hold data, times its share of the assets."""
        start, stop = self._core(window)
        if not self._is_likely(window):
            return 0
        total = len(self.assets or ()) or self._total_assets
        return (stop - start) * (len(window.assets) / total if window.assets and total else 1)

    def _end(self, window: Window) -> None:
        self._running -= 1
        self._running_trials -= window.is_trial

    def _split_into_probes(self) -> int:
        """Split the first window into a half, a quarter, and so on; return how many to request at once."""
        window = attrs.evolve(self.pending.pop(0), is_too_large=False, is_alone=True)
        probes = list[Window]()
        while len(probes) < max(min(self._concurrency, MAX_PROBES) - 1, 1) and (cut_ms := self._middle(window)):
            probes.append(attrs.evolve(window, start_ms=cut_ms))
            window = attrs.evolve(window, stop_ms=cut_ms)
        self._put_back(window, *probes)
        return min(self._concurrency, 1 + len(probes))

    def _merge(self) -> Window:
        """Return the first window, merged with those that continue it."""
        window = self.pending.pop(0)
        while self.pending and not (window.is_too_large or window.is_alone):
            behind = self.pending[0]
            continues = (behind.batch, behind.assets, behind.start_ms) == (window.batch, window.assets, window.stop_ms)
            if not continues or behind.is_too_large or behind.is_alone:
                break
            window = attrs.evolve(window, stop_ms=self.pending.pop(0).stop_ms)
        return window

    def _size(self, window: Window) -> Window:
        """Return the part of a window that should fit one response, and put back the rest."""
        window = self._limit_assets(window)
        amount, safe = self.amount(window), self._amount_of(self._capacity)
        size = safe
        remaining = amount + sum(map(self.amount, self.pending))
        more = min(math.sqrt(self._capacity * self._too_many), 2 * self._capacity) if self._capacity else 0
        # A trial of what could be requested at once anyway would only fail last of all.
        if not self._running_trials and remaining > self._concurrency * safe and more > self._capacity * MIN_GROWTH:
            size = self._amount_of(more)
        start, stop = self._core(window)
        slack = amount / (stop - start) * HOUR_MS
        if amount > size + slack:
            cut_ms = max(_noon(start + (stop - start) * (size + slack) / amount), _noon(window.start_ms) + DAY_MS)
            if cut_ms < window.stop_ms:
                window = attrs.evolve(window, is_too_large=False)
                self._put_back(attrs.evolve(window, start_ms=cut_ms))
                return attrs.evolve(window, stop_ms=cut_ms, is_trial=size > safe)
        if not window.is_too_large:
            return attrs.evolve(window, is_trial=amount > safe + slack)
        window = attrs.evolve(window, is_too_large=False, is_alone=False)
        if cut_ms := self._middle(window) or 0:
            return attrs.evolve(window, stop_ms=cut_ms, rest=attrs.evolve(window, start_ms=cut_ms))
        self._max_assets = min(self._max_assets, max(len(self._ids(window)) // 2, 1))
        return self._limit_assets(window)

    def _limit_assets(self, window: Window) -> Window:
        """Return a window of no more assets than a day may have, and put back the others."""
        ids = self._ids(window)
        if len(ids) <= self._max_assets:
            return window
        count = math.ceil(len(ids) / math.ceil(len(ids) / self._max_assets))
        window = attrs.evolve(window, is_too_large=False)
        self._put_back(attrs.evolve(window, assets=ids[count:]))
        return attrs.evolve(window, assets=ids[:count])

    def _amount_of(self, rows: float) -> float:
        """Return the amount that should hold a number of rows."""
        return min(rows * self._amount / self._rows if self._rows else math.inf, self._max_amount)

    def _ids(self, window: Window) -> tuple[str, ...]:
        return window.assets or self.assets or ()

    def _middle(self, window: Window) -> int | None:
        """Return where to cut a window: in the middle of its data, else before or after it; None within a day."""
        start, stop = self._core(window)
        noon = _noon((start + stop) / 2)
        cuts = (noon, noon + DAY_MS, _noon(start), _noon(stop) + DAY_MS)
        return next((cut_ms for cut_ms in cuts if window.start_ms < cut_ms < window.stop_ms), None)

    def _is_likely(self, window: Window) -> bool:
        return window.start_ms < self._likely[1] and self._likely[0] < window.stop_ms

    def _core(self, window: Window) -> tuple[int, int]:
        """Return the part of a window that should hold data; all of it when no part should."""
        if not self._is_likely(window):
            return window.start_ms, window.stop_ms
        return max(window.start_ms, self._likely[0]), min(window.stop_ms, self._likely[1])

    def _put_back(self, *windows: Window) -> None:
        self.pending = sorted([*windows, *self.pending], key=lambda window: window.sort_key)


def _noon(moment_ms: float) -> int:
    """Return the last possible cut up to a moment."""
    return int((moment_ms - CUT_MS) // DAY_MS) * DAY_MS + CUT_MS

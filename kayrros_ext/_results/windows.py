"""Which part of a dataset's results to ask for next, when all of it is more than the gateway lets through.

A plan holds what is still missing, as windows of time, and learns from each answer how much one may hold. It performs no
I/O: whoever does asks for a window, and says what came of it.

Two windows share their boundary, and each asks for a millisecond beyond it: whether the API counts the ends of a range in
or out is unknown, and so every value lies inside the range of one window at least.
"""

import math

import attrs

DAY_MS = 86_400_000
# Half a second before noon: no value is thought to be dated so, and then none comes twice.
CUT_MS = DAY_MS // 2 - 500
# Ids of one request. How many the API takes is unknown; so many are a body of some 20 kB.
MOST_ASSETS = 500
# Rows beyond what is known to work that are worth a try; and so many windows go well before a try that failed is repeated.
WORTH_TRYING = 1.2
FIRST_PATIENCE = 16
# How much of what was learned from a window the next one leaves: the last few are what the next will be like.
MEMORY = 0.8


@attrs.frozen
class Window:
    """A part of the results: from one moment to another, of all assets or of some.

    Attributes:
        start_ms: epoch milliseconds of its first moment.
        stop_ms: of its last; the window behind it begins there.
        assets: ids; None for all.
        round: which batch of assets it belongs to.
        is_trial: whether it is larger than what is known to work.
        has_failed: whether it was asked for, and is too large.
        is_half: whether it is half of one that was thought to be small enough: then it is not made larger.
    """

    start_ms: int
    stop_ms: int
    assets: tuple[str, ...] | None = None
    round: int = 0
    is_trial: bool = attrs.field(default=False, eq=False)
    has_failed: bool = attrs.field(default=False, eq=False)
    is_half: bool = attrs.field(default=False, eq=False)

    @property
    def place(self) -> tuple[int, int, tuple[str, ...]]:
        """What windows are ordered by."""
        return self.round, self.start_ms, self.assets or ()


@attrs.define
class Lessons:
    """How many rows come at once, and how many rows an amount of time and assets holds.

    An amount is milliseconds times the share of the assets. Rows of a window are what it is expected to hold.
    """

    fits_rows: float = 0
    fails_rows: float = math.inf
    fails_amount: float = math.inf
    rows: float = 0
    amount: float = 0
    patience: int = FIRST_PATIENCE
    went_well: int = 0

    def succeeded(self, amount: float, rows: int) -> None:
        """So much came."""
        self.rows, self.amount = self.rows * MEMORY + rows, self.amount * MEMORY + amount
        self.fits_rows = max(self.fits_rows, rows)
        if self.rows and self.fails_amount < math.inf:  # what failed before anything came
            self.fails_rows, self.fails_amount = self.rows / self.amount * self.fails_amount, math.inf
        self.fails_rows = max(self.fails_rows, self.fits_rows)
        self.went_well += 1
        if self.went_well >= self.patience:
            self.fails_rows, self.went_well = math.inf, 0

    def failed(self, amount: float, *, was_trial: bool) -> bool:
        """So much did not. Whether that was to be expected."""
        self.patience *= 1 + was_trial
        self.went_well = 0
        if not self.rows:
            self.fails_amount = min(self.fails_amount, amount)
            return True
        expected = self.rows / self.amount * amount
        if expected > self.fits_rows:
            self.fails_rows = min(self.fails_rows, expected)
            return True
        self.rows, self.amount = 2 * self.fits_rows, amount  # it holds more than those before it
        return False

    def size(self, *, may_try: bool) -> tuple[float, bool]:
        """The amount to ask for, and whether it is a trial; nothing while nothing has come."""
        if not self.rows:
            return 0, False
        worth = min(math.sqrt(self.fits_rows * self.fails_rows), 2 * self.fits_rows)
        is_trial = may_try and worth > self.fits_rows * WORTH_TRYING
        return (worth if is_trial else self.fits_rows) * self.amount / self.rows, is_trial


@attrs.define
class Plan:
    """What is still to be asked for, in order of time, and how much at once.

    Args:
        outer: the range that is wanted, in epoch milliseconds.
        likely: the range that is thought to hold values: where to cut. It grows where others hold some, too.
        batches: the assets of each round, None for all of them.
        width: how many requests run at a time.
        has_failed: whether all of it was asked for at once, and is too large.

    Attributes:
        assets: ids of all assets, once they are known: what a day is cut by.
        pending: windows that are still to be asked for, in order; cut to size when they are.
    """

    outer: tuple[int, int]
    likely: tuple[int, int]
    batches: list[tuple[str, ...] | None]
    width: int
    has_failed: bool = False
    assets: tuple[str, ...] | None = None
    pending: list[Window] = attrs.field(init=False)
    _lessons: Lessons = attrs.field(factory=Lessons, init=False)
    # What a day was too large with has been halved so often.
    _most_assets: float = attrs.field(default=math.inf, init=False)
    _running: int = attrs.field(default=0, init=False)
    _trials: int = attrs.field(default=0, init=False)
    # While nothing is known: windows of every size, the smallest first, that are asked for all at once.
    _probes: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.pending = [
            Window(*self.outer, batch, number, has_failed=self.has_failed) for number, batch in enumerate(self.batches)
        ]

    def take(self) -> Window | None:
        """The next window to ask for; None where none is left, or where what is under way has first to come."""
        if not self.pending:
            return None
        if self._lessons.fits_rows:
            self._probes = 0
            window = self._cut(self.pending.pop(0))
        else:
            if not self._probes:
                if self._running:
                    return None
                self._probes = self._spread() if self.pending[0].has_failed else 1
            self._probes -= 1
            window = self.pending.pop(0)
        self._running += 1
        self._trials += window.is_trial
        return window

    def succeeded(self, window: Window, rows: int) -> None:
        """A window came, with so many rows."""
        self._ended(window)
        if rows and not self._overlaps(window):  # the range was wrong
            self.likely = min(self.likely[0], window.start_ms), max(self.likely[1], window.stop_ms)
        if rows or self._overlaps(window):  # that nothing lies where nothing was thought to lie is no lesson
            self._lessons.succeeded(self.amount(window), rows)

    def failed(self, window: Window) -> bool:
        """A window is more than comes at once: it goes back. False where it can't be cut: then it stays out."""
        self._ended(window)
        parts, amount = self.parts(window), self.amount(window)
        if not self._is_long(window) and parts:
            self._most_assets = min(self._most_assets, len(parts[0].assets or ()))
        if self._overlaps(window):
            was_expected = self._lessons.failed(amount, was_trial=window.is_trial)
            if self._is_long(window) and was_expected and amount > 2 * self._lessons.size(may_try=False)[0]:
                self._back(attrs.evolve(window, is_trial=False, has_failed=True))
                return True
            if not was_expected and (edge := self._edge(window)) is not None:
                parts = self._halves(window, edge)
        self._back(*(attrs.evolve(part, is_half=True) for part in parts))
        return bool(parts)

    def gave_up(self, window: Window) -> None:
        """A window failed in a way that its parts would, too: it stays out."""
        self._ended(window)

    def once_more(self, window: Window) -> None:
        """A window that could not be cut goes back as it is."""
        self._back(window)

    def again(self, window: Window) -> bool:
        """A window that could not be cut goes back, now that the assets are known. False where it still can't."""
        parts = self.parts(window)
        self._back(*parts)
        return bool(parts)

    def parts(self, window: Window) -> list[Window]:
        """The two halves of a window: of its time down to a day, else of its assets; none where there are no two."""
        window = attrs.evolve(window, is_trial=False, has_failed=False)
        middle = self._middle(window)
        if middle is not None:
            return self._halves(window, middle)
        ids = self._ids(window)
        half = len(ids) // 2
        return [attrs.evolve(window, assets=part) for part in (ids[:half], ids[half:])] if half else []

    def asked(self, window: Window) -> tuple[int, int]:
        """The range to ask for: a millisecond beyond a boundary that two windows share."""
        first, last = self.outer
        return (
            first if window.start_ms == first else window.start_ms - 1,
            last if window.stop_ms == last else window.stop_ms + 1,
        )

    def _ended(self, window: Window) -> None:
        self._running -= 1
        self._trials -= window.is_trial

    def _spread(self) -> int:
        """Cut the first window into ever smaller halves, as many as run at a time: one of them will be small enough.

        Returns:
            How many there are to ask for at once.
        """
        first, found = self.pending.pop(0), list[Window]()
        while len(found) < max(self.width - 1, 1) and (halves := self.parts(first)):
            first, behind = halves
            found.insert(0, behind)
        self._back(first, *found)
        return min(1 + len(found), self.width)

    def _cut(self, window: Window) -> Window:
        """A window of the size that is thought to work; what is left behind it is still to be asked for."""
        size, is_trial = self._lessons.size(may_try=not self._trials and self._is_far_from_done(window))
        while self.pending and self._continues(window, self.pending[0]):
            window = attrs.evolve(window, stop_ms=self.pending.pop(0).stop_ms)
        window = self._some_assets(attrs.evolve(window, has_failed=False))
        if not self._overlaps(window):  # nothing is thought to lie there
            return window
        amount = self.amount(window)
        if amount <= size * 1.01:
            # A trial is one only where it is larger than what works anyway.
            return attrs.evolve(window, is_trial=is_trial and amount > self._lessons.size(may_try=False)[0] * 1.01)
        start, stop = self._core(window)
        cut = _noon(start + (stop - start) * size * 1.01 / amount)
        cut = cut if cut > window.start_ms else _noon(window.start_ms) + DAY_MS
        if window.start_ms < cut < window.stop_ms:
            self._back(attrs.evolve(window, start_ms=cut))
            window = attrs.evolve(window, stop_ms=cut, is_trial=is_trial)
        return window

    def _is_far_from_done(self, window: Window) -> bool:
        """Whether more is left than can be asked for at once: then a larger window may save time, should it come."""
        left = sum(self.amount(known) for known in (window, *self.pending))
        return left > self.width * self._lessons.size(may_try=False)[0]

    @staticmethod
    def _halves(window: Window, cut: int) -> list[Window]:
        window = attrs.evolve(window, is_trial=False, has_failed=False)
        return [attrs.evolve(window, stop_ms=cut), attrs.evolve(window, start_ms=cut)]

    def _some_assets(self, window: Window) -> Window:
        """A window of no more assets than a day may have; the others are still to be asked for, over as long a time."""
        ids = self._ids(window)
        if len(ids) <= self._most_assets:
            return window
        most = math.ceil(len(ids) / math.ceil(len(ids) / self._most_assets))
        self._back(attrs.evolve(window, assets=ids[most:]))
        return attrs.evolve(window, assets=ids[:most])

    def _ids(self, window: Window) -> tuple[str, ...]:
        return window.assets or self.assets or ()

    def _continues(self, window: Window, behind: Window) -> bool:
        """Whether two windows may be asked for as one."""
        same = (window.round, window.assets, window.stop_ms) == (behind.round, behind.assets, behind.start_ms)
        return same and not (window.is_half or behind.is_half)

    def _is_long(self, window: Window) -> bool:
        return self._middle(window) is not None

    def _middle(self, window: Window) -> int | None:
        """The noon to cut a window at: in the middle of that part of it that is known to hold values, else beside it."""
        start, stop = self._core(window)
        noon = _noon((start + stop) / 2)
        return next(
            (cut for cut in (noon, noon + DAY_MS) if window.start_ms < cut < window.stop_ms), self._edge(window)
        )

    def _edge(self, window: Window) -> int | None:
        """The noon between the part of a window that is known to hold values and what lies before or behind it."""
        if not self._overlaps(window):
            return None
        start, stop = self._core(window)
        return next(
            (cut for cut in (_noon(start), _noon(stop) + DAY_MS) if window.start_ms < cut < window.stop_ms), None
        )

    def amount(self, window: Window) -> float:
        """Milliseconds of a window that are known to hold values, times its share of the assets."""
        if not self._overlaps(window):
            return 0
        start, stop = self._core(window)
        everything = len(self.assets or ()) or sum(len(batch or ()) for batch in self.batches)
        return (stop - start) * (len(window.assets) / everything if window.assets and everything else 1)

    def _overlaps(self, window: Window) -> bool:
        return window.start_ms < self.likely[1] and self.likely[0] < window.stop_ms

    def _core(self, window: Window) -> tuple[int, int]:
        """The part of a window that is known to hold values; all of it where none is."""
        if not self._overlaps(window):
            return window.start_ms, window.stop_ms
        return max(window.start_ms, self.likely[0]), min(window.stop_ms, self.likely[1])

    def _back(self, *windows: Window) -> None:
        self.pending = sorted([*windows, *self.pending], key=lambda window: window.place)


def _noon(moment_ms: float) -> int:
    """The last noon, or nearly, up to a moment."""
    return int((moment_ms - CUT_MS) // DAY_MS) * DAY_MS + CUT_MS

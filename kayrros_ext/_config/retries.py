"""How often a request is retried, and how long to wait before each retry."""

import random
import time
from collections.abc import Awaitable, Callable

import attrs

from kayrros_ext.errors import ConfigurationError

DEFAULT_MAX_RETRIES = 4


async def _sleep_async(seconds: float) -> None:
    import anyio  # httpx loads it for async clients only, so a blocking program does not pay for the import

    await anyio.sleep(seconds)


@attrs.frozen
class Retries:
    """How often a read is retried, and how long it waits: exponential backoff with full jitter.

    Example:
        >>> kayrros = Kayrros(retries=Retries(max_retries=6, backoff_max=60))

    Attributes:
        max_retries: retries after the first attempt; 0 turns retrying off. A refusal with Retry-After (429, 503) is not
            counted.
        backoff_initial: upper bound of the first wait, in seconds. It doubles with each retry.
        backoff_max: largest upper bound, in seconds. A gateway that restarts needs minutes (assumed).
        retry_after_max: longest Retry-After that is honoured, in seconds. A longer one ends the retries. The backoff comes
            on top of it.
        jitter: returns a random number between two bounds.
        sleep: waits for a number of seconds, in threads.
        sleep_async: the same in tasks.
        clock: seconds of a monotonic clock.
    """

    max_retries: int = DEFAULT_MAX_RETRIES
    backoff_initial: float = 1
    backoff_max: float = 30
    retry_after_max: float = 120
    jitter: Callable[[float, float], float] = attrs.field(default=random.uniform, repr=False)
    sleep: Callable[[float], object] = attrs.field(default=time.sleep, repr=False)
    sleep_async: Callable[[float], Awaitable[object]] = attrs.field(default=_sleep_async, repr=False)
    clock: Callable[[], float] = attrs.field(default=time.monotonic, repr=False)

    @classmethod
    def parse(cls, value: "int | Retries") -> "Retries":
        """Return Retries for a count, or the Retries themselves; raise ConfigurationError for any other value.

        Example:
            >>> Retries.parse(2).max_retries
            2
        """
        if isinstance(value, Retries):
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigurationError(f"retries is {value!r}.", hint="Pass a number (0 turns them off), or Retries.")
        return cls(value)

    def backoff(self, attempt: int, retry_after: float | None) -> float:
        """Return the seconds to wait after an attempt, counted from 1: the backoff, on top of a Retry-After.

        Example:
            >>> Retries(jitter=max).backoff(3, retry_after=None)  # at most, in seconds
            4
        """
        # The exponent is bounded because 2 ** 2000 overflows a float.
        most = min(self.backoff_max, self.backoff_initial * 2 ** min(attempt - 1, 64))
        return (retry_after or 0) + self.jitter(0, most)


def slices(seconds: float, sleep: Callable[[float], object]) -> list[float]:
    """Return a wait in parts of at most a second, so that closing the client ends it; one part for a sleep of the user's."""
    return [1.0] * int(seconds) + [seconds % 1] if sleep in {time.sleep, _sleep_async} else [seconds]

"""Tokens: how old one is, and when it ends where it says so."""

import base64
import binascii
import json
import math

import attrs

from kayrros_ext._secret import Secret

# A token that ends within this is not begun with: the call would outlive it, and clocks differ.
TO_SPARE_S = 60
# The last second that a datetime can name; an end beyond is no date.
_LAST_S = 253402300799


@attrs.frozen(eq=False)
class Token:
    """A token, and what is known of its age.

    Attributes:
        value: the token.
        since_s: when we got it, in seconds of the auth's clock; minus infinity where its age is not known.
        until_s: when it ends, in seconds since 1970; None where it does not say, or is not to be believed.
        cached: whether it is of another process, by way of the cache.
    """

    value: Secret
    since_s: float
    until_s: float | None = None
    cached: bool = False

    def has_ended(self, now_s: float) -> bool:
        """Whether it ends within a minute; False where it does not say when."""
        return self.until_s is not None and now_s > self.until_s - TO_SPARE_S


def end_of(token: Secret) -> float | None:
    """The `exp` of a JWT, in seconds since 1970; None for any other token. The signature is the platform's to check.

    Whether the platform's tokens are JWTs is unknown.
    """
    parts = token.value.split(".")
    if len(parts) != 3 or not all(parts[:2]):
        return None
    try:
        json.loads(_decoded(parts[0]))
        claims = json.loads(_decoded(parts[1]))
        end = claims["exp"]
        if isinstance(end, bool) or not isinstance(end, int | float):
            return None
        return float(end) if math.isfinite(end) and 0 < end <= _LAST_S else None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError from None

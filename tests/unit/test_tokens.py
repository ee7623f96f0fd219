"""Tokens: a JWT says when it ends, and what is not one says nothing."""

import base64
import json
from typing import Any

import pytest

from kayrros_ext._auth.tokens import TO_SPARE_S, Token, end_of
from kayrros_ext._secret import Secret


def coded(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def jwt(**claims: Any) -> str:
    return f"{coded({'alg': 'none'})}.{coded(claims)}.{coded('signature')}"


def jwt_with_end(end: object) -> str:
    return jwt(exp=end)


@pytest.mark.parametrize("end", [1, 1700000000, 1700000000.5, 253402300799])
def test_the_end_of_a_jwt(end: float) -> None:
    """Its claim `exp`, whatever else it claims, and whatever its length leaves as padding."""
    for padding in ("", "x", "xx", "xxx"):
        assert end == end_of(Secret(jwt(exp=end, sub=padding + "?>ü")))


@pytest.mark.parametrize(
    "token",
    [
        *("opaque", "a.b", "a.b.c", "a.b.c.d", "..", "a..c", "!.!.!", "ü.ü.ü"),
        jwt(),
        *map(jwt_with_end, (None, True, "1700000000", [1], {}, 0, -1, 10**12, 10**400)),
        *(
            f"{coded(head)}.{coded(claims)}.x"
            for head, claims in [
                ({}, '{"exp": 1e999}'),
                ({}, '{"exp": NaN}'),
                ({}, [1]),
                ({}, 5),
                ({}, "{"),
                ("nothing", {"exp": 1700000000}),
                ({}, "[" * 100_000),
                ({}, "9" * 5000),
            ]
        ),
    ],
)
def test_any_other_token_says_nothing(token: str) -> None:
    """It is opaque: a 401 is what tells."""
    assert end_of(Secret(token)) is None


def test_a_token_ends_a_minute_early() -> None:
    """So that no call outlives it."""
    token = Token(Secret("t"), 0, until_s=1000)
    assert not token.has_ended(1000 - TO_SPARE_S)
    assert token.has_ended(1000 - TO_SPARE_S + 1)
    assert not Token(Secret("t"), 0).has_ended(1e12)

"""The claims of `make fuzz-parsers` on the three parsers hold for the corpus and for the inputs of hypothesis."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, content_disposition, login, results

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"
KEYS = ["token", "error", "code", "message", "assets", "results", "metrics", "asset_id", "value_date", "name", "value"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=5),
    max_leaves=12,
)


def written(value: object) -> bytes:
    """Return a value as JSON, with NaN and lone surrogates, which Python's encoder allows."""
    return json.dumps(value).encode()


damaged = st.builds(
    lambda body, place, junk: body[:place] + junk + body[place + len(junk) :],
    JSON.map(written),
    st.integers(0, 200),
    st.binary(max_size=4),
)


# The first to read results imports pyarrow, which is no matter of its input.
brief = settings(max_examples=50)


@brief
@given(st.builds(lambda first, body: bytes([first]) + body, st.integers(0, 255), damaged | st.binary(max_size=300)))
def test_any_login_reply_is_a_token_or_a_login_error(reply: bytes) -> None:
    """Any status may come with it."""
    login(reply)


@brief
@given(damaged | st.binary(max_size=300))
def test_any_results_are_tables_or_a_contract_error(body: bytes) -> None:
    """The tables are valid and of the declared schemas."""
    results(body)


@brief
@given(st.binary(max_size=400))
def test_any_content_disposition_gives_a_safe_name(header: bytes) -> None:
    """tests/unit/test_download_headers.py has more cases."""
    content_disposition(header)


@pytest.mark.parametrize("path", sorted(CORPUS.rglob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus_holds(path: Path) -> None:
    """No input of the fuzzing corpus breaks a claim."""
    TARGETS[path.parent.name](path.read_bytes())


def test_the_corpus_is_small() -> None:
    """It takes a few KB and covers each parser."""
    assert set(TARGETS) == {path.name for path in CORPUS.iterdir()}
    assert sum(path.stat().st_size for path in CORPUS.rglob("*/*")) < 16_000

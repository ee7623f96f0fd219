"""The columnar reader agrees with a slow and obvious one on anything that a server may send."""

import json
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kayrros_ext import ContractError
from kayrros_ext._results import reader
from kayrros_ext._results.reader import read_results, sort_rows
from kayrros_ext._results.schema import (
    ASSET_FIELDS,
    ASSETS,
    DOUBLE,
    INTEGER,
    LABEL,
    RESULTS,
    STRINGS,
    WITHOUT_METRICS,
)
from tests.support import slow_reader

TABLES = {"table": RESULTS, "assets": ASSETS, "without_metrics": WITHOUT_METRICS}
GOOD_NUMBERS = [
    *(
        "0",
        "-0",
        "-0.0",
        "1",
        "3.0",
        "1e3",
        "1E+3",
        "1e-3",
        "3.5",
        "1e-400",
        "5e-324",
        "2.5e-324",
        "1e22",
        "1e23",
        "0.1",
    ),
    *("1.7976931348623157e308", "0.30000000000000004", "9007199254740993", "2.2250738585072011e-308", "1704067200000"),
    *("9223372036854775807", "9223372036854775808", "123456789012345678901234567890", "0." + "3" * 800),
]
BAD_NUMBERS = ["1e400", "-1e400", "1.7976931348623159e308", "1" * 400, "9" * 5000]
INTEGERS = ["0", "-0", "1704067200000", "9223372036854775807", "-9223372036854775808", "3.0", "1e3", "-0.0", "1E+3"]
BAD_INTEGERS = ["9223372036854775808", "-9223372036854775809", "3.5", "1e19", "1e400", "9" * 5000]
# fmt: off
GOOD_DATES = [
    "2024-01-02", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05", "2024-01-02 03:04", "2024-01-02T03:04:05.678+0000",
    "2024-01-02T03:04:05.123456Z", "2024-01-02T03:04:05.1234567Z", "2024-01-02T03:04:05+02:00", "20240102", "2024-W01",
    "2024-01-02T03", "2024-01-02T03Z", "0001-01-01", "9999-12-31", "1969-12-31T23:59:59.5Z", "2024-01-02T03:04:05-0030",
    "2024-01-02T03:04:05,5Z", "2024-01-02T03:04:05.1Z", "2024-01-02T03:04:05+02",
    "2024-01-02t03:04:05Z", "2024-01-02T03:04:05z", "2024-01-02t03:04:05.5z",
]
BAD_DATES = [
    "2024-01-02T24:00:00", "2024-01-02T23:59:60Z", "2024-02-30", "0000-01-01", "0001-01-01T00:00:00+10:00", "2024", "",
    "9999-12-31T23:59:59-10:00", "2024-01-02T03:04:05+25:00", "2024-01-02T03:04:05+24:00", "2024-01-02Z", "10000-01-01",
    "2024-01-02tt03:04", "2024-w01", " 2024-01-02", "\u0662\u0660\u0662\u0664-01-02", "2024-1-2",
    "-2024-01-02", "2024-01-02T3:04", "2024-01-02x03:04", "now",
]
# fmt: on
TEXTS = [
    '"a"',
    '""',
    '"Tank \\u00e9"',
    '"\\ud83d\\ude00"',
    '"😀 é"',
    '"\\n\\"\\\\\\/"',
    '"\\u0000"',
    '"},{\\"asset_id\\":"',
]
SURROGATES = ['"\\ud83d"', '"\\ude00"', '"\ud800"', '"\\ud83dx"']  # halves of characters, which no text can hold
SPACES = ["", "", "", " ", "\n", "\r\n\t "]

JSON = st.SearchStrategy[str]
NON_FINITE = ["NaN", "Infinity", "-Infinity", '"NaN"', '"Infinity"', '"-Infinity"']
decimals = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False).map(repr), decimals, st.sampled_from(GOOD_NUMBERS))
integers = st.one_of(st.integers(-(2**63), 2**63 - 1).map(str), st.sampled_from(INTEGERS))
texts = st.one_of(
    st.sampled_from(TEXTS),
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
)
clock = r"[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-9:.]{2,12}(Z|[+-][0-9:]{2,5})?)?"
good_dates = st.one_of(st.sampled_from(GOOD_DATES), st.sampled_from(GOOD_DATES[:3]), st.datetimes().map(str))
bad_dates = st.one_of(st.sampled_from(BAD_DATES), st.from_regex(clock, fullmatch=True))
anything = st.recursive(
    st.one_of(numbers, texts, st.sampled_from(["null", "true", "false", *BAD_NUMBERS, *SURROGATES, *NON_FINITE])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(texts, inner), max_size=2).map(lambda pairs: f"{{{', '.join(map(': '.join, pairs))}}}"),
    ),
    max_leaves=4,
)
extras = st.tuples(st.sampled_from(['"extra_props"', '"x.y"', '"\\u00e9"', *TEXTS]), anything)


class Answers:
    """Bodies that a server may send. With `odd`, one value in that many is not of the contract's type."""

    def __init__(self, odd: int | None) -> None:
        self.odd = odd

    def value(self, usual: JSON, bad: JSON = anything) -> JSON:
        kinds = [usual] * 9 + [st.just("null")]
        odd = st.one_of(bad, anything)
        drawn = st.sampled_from(kinds).flatmap(lambda kind: kind)
        return st.integers(1, self.odd).flatmap(lambda n: odd if n == 1 else drawn) if self.odd else drawn

    def object(self, members: dict[str, JSON]) -> JSON:
        @st.composite
        def draw_object(draw: st.DrawFn) -> str:
            names = draw(st.permutations(list(members))) if draw(st.booleans()) else list(members)
            if draw(st.integers(0, 9)) == 9:
                names = names[: draw(st.integers(0, len(names)))]
            if not self.odd and draw(st.integers(0, 29)) == 29:
                names = names + names[:1]  # a duplicate: the last one counts
            pairs = [(json.dumps(name), draw(members[name])) for name in names]
            pairs += draw(st.lists(extras, max_size=1)) if draw(st.integers(0, 4)) == 4 else []
            space = draw(st.sampled_from(SPACES))
            return f"{{{','.join(f'{space}{name}{space}:{space}{value}{space}' for name, value in pairs)}{space}}}"

        return draw_object()

    def array(self, items: JSON, minimum: int, maximum: int) -> JSON:
        @st.composite
        def draw_array(draw: st.DrawFn) -> str:
            space = draw(st.sampled_from(SPACES))
            drawn = [] if draw(st.integers(0, 9)) == 9 else draw(st.lists(items, min_size=minimum, max_size=maximum))
            return f"[{space}{f'{space},{space}'.join(drawn)}{space}]"

        return self.value(draw_array())

    def bodies(self) -> st.SearchStrategy[bytes]:
        text = self.value(texts, st.sampled_from(SURROGATES))
        number = self.value(numbers, st.sampled_from([*BAD_NUMBERS, *NON_FINITE]))
        kinds = {
            LABEL: text,
            INTEGER: self.value(integers, st.sampled_from([*BAD_INTEGERS, *NON_FINITE])),
            DOUBLE: number,
            STRINGS: self.array(text, 0, 2),
        }
        dates = self.value(good_dates.map(json.dumps), bad_dates.map(json.dumps))
        metrics = self.object({"name": text, "value": number})
        results = self.object({"value_date": dates, "metrics": self.array(metrics, 1, 3)})
        assets = self.object(
            {**{field.name: kinds[field.type] for field in ASSET_FIELDS}, "results": self.array(results, 1, 4)}
        )
        answers = self.object({"assets": self.array(assets, 1, 4), "processing_id": text, "source_id": text})
        return answers.map(lambda text: text.encode("utf-8", "surrogatepass"))


bodies = st.sampled_from([None, 100, 20]).flatmap(lambda odd: Answers(odd).bodies())


def check(body: bytes, batch_bytes: int = 1) -> ContractError | None:
    """Assert that both readers agree: the same tables to the last bit, or an error at a place that is wrong."""
    expected = slow_reader.read(body)
    if expected is None or expected.errors:
        with pytest.raises(ContractError) as caught:
            read_results(body, batch_bytes=batch_bytes)
        # A number that is too large may lie deep in a value that is wrong as a whole.
        where = caught.value.where or "the answer"
        assert expected is None or where.startswith(tuple(expected.errors))
        return caught.value
    results = read_results(body, batch_bytes=batch_bytes)
    for name, schema in TABLES.items():
        table = getattr(results, name)
        table.validate(full=True)
        assert schema.equals(table.schema, check_metadata=True)
        assert bits(getattr(expected, name)) == bits(table.to_pylist())
    for name in ("processing_id", "source_id", "unknown_fields", "non_finite"):
        assert getattr(expected, name) == getattr(results, name)
    return None


def bits(value: Any) -> Any:
    """Return a value with its doubles as bits. The sign of zero is dropped, because that of the integer -0 may be."""
    if isinstance(value, list):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    return struct.pack("d", value + 0.0) if isinstance(value, float) else value


many = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@many
@given(bodies, st.sampled_from([1, 300, 10**6]))
def test_readers_agree(body: bytes, batch_bytes: int) -> None:
    """On nulls, missing and empty lists, escapes, undeclared fields, any number and wrong types."""
    check(body, batch_bytes)


@many
@given(bodies, st.sampled_from([1, 10**6]), st.data())
def test_readers_agree_on_damage(body: bytes, batch_bytes: int, data: st.DataObject) -> None:
    """On a body that is cut off, or that has some bytes removed or replaced."""
    start = data.draw(st.integers(0, len(body)))
    stop = data.draw(st.sampled_from([start, start + 1, start + 9, len(body)]))
    junk = b', } ] [ { " null \n \xff \xed\xa0\x80 \0 NaN -Infinity " "NaN {} 0 \\'.split(b" ")
    check(body[:start] + data.draw(st.sampled_from([b"", *junk])) + body[stop:], batch_bytes)


def make_body(count: int, indent: int | None = None, **fields: Any) -> bytes:
    """Return a response of assets with three dates and two metrics each."""
    metrics = [{"name": "volume", "value": 0.1}, {"name": "level", "value": 2}]
    dates = [{"value_date": f"2024-01-0{day}T00:00:00Z", "metrics": metrics} for day in (1, 2, 3)]
    assets = [{"asset_id": f"t{number}", "results": dates, **fields} for number in range(count)]
    return json.dumps({"assets": assets}, indent=indent).encode()


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("batch_bytes", [1, 1000, None])
def test_rows_keep_the_order_of_the_response(indent: int | None, batch_bytes: int | None) -> None:
    """Layout and number of batches have no effect. A label is stored once."""
    results = read_results(make_body(200, indent), batch_bytes=batch_bytes)
    assert [f"t{number}" for number in range(200) for _ in range(6)] == results.table["asset_id"].to_pylist()
    assert results.table["metric"].to_pylist() == ["volume", "level"] * 600
    assert {200} == {len(chunk.dictionary) for chunk in results.table["asset_id"].chunks if len(chunk)}


def test_sort_rows_orders_by_asset_date_and_metric() -> None:
    """Each table is sorted, with nulls last."""
    metrics = [{"name": "b", "value": 1}, {"name": None, "value": 2}, {"name": "a", "value": 3}]
    dates = [{"value_date": "2024-01-02", "metrics": metrics}, {"value_date": None, "metrics": metrics[:1]}]
    dates += [{"value_date": "2024-01-01", "metrics": metrics[:1]}, {"value_date": "2023-01-01"}]
    assets = [{"asset_id": name, "results": dates} for name in ("t2", None, "t1")]
    results = sort_rows(read_results(json.dumps({"assets": assets}).encode(), batch_bytes=1))
    assert results.table["asset_id"].to_pylist() == ["t1"] * 5 + ["t2"] * 5 + [None] * 5
    assert [date and date.day for date in results.table["value_date"].to_pylist()] == [1, 2, 2, 2, None] * 3
    assert results.table["metric"].to_pylist() == ["b", "a", "b", None, "b"] * 3
    assert results.assets["asset_id"].to_pylist() == ["t1", "t2", None]
    assert results.without_metrics["asset_id"].to_pylist() == ["t1", "t2", None]


def count_decoded(body: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many assets the strict decoder saw."""
    numbers: list[int] = []
    decode = reader._BatchReader.decode

    def count(self: reader._BatchReader, number: int, asset: Any) -> bytes:
        numbers.append(number)
        return decode(self, number, asset)

    monkeypatch.setattr(reader._BatchReader, "decode", count)
    read_results(body)
    return len(numbers)


def test_regular_response_is_never_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Line breaks, escapes, missing members and nulls are regular."""
    odd = b'{},{"asset_name":"\\u00e9","results":null},{"results":[{"metrics":[]}]},'
    body = make_body(9, 2).replace(b"[", b"[" + odd, 1)
    assert count_decoded(body, monkeypatch) == 0


@pytest.mark.parametrize(
    "extra",
    [
        '{"cloud":0.5,"tags":["a"],"none":null}',
        '{"x":[' + ",".join(f'{{"{n}":1}}' for n in range(200)) + "]}",
        "[" * 500 + "]" * 500,
    ],
)
def test_undeclared_fields_cost_no_decoding(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are named and ignored, also many, deeply nested, or of several types."""
    body = make_body(9, colour=[{}])[:-2] + b"," + make_body(9, extra="x").replace(b'"x"', extra.encode())[12:]
    assert count_decoded(body, monkeypatch) == 0
    assert read_results(body).unknown_fields == ("assets[].colour", "assets[].extra")


def test_hostile_field_names_cost_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column for each of 1,000 undeclared names on 100,000 rows would take 800 MB."""
    pool = pa.proxy_memory_pool(pa.system_memory_pool())
    monkeypatch.setattr(reader, "_POOL", pool)
    metric = '{"name":"a","value":1,' + ",".join(f'"{n}":1' for n in range(1000)) + "}"
    metrics = ",".join([metric, *["{}"] * 100_000])
    body = f'{{"assets":[{{"asset_id":"t","results":[{{"value_date":null,"metrics":[{metrics}]}}]}}]}}'
    assert len(read_results(body.encode()).unknown_fields) == 1000
    assert pool.max_memory() < 50e6


@pytest.mark.parametrize(
    "odd", ["null", "1", "[]", '"a"', '{"asset_version":1.5}', '{"results":[null]}', '{"results":[{"metrics":[null]}]}']
)
def test_error_names_the_asset(odd: str) -> None:
    """Among many assets and batches. No text ends the process, as a line of `null` ends pyarrow's parser."""
    before, after = make_body(50)[:-2], make_body(50)[len('{"assets": [') :]
    error = check(before + b"," + odd.encode() + b"," + after, 1000)
    assert error
    assert error.where
    assert error.where.startswith("assets[50]")
    assert error.where in str(error)


def test_first_error_is_named() -> None:
    """The same error each time, whichever thread was first. Damage comes before both."""
    body = make_body(50).replace(b'"t20"', b"20").replace(b'"t30"', b"30")
    for _ in range(5):
        assert getattr(check(body, 1000), "where", None) == "assets[20].asset_id"
    assert "not JSON" in str(check(body[:-9], 1000))


@pytest.mark.parametrize("literal", NON_FINITE[:3])
@pytest.mark.parametrize("batch_bytes", [1, 10**6])
def test_literals_fit_only_numbers(literal: str, batch_bytes: int) -> None:
    """Elsewhere they are errors that name the place. The same words inside of strings are texts, and JSON stays JSON."""
    text = 'NaN \\" Infinity, -Infinity'
    for member, where in {
        f'"asset_surface_area_m2":{literal}': None,
        f'"asset_version": {literal} ': None,
        f'"asset_name":{literal}': "assets[1].asset_name",
        f'"asset_categories":[{literal}]': "assets[1].asset_categories[0]",
        f'"results":{literal}': "assets[1].results",
        f'"results":[{literal}]': "assets[1].results[0]",
        f'"results":[{{"value_date":{literal}}}]': "assets[1].results[0].value_date",
    }.items():
        body = f'{{"assets":[{{"asset_id":"{text}"}},{{{member},"asset_id":"{text}"}}]}}'
        error = check(body.encode(), batch_bytes)
        assert where == (error and error.where)
    for bad in (
        f"--{literal}",
        f"1{literal}",
        f"{literal}1",
        literal.lower(),
        literal * 2,
        literal[:-1],
        f'{literal}"a',
    ):
        with pytest.raises(ContractError, match=r"not JSON .*byte \d\d"):
            read_results(f'{{"assets":[{{"asset_id":"{text}","asset_version":{bad}}}]}}'.encode())
    assert check(f'{{"assets":[],"processing_id":{literal}}}'.encode()).where == "processing_id"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "body", [b"N" * 10**6, b'"' * 999_999, b"NaN" * 10**5, b'{"a":"' + b"\\" * 10**6, b"-" * 10**6]
)
@pytest.mark.timeout(20)
def test_no_damage_takes_long(body: bytes) -> None:
    """The search for literals is linear, also where it begins again."""
    with pytest.raises(ContractError, match="not JSON"):
        read_results(b'{"assets":[{"asset_id":1e3},' + body)


def test_byte_order_mark_is_skipped() -> None:
    """UTF-8 is the only encoding of JSON, and some servers mark it."""
    check('{"assets": [{"asset_name": "Zürich 😀"}]}'.encode("utf-8-sig"))
    with pytest.raises(ContractError, match="not JSON"):
        read_results('{"assets": []}'.encode("utf-16"))


@pytest.mark.parametrize("text", [*GOOD_DATES, *BAD_DATES])
@pytest.mark.parametrize("other", ["2024-01-02", "2024-01-02T03:04:05Z", "20240102"])
def test_date_forms(text: str, other: str) -> None:
    """The other forms of the batch do not change its meaning."""
    dates = [json.dumps({"value_date": date}) for date in (text, other)]
    error = check(f'{{"assets":[{{"results":[{",".join(dates)}]}}]}}'.encode())
    assert (text in BAD_DATES) == (error is not None)


@pytest.mark.parametrize("field", ["asset_version", "asset_surface_area_m2"])
@pytest.mark.parametrize(
    "number",
    [*GOOD_NUMBERS, *BAD_NUMBERS, *INTEGERS, *BAD_INTEGERS, "NaN", "Infinity", "-", "01", "1.", ".5", "true", '"1"'],
)
def test_number_forms(field: str, number: str) -> None:
    """A number is exact to the last bit, or an error."""
    check(f'{{"assets":[{{"{field}":{number}}}]}}'.encode())


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
@pytest.mark.parametrize("name", ["asset_name", "extra_props", "processing_id", "asset_id\xff"])
def test_invalid_utf8_is_an_error(name: str, bad: bytes) -> None:
    """It may be in a declared field, an undeclared one, a duplicate or a name."""
    member = f'"{name}":"'.encode("latin-1") + bad + b'"'
    assert check(b'{"assets":[{},{' + member + b"}]}")
    assert check(b"{" + member + b',"processing_id":"p","assets":[]}')

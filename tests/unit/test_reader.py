"""The fast reader holds to the slow one, value for value and error for error, for whatever a server may send."""

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kayrros_ext import ContractError
from kayrros_ext._results import reader as tables
from kayrros_ext._results.columns import MOST_UNKNOWN, Irregular, Layout, read_columns
from kayrros_ext._results.plain import Reader
from kayrros_ext._results.schema import (
    ASSET_FIELDS,
    ASSETS,
    DOUBLE,
    INTEGER,
    LABEL,
    OF_ASSET,
    OF_METRIC,
    OF_RESULT,
    RESULTS,
    STRINGS,
    WITHOUT_METRICS,
)
from tests.support import slow_reader

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
GOOD_DATES = [
    *("2024-01-02", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05", "2024-01-02 03:04", "2024-01-02T03:04:05.678+0000"),
    *(
        "2024-01-02T03:04:05.123456Z",
        "2024-01-02T03:04:05.1234567Z",
        "2024-01-02T03:04:05+02:00",
        "20240102",
        "2024-W01",
    ),
    *(
        "2024-01-02T03",
        "2024-01-02T03Z",
        "0001-01-01",
        "9999-12-31",
        "1969-12-31T23:59:59.5Z",
        "2024-01-02T03:04:05-0030",
    ),
    *("2024-01-02T03:04:05,5Z", "2024-01-02T03:04:05.1Z", "2024-01-02T03:04:05+02"),
]
BAD_DATES = [
    *(
        "2024-01-02T24:00:00",
        "2024-01-02T23:59:60Z",
        "2024-02-30",
        "0000-01-01",
        "0001-01-01T00:00:00+10:00",
        "2024",
        "",
    ),
    *(
        "9999-12-31T23:59:59-10:00",
        "2024-01-02T03:04:05+25:00",
        "2024-01-02T03:04:05+24:00",
        "2024-01-02Z",
        "10000-01-01",
    ),
    *(
        "2024-01-02t03:04:05Z",
        "2024-01-02T03:04:05z",
        " 2024-01-02",
        "\u0662\u0660\u0662\u0664-01-02",
        "2024-01-02T03:04:05.Z",
        "2024-1-2",
    ),
    *("-2024-01-02", "2024-01-02T3:04", "2024-01-02x03:04", "now"),
]
WORDS = [
    '"a"',
    '""',
    '"Tank \\u00e9"',
    '"\\ud83d\\ude00"',
    '"😀 é"',
    '"\\n\\"\\\\\\/"',
    '"\\u0000"',
    '"},{\\"asset_id\\":"',
]
HALVES = ['"\\ud83d"', '"\\ude00"', '"\ud800"', '"\\ud83dx"']  # of characters: no text can hold them
SPACES = ["", "", "", " ", "\n", "\r\n\t "]

JSON = st.SearchStrategy[str]
decimals = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False).map(repr), decimals, st.sampled_from(GOOD_NUMBERS))
integers = st.one_of(st.integers(-(2**63), 2**63 - 1).map(str), st.sampled_from(INTEGERS))
strings = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
)
clock = r"[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-9:.]{2,12}(Z|[+-][0-9:]{2,5})?)?"
good_dates = st.one_of(st.sampled_from(GOOD_DATES), st.sampled_from(GOOD_DATES[:3]), st.datetimes().map(str)).map(
    json.dumps
)
bad_dates = st.one_of(st.sampled_from(BAD_DATES), st.from_regex(clock, fullmatch=True)).map(json.dumps)
anything = st.recursive(
    st.one_of(numbers, strings, st.sampled_from(["null", "true", "false", *BAD_NUMBERS, *HALVES])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(strings, inner), max_size=2).map(lambda pairs: f"{{{', '.join(map(': '.join, pairs))}}}"),
    ),
    max_leaves=4,
)
extras = st.tuples(st.sampled_from(['"extra_props"', '"x.y"', '"\\u00e9"', *WORDS]), anything)


class Answers:
    """Bodies as a server may send them; one value in `odd` is of a kind that the contract does not know."""

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
            if draw(st.integers(0, 29)) == 29:
                names = names + names[:1]  # twice: the last counts
            pairs = [(json.dumps(name), draw(members[name])) for name in names]
            pairs += draw(st.lists(extras, max_size=1)) if draw(st.integers(0, 4)) == 4 else []
            space = draw(st.sampled_from(SPACES))
            return f"{{{','.join(f'{space}{name}{space}:{space}{value}{space}' for name, value in pairs)}{space}}}"

        return draw_object()

    def array(self, items: JSON, least: int, most: int) -> JSON:
        @st.composite
        def draw_array(draw: st.DrawFn) -> str:
            space = draw(st.sampled_from(SPACES))
            drawn = [] if draw(st.integers(0, 9)) == 9 else draw(st.lists(items, min_size=least, max_size=most))
            return f"[{space}{f'{space},{space}'.join(drawn)}{space}]"

        return self.value(draw_array())

    def bodies(self) -> st.SearchStrategy[bytes]:
        text = self.value(strings, st.sampled_from(HALVES))
        number = self.value(numbers, st.sampled_from(BAD_NUMBERS))
        kinds = {
            LABEL: text,
            INTEGER: self.value(integers, st.sampled_from(BAD_INTEGERS)),
            DOUBLE: number,
            STRINGS: self.array(text, 0, 2),
        }
        metrics = self.object({"name": text, "value": number})
        dated = self.object({"value_date": self.value(good_dates, bad_dates), "metrics": self.array(metrics, 1, 3)})
        assets = self.object(
            {**{field.name: kinds[field.type] for field in ASSET_FIELDS}, "results": self.array(dated, 1, 4)}
        )
        answers = self.object({"assets": self.array(assets, 1, 4), "processing_id": text, "source_id": text})
        return answers.map(lambda text: text.encode("utf-8", "surrogatepass"))


bodies = st.sampled_from([None, 100, 20]).flatmap(lambda odd: Answers(odd).bodies())


def outcome(read: Callable[[bytes], Any], body: bytes) -> Any:
    """All that a reading gives, doubles bit for bit; or its error. How a reader says what is not JSON is its own affair."""
    try:
        reading = read(body)
    except ContractError as error:
        return (error.where, str(error)) if error.where is not None else "not JSON"
    for name, schema in (("table", RESULTS), ("assets", ASSETS), ("without_metrics", WITHOUT_METRICS)):
        table = getattr(reading, name)
        table.validate(full=True)
        assert table.schema.equals(schema, check_metadata=True)
    rows = [getattr(reading, name).to_pylist() for name in ("table", "assets", "without_metrics")]
    return bits(rows), reading.processing_id, reading.source_id, reading.unknown_fields


def bits(value: Any) -> Any:
    if isinstance(value, list | dict):
        return [bits(item) for item in (value.items() if isinstance(value, dict) else value)]
    if isinstance(value, tuple):
        return tuple(bits(item) for item in value)
    return struct.pack("d", value) if isinstance(value, float) else value


def agree(body: bytes, batch_bytes: int = 1) -> Any:
    expected = outcome(slow_reader.read, body)
    assert expected == outcome(lambda body: tables.read(body, batch_bytes=batch_bytes), body)
    return expected


many = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@many
@given(bodies, st.sampled_from([1, 300, 10**6]))
def test_both_readers_agree(body: bytes, batch_bytes: int) -> None:
    """Nulls, missing and empty lists, unicode, escapes, extra fields, any number, wrong types: the same tables or error."""
    agree(body, batch_bytes)


@many
@given(bodies, st.sampled_from([1, 10**6]), st.data())
def test_both_readers_agree_on_damage(body: bytes, batch_bytes: int, data: st.DataObject) -> None:
    """A body that was cut off, or with some bytes gone or others in their place."""
    start = data.draw(st.integers(0, len(body)))
    stop = data.draw(st.sampled_from([start, start + 1, start + 9, len(body)]))
    junk = data.draw(
        st.sampled_from(
            [
                b"",
                b",",
                b"}",
                b"]",
                b"[",
                b"{",
                b'"',
                b"null",
                b"\n",
                b"\xff",
                b"\xed\xa0\x80",
                b"\0",
                b"NaN",
                b"{}",
                b"0",
                b"\\",
            ]
        )
    )
    agree(body[:start] + junk + body[stop:], batch_bytes)


def an_answer(count: int, indent: int | None = None, **of_asset: Any) -> bytes:
    """Assets of three dates and two metrics."""
    metrics = [{"name": "volume", "value": 0.1}, {"name": "level", "value": 2}]
    dated = [{"value_date": f"2024-01-0{day}T00:00:00Z", "metrics": metrics} for day in (1, 2, 3)]
    found = [{"asset_id": f"t{number}", "results": dated, **of_asset} for number in range(count)]
    return json.dumps({"assets": found}, indent=indent).encode()


def the_assets(body: bytes) -> list[bytes]:
    return [json.dumps(asset, indent=1).encode() for asset in json.loads(body)["assets"]]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("batch_bytes", [1, 1000, None])
def test_rows_stay_in_the_order_of_the_answer(indent: int | None, batch_bytes: int | None) -> None:
    """However it is laid out, and in however many batches it is read at a time; a label is stored once."""
    reading = tables.read(an_answer(200, indent), batch_bytes=batch_bytes)
    assert [f"t{number}" for number in range(200) for _ in range(6)] == reading.table["asset_id"].to_pylist()
    assert ["volume", "level"] * 600 == reading.table["metric"].to_pylist()
    assert {200} == {len(chunk.dictionary) for chunk in reading.table["asset_id"].chunks if len(chunk)}


def test_a_regular_answer_needs_no_reading_value_by_value() -> None:
    """Line breaks, odd characters, missing members and nulls are regular, too."""
    regular = [
        *the_assets(an_answer(9)),
        b"{}",
        b'{"asset_name":"\\u00e9","results":null}',
        b'{"results":[{"metrics":[]}]}',
    ]
    assert 54 == read_columns(regular, Layout()).table.num_rows


def test_fields_that_no_table_holds_are_read_past() -> None:
    """Once they were seen, assets that have them are as regular as others."""
    strange = the_assets(an_answer(9, extra_props={"cloud": 0.5, "tags": ["a"], "none": None}))
    with pytest.raises(Irregular):
        read_columns(strange, Layout())
    reader = Reader()
    reader.read_asset(json.loads(strange[0]), "assets[0]")
    assert 54 == read_columns(strange, Layout().learn(reader.unknown)).table.num_rows


@pytest.mark.parametrize(
    "values",
    [
        [{str(number): 1 for number in range(MOST_UNKNOWN)}],
        [json.loads("[" * 900 + "]" * 900)],
        [{"\ud800": 1}],
    ],
)
def test_a_layout_stays_small(values: list[Any]) -> None:
    """A server can't make it cost memory: many names and deep ones are not learned, nor what Arrow has no type for."""
    layout, nothing = Layout(), dict[str, list[Any]]()
    assert layout is layout.learn({OF_ASSET: {"x": values}, OF_RESULT: nothing, OF_METRIC: nothing})


@pytest.mark.parametrize(
    "odd", ["null", "1", "[]", '"a"', '{"asset_version":1.5}', '{"results":[null]}', '{"results":[{"metrics":[null]}]}']
)
def test_an_error_names_the_asset_wherever_it_is(odd: str) -> None:
    """Among many that are read at a time; no text ends the process, as `null` in a line ends pyarrow's."""
    before, after = an_answer(50)[:-2], an_answer(50)[len('{"assets": [') :]
    where, words = agree(before + b"," + odd.encode() + b"," + after, 1000)
    assert where.startswith("assets[50]")
    assert where in words


def test_of_two_errors_the_first_is_named_and_damage_comes_before_both() -> None:
    """The same error each time, whichever thread was first."""
    two = an_answer(50).replace(b'"t20"', b"20").replace(b'"t30"', b"30")
    assert "assets[20].asset_id" == agree(two, 1000)[0]
    assert "not JSON" == agree(two[:-9], 1000)


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("field", ["asset_surface_area_m2", "extra_props"])
def test_what_is_no_number_of_json_is_an_error_with_its_place(field: str, name: str) -> None:
    """As other damage is; the word inside a string is no matter."""
    body = f'{{"assets":[{{"asset_name":"NaN \\" Infinity é"}},\n{{"{field}":{name}}}]}}'
    with pytest.raises(ContractError, match=f"{name} is not JSON: line 2 column {len(field) + 5} "):
        tables.read(body.encode())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_whatever_encoding_json_knows(encoding: str) -> None:
    """UTF-8 is the rule; a byte order mark or UTF-16 is read all the same."""
    agree('{"assets": [{"asset_name": "Zürich 😀"}]}'.encode(encoding))


@pytest.mark.parametrize("text", [*GOOD_DATES, *BAD_DATES])
@pytest.mark.parametrize("beside", ["2024-01-02", "2024-01-02T03:04:05Z", "20240102"])
def test_each_form_of_a_date_beside_each_other(text: str, beside: str) -> None:
    """Forms are read in different ways, and mean the same in all."""
    dates = [json.dumps({"value_date": date}) for date in (text, beside)]
    agree(f'{{"assets":[{{"results":[{",".join(dates)}]}}]}}'.encode())


@pytest.mark.parametrize("field", ["asset_version", "asset_surface_area_m2"])
@pytest.mark.parametrize(
    "number",
    [*GOOD_NUMBERS, *BAD_NUMBERS, *INTEGERS, *BAD_INTEGERS, "NaN", "Infinity", "-", "01", "1.", ".5", "true", '"1"'],
)
def test_each_form_of_a_number(field: str, number: str) -> None:
    """To the last bit, or refused."""
    agree(f'{{"assets":[{{"{field}":{number}}}]}}'.encode())


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
@pytest.mark.parametrize("where", ["asset_name", "extra_props", "processing_id", "asset_id\xff"])
def test_bytes_that_are_no_text_do_not_pass(where: str, bad: bytes) -> None:
    """Neither in what a table holds, nor in what none holds, nor in what is said twice."""
    member = f'"{where}":"'.encode("latin-1") + bad + b'"'
    agree(b'{"assets":[{},{' + member + b"}]}")
    agree(b"{" + member + b',"processing_id":"p","assets":[]}')

"""From the bytes of a results answer to a table, beside other ways to read the same bytes."""

import importlib
import json
import tempfile
from pathlib import Path

from bench import answers
from bench.processes import Measurement, measure
from bench.reports import Claim, Report

WARM_UP = b'{"assets":[{"results":[{"value_date":"2024-01-01","metrics":[{"name":"m","value":1.5}]}]}]}'

# Assets of 1,000 dates and 2 metrics, for 1, 10 and 130 MB.
SIZES = {"1 MB": 8, "10 MB": 75, "130 MB": 960}
LARGE = "130 MB"
WAYS = {
    "Results.from_json": "ours",
    "simdjson, bare parse": "simdjson",
    "json.loads": "loads",
    "json.loads, pandas, first metric alone": "explode",
    "json.loads, generated from_dict": "from_dict",
}
# Of each way on each answer, in each of so many processes.
SECONDS, PROCESSES = 3, 2
EXTRA = ',"extra_props":{"cloud":0.25,"sensor":"S2"}'


def ours(body: bytes) -> object:
    """All metrics, as Arrow."""
    from kayrros_ext import Results

    return Results.from_json(body)


def simdjson(body: bytes) -> object:
    """Parsed, and nothing made of it."""
    return importlib.import_module("simdjson").Parser().parse(body)


def loads(body: bytes) -> object:
    """Python objects."""
    return json.loads(body)


def explode(body: bytes) -> object:
    """As the existing public client goes about it: a frame of assets, exploded; of the metrics, the first."""
    import pandas as pd

    frame = pd.DataFrame(json.loads(body)["assets"]).explode("results", ignore_index=True)
    results = pd.DataFrame(frame.pop("results").tolist())
    first = pd.DataFrame(results.pop("metrics").str[0].tolist())
    return pd.concat([frame, results, first], axis=1)


def from_dict(body: bytes) -> object:
    """The models of the generated client."""
    from kayrros_client.models import ProcessingResultTimeSeries

    return ProcessingResultTimeSeries.from_dict(json.loads(body))


def run() -> Report:
    """Measure each way on each answer."""
    with tempfile.TemporaryDirectory() as folder:
        path, rows, table = Path(folder) / "answer.json", list[list[str]](), dict[str, dict[str, Measurement]]()
        per_row, peaks = dict[str, float](), dict[str, float]()
        for size, assets in SIZES.items():
            count = answers.write(path, assets)
            table[size] = {way: best(name, path) for way, name in WAYS.items()}
            per_row[size] = table[size]["Results.from_json"].seconds / count
            peaks[size] = table[size]["Results.from_json"].peak / path.stat().st_size
            rows += lines(size, table[size], count, path.stat().st_size)
        count = answers.write(path, SIZES["10 MB"], extra=EXTRA)
        strange = {way: best(WAYS[way], path) for way in ("Results.from_json", "json.loads")}
        rows += lines("10 MB and a field that no table holds", strange, count, path.stat().st_size)
    return Report(
        title="From the bytes of an answer to a table",
        words=WORDS,
        header=["answer", "way", "seconds", "of from_json", "µs a row", "peak, of the body"],
        rows=rows,
        claims=claims(table, strange, per_row, peaks),
    )


WORDS = f"""\
Answers are generated: assets of 1,000 dates, two metrics each, 15 to 17 digits a value. Each way reads each of them in
{PROCESSES} processes of its own, one process after another, as often as fits into {SECONDS} s of each; its best time counts.
The peak is that of the first reading, above what the process held just before it: Python, the libraries, and the body."""


def best(name: str, path: Path) -> Measurement:
    """The best of some processes: others may have been at work on the machine."""
    runs = [measure(f"bench.reader:{name}", path, SECONDS) for _ in range(PROCESSES)]
    return Measurement(min(run.seconds for run in runs), min(run.peak for run in runs))


def lines(size: str, ways: dict[str, Measurement], rows: int, body: int) -> list[list[str]]:
    """Of the table."""
    unit = ways["Results.from_json"].seconds
    return [
        [
            size,
            way,
            f"{took.seconds:.3f}",
            f"{took.seconds / unit:.2f}",
            f"{took.seconds / rows * 1e6:.2f}",
            f"{took.peak / body:.1f}",
        ]
        for way, took in ways.items()
    ]


def claims(
    table: dict[str, dict[str, Measurement]],
    strange: dict[str, Measurement],
    per_row: dict[str, float],
    peaks: dict[str, float],
) -> list[Claim]:
    """What is claimed of the large answer, and of how it compares with the small ones."""
    ways = {way: took.seconds for way, took in table[LARGE].items()}
    mine = ways["Results.from_json"]
    return [
        Claim("times as fast as from_dict over json.loads", ways["json.loads, generated from_dict"] / mine, least=15),
        Claim("times as fast as json.loads and pandas", ways["json.loads, pandas, first metric alone"] / mine, least=5),
        Claim("times as fast as json.loads alone", ways["json.loads"] / mine, least=1),
        Claim(
            "times as fast as json.loads, with a field that no table holds",
            strange["json.loads"].seconds / strange["Results.from_json"].seconds,
            least=1,
        ),
        Claim("times the time of a bare simdjson parse", mine / ways["simdjson, bare parse"], most=2.5),
        Claim("peak memory in bodies, 130 MB", peaks[LARGE], most=4),
        Claim("peak memory in bodies, 10 MB", peaks["10 MB"], most=4),
        Claim("time a row at 130 MB, of that at 1 MB", per_row[LARGE] / per_row["1 MB"], most=1.25),
        Claim("time a row at 130 MB, of that at 10 MB", per_row[LARGE] / per_row["10 MB"], most=1.25),
    ]

"""From the bytes of a results response to a table, compared with other ways to read the same bytes."""

import importlib
import json
import logging
import tempfile
from pathlib import Path

import attrs

from bench import answers
from bench.processes import Measurement, measure
from bench.reports import Claim, Report

WARM_UP = b'{"assets":[{"results":[{"value_date":"2024-01-01","metrics":[{"name":"m","value":1.5}]}]}]}'

# Assets of 1,000 dates and 2 metrics, for 1, 10 and 130 MB.
SIZES = {"1 MB": 8, "10 MB": 75, "130 MB": 960}
UNDECLARED = "10 MB, with an undeclared field"
EXTRA = ',"extra_props":{"cloud":0.25,"sensor":"S2"}'
OURS, SIMDJSON, LOADS = "Results.from_json", "simdjson, bare parse", "json.loads"
EXPLODE, FROM_DICT = "json.loads, pandas, first metric alone", "json.loads, generated from_dict"
WAYS = {OURS: "ours", SIMDJSON: "simdjson", LOADS: "loads", EXPLODE: "explode", FROM_DICT: "from_dict"}
# The ways take turns, because others may use the machine for a while. A turn is a process that reads for some seconds.
TURNS, SECONDS = 4, 1
METHOD = f"""\
The responses are generated: assets of 1,000 dates with two metrics each, and values of 15 to 17 digits. The ways to read one
take turns, {TURNS} each (from_dict has one), in one process after another. A process reads as often as fits into
{SECONDS} s, at least once, and the best time counts. The peak is the memory that a first reading needs beyond what its
process held just before: Python, the libraries, and the body."""


def ours(body: bytes) -> object:
    """Read all metrics into Arrow tables."""
    from kayrros_ext import Results

    logging.disable()  # the warning of undeclared fields, at each reading
    return Results.from_json(body)


def simdjson(body: bytes) -> object:
    """Parse the JSON, and convert nothing."""
    return importlib.import_module("simdjson").Parser().parse(body)


def loads(body: bytes) -> object:
    """Parse the JSON into Python objects."""
    return json.loads(body)


def explode(body: bytes) -> object:
    """Build a pandas frame as the existing public client does: assets exploded, with the first metric only."""
    import pandas as pd

    frame = pd.DataFrame(json.loads(body)["assets"]).explode("results", ignore_index=True)
    results = pd.DataFrame(frame.pop("results").tolist())
    first = pd.DataFrame(results.pop("metrics").str[0].tolist())
    return pd.concat([frame, results, first], axis=1)


def from_dict(body: bytes) -> object:
    """Build the models of the generated client."""
    from kayrros_openapi.models import ProcessingResultTimeSeries

    return ProcessingResultTimeSeries.from_dict(json.loads(body))


def run() -> Report:
    """Measure each way on each response."""
    with tempfile.TemporaryDirectory() as folder:
        responses = [_generate(Path(folder) / f"{assets}.json", size, assets) for size, assets in SIZES.items()]
        responses.append(_generate(Path(folder) / "undeclared.json", UNDECLARED, SIZES["10 MB"], EXTRA))
        for response in responses:
            for turn in range(TURNS):
                for way in WAYS if response.size != UNDECLARED else (OURS, LOADS):
                    if turn == 0 or way != FROM_DICT:  # which takes half a minute
                        response.measure(way)
    return Report(
        title="From the bytes of a response to a table",
        method=METHOD,
        header=["response", "way", "seconds", "of from_json", "µs a row", "peak, of the body"],
        rows=[line for response in responses for line in response.lines()],
        claims=_claims(responses),
    )


@attrs.define
class Response:
    """A generated response in a file, and the measurements of the ways to read it."""

    size: str
    path: Path
    rows: int
    body: int
    measurements: dict[str, Measurement] = attrs.field(factory=dict)

    def measure(self, way: str) -> None:
        """Measure a way in a process, and keep its best time."""
        now = measure(f"bench.reader:{WAYS[way]}", self.path, SECONDS)
        best = self.measurements.get(way, now)
        self.measurements[way] = Measurement(min(best.seconds, now.seconds), max(best.peak, now.peak))

    def ratio(self, slow: str, quick: str = OURS) -> float:
        """Return how many times as long one way takes as another."""
        return self.measurements[slow].seconds / self.measurements[quick].seconds

    def seconds_per_row(self) -> float:
        """Return the time of our reader."""
        return self.measurements[OURS].seconds / self.rows

    def peak(self) -> float:
        """Return the peak memory of our reader, in bodies."""
        return self.measurements[OURS].peak / self.body

    def lines(self) -> list[list[str]]:
        """Return the lines of the table."""
        return [
            [
                *(self.size, way, f"{took.seconds:.3f}", f"{self.ratio(way):.2f}"),
                *(f"{took.seconds / self.rows * 1e6:.2f}", f"{took.peak / self.body:.1f}"),
            ]
            for way, took in self.measurements.items()
        ]


def _generate(path: Path, size: str, assets: int, extra: str = "") -> Response:
    rows = answers.write(path, assets, extra=extra)
    return Response(size, path, rows, path.stat().st_size)


def _claims(responses: list[Response]) -> list[Claim]:
    one, ten, large, undeclared = responses
    return [
        Claim("times as fast as from_dict over json.loads", large.ratio(FROM_DICT), least=15),
        Claim("times as fast as json.loads and pandas", large.ratio(EXPLODE), least=5),
        Claim("times as fast as json.loads alone", large.ratio(LOADS), least=1),
        Claim(f"times as fast as json.loads alone, {UNDECLARED}", undeclared.ratio(LOADS), least=1),
        Claim("of the time of a bare simdjson parse", large.ratio(OURS, SIMDJSON), most=2.5),
        Claim("peak memory in bodies, 130 MB", large.peak(), most=4),
        Claim("peak memory in bodies, 10 MB", ten.peak(), most=4),
        Claim("time a row at 130 MB, of that at 1 MB", large.seconds_per_row() / one.seconds_per_row(), most=1.5),
        Claim("time a row at 130 MB, of that at 10 MB", large.seconds_per_row() / ten.seconds_per_row(), most=1.5),
    ]

"""From the bytes of a results answer to a table, beside other ways to read the same bytes."""

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
STRANGE = "10 MB, with a field that no table holds"
EXTRA = ',"extra_props":{"cloud":0.25,"sensor":"S2"}'
OURS, SIMDJSON, LOADS = "Results.from_json", "simdjson, bare parse", "json.loads"
EXPLODE, FROM_DICT = "json.loads, pandas, first metric alone", "json.loads, generated from_dict"
WAYS = {OURS: "ours", SIMDJSON: "simdjson", LOADS: "loads", EXPLODE: "explode", FROM_DICT: "from_dict"}
# Turns, since others may use the machine for a while; each is a process, which reads as often as fits into so many seconds.
TURNS, SECONDS = 4, 1
WORDS = f"""\
Answers are generated: assets of 1,000 dates, two metrics each, 15 to 17 digits a value. The ways to read one take turns,
{TURNS} each (from_dict has one), one process after another, with as many readings as fit into {SECONDS} s, and at least one.
The best time counts. The peak is that of a first reading, above what its process held just before: Python, the
libraries, and the body."""


def ours(body: bytes) -> object:
    """All metrics, as Arrow."""
    from kayrros_ext import Results

    logging.disable()  # of fields that no table holds, for each reading
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
    from kayrros_openapi.models import ProcessingResultTimeSeries

    return ProcessingResultTimeSeries.from_dict(json.loads(body))


def run() -> Report:
    """Measure each way on each answer."""
    with tempfile.TemporaryDirectory() as folder:
        found = [_written(Path(folder) / f"{assets}.json", size, assets) for size, assets in SIZES.items()]
        found.append(_written(Path(folder) / "strange.json", STRANGE, SIZES["10 MB"], EXTRA))
        for answer in found:
            for turn in range(TURNS):
                for way in WAYS if answer.size != STRANGE else (OURS, LOADS):
                    if turn == 0 or way != FROM_DICT:  # which takes half a minute
                        answer.measure(way)
    return Report(
        title="From the bytes of an answer to a table",
        words=WORDS,
        header=["answer", "way", "seconds", "of from_json", "µs a row", "peak, of the body"],
        rows=[line for answer in found for line in answer.lines()],
        claims=_claims(found),
    )


@attrs.define
class Answer:
    """A generated answer in a file, and what the ways to read it took."""

    size: str
    path: Path
    rows: int
    body: int
    took: dict[str, Measurement] = attrs.field(factory=dict)

    def measure(self, way: str) -> None:
        """Measure a way, in a process; the best so far stays."""
        now = measure(f"bench.reader:{WAYS[way]}", self.path, SECONDS)
        best = self.took.get(way, now)
        self.took[way] = Measurement(min(best.seconds, now.seconds), max(best.peak, now.peak))

    def times(self, slow: str, quick: str = OURS) -> float:
        """How many times as long one way takes as another."""
        return self.took[slow].seconds / self.took[quick].seconds

    def of_row(self) -> float:
        """Seconds that our reader takes for a row."""
        return self.took[OURS].seconds / self.rows

    def peak(self) -> float:
        """Peak memory of our reader, in bodies."""
        return self.took[OURS].peak / self.body

    def lines(self) -> list[list[str]]:
        """Of the table."""
        return [
            [
                *(self.size, way, f"{took.seconds:.3f}", f"{took.seconds / self.took[OURS].seconds:.2f}"),
                *(f"{took.seconds / self.rows * 1e6:.2f}", f"{took.peak / self.body:.1f}"),
            ]
            for way, took in self.took.items()
        ]


def _written(path: Path, size: str, assets: int, extra: str = "") -> Answer:
    rows = answers.write(path, assets, extra=extra)
    return Answer(size, path, rows, path.stat().st_size)


def _claims(found: list[Answer]) -> list[Claim]:
    one, ten, large, strange = found
    return [
        Claim("times as fast as from_dict over json.loads", large.times(FROM_DICT), least=15),
        Claim("times as fast as json.loads and pandas", large.times(EXPLODE), least=5),
        Claim("times as fast as json.loads alone", large.times(LOADS), least=1),
        Claim(f"times as fast as json.loads alone, {STRANGE}", strange.times(LOADS), least=1),
        Claim("of the time of a bare simdjson parse", large.times(OURS, SIMDJSON), most=2.5),
        Claim("peak memory in bodies, 130 MB", large.peak(), most=4),
        Claim("peak memory in bodies, 10 MB", ten.peak(), most=4),
        Claim("time a row at 130 MB, of that at 1 MB", large.of_row() / one.of_row(), most=1.5),
        Claim("time a row at 130 MB, of that at 10 MB", large.of_row() / ten.of_row(), most=1.5),
    ]

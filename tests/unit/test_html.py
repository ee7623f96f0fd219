"""The HTML views of results and metadata in notebooks."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import attrs

from kayrros_ext import Gap, Results
from kayrros_ext._results.text import MAX_METRICS
from kayrros_ext.testing import Platform
from kayrros_openapi.models import DatasetMetadata

MARKUP = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'


class Tags(HTMLParser):
    """The names of the tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)


def test_results_have_a_view() -> None:
    """The view shows counts, the range and dates of each metric, the first and last rows, and the gaps."""
    platform = Platform()
    with platform.connect() as kayrros:
        results = kayrros.results(platform.generate(seed=1, assets=3, dates=4).id)
    start = datetime(2024, 2, 1, tzinfo=UTC)
    view = attrs.evolve(results, gaps=(Gap(start, start),))._repr_html_()
    for part in ("24 rows", "3 assets", "fill_level_pct", "stored_volume_bbl", "2024-01-02", "Tank 000000, Cushing"):
        assert part in view
    assert str(Gap(start, start)) in view
    assert "<td" in view.partition("…")[2]
    assert "0 rows" in Results.from_json(b"{}")._repr_html_()


def results_of(*names: str | None) -> Results:
    """Return results with two dates of each metric."""
    metrics = [{"name": name, "value": number + 0.5} for number, name in enumerate(names)]
    dates = [{"value_date": date, "metrics": metrics} for date in ("2024-01-02", "2024-01-09T12:00:00Z")]
    asset = {"asset_id": "t1", "asset_name": "Tank", "results": [*dates, {"value_date": "2024-02-01"}]}
    return Results.from_json(json.dumps({"assets": [asset], "processing_id": "p1"}).encode())


def test_metrics_have_a_row_each() -> None:
    """The row shows the unit, the number of values, their range and their dates. A metric without a name has one too."""
    view = results_of("level_pct", "volume", None)._repr_html_()
    assert "2024-01-02 to 2024-01-09, 6 rows, 1 asset, 1 date without metrics<" in view
    assert ">Processing p1<" in view
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", view)
    assert cells[:7] == ["level_pct", "%", "2", "0.5", "0.5", "2024-01-02", "2024-01-09"]
    assert cells[14:21] == ["—", "—", "2", "2.5", "2.5", "2024-01-02", "2024-01-09"]
    assert cells[21:27] == ["2024-01-02", "Tank", "level_pct", "0.5", "2024-01-02", "Tank"]


def test_long_lists_are_cut() -> None:
    """The view counts the metrics and gaps that it leaves out."""
    start = datetime(2024, 2, 1, tzinfo=UTC)
    results = results_of(*(f"m{number}" for number in range(MAX_METRICS + 3)))
    view = attrs.evolve(results, gaps=(Gap(start, start),) * 7)._repr_html_()
    assert "and 3 more metrics" in view
    assert view.count(str(Gap(start, start))) == 5
    assert "and 2 more" in view


def test_views_escape_markup() -> None:
    """Names of assets and metrics, and metadata, are escaped."""
    platform = Platform()
    dataset = platform.generate(name=MARKUP)
    with platform.connect() as kayrros:
        metadata = kayrros.metadata(dataset.id)._repr_html_()
    result = {"value_date": "2024-01-01", "metrics": [{"name": MARKUP, "value": 1.0}]}
    body = json.dumps({"assets": [{"asset_id": "a", "asset_name": MARKUP, "results": [result]}]})
    for view in (Results.from_json(body.encode())._repr_html_(), metadata):
        assert not {"script", "img"} & Tags(view).names
        assert "&lt;script&gt;" in view


def test_metadata_has_a_view() -> None:
    """The view shows fields by the names of the attributes, and dates. The generated class stays as it is."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        view = kayrros.metadata(dataset.id)._repr_html_()
    assert "Crude oil storage" in view
    assert re.search(r">start</td><td[^>]*>2024-01-02<", view)
    assert "attribution_text</td>" in view
    assert not hasattr(DatasetMetadata, "_repr_html_")

"""The HTML views of results and metadata in notebooks."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import attrs

from kayrros_ext import Gap, Results
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
    """With counts, the range and dates of each metric, the first rows, and the gaps."""
    platform = Platform()
    with platform.connect() as kayrros:
        results = kayrros.results(platform.generate(seed=1, assets=3, dates=4).id)
    start = datetime(2024, 2, 1, tzinfo=UTC)
    view = attrs.evolve(results, gaps=(Gap(start, start),))._repr_html_()
    for part in ("24 rows", "3 assets", "fill_level_pct", "stored_volume_bbl", "2024-01-02", "Tank 000000, Cushing"):
        assert part in view
    assert str(Gap(start, start)) in view
    assert "The first 5 of 24 rows" in view
    assert "0 rows" in Results.from_json(b"{}")._repr_html_()


def test_views_escape_markup() -> None:
    """In names of assets and metrics, and in metadata."""
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
    """With readable dates; the generated class stays as it is."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        view = kayrros.metadata(dataset.id)._repr_html_()
    assert "Crude oil storage" in view
    assert re.search(r"start_date</td><td[^>]*>2024-01-02<", view)
    assert not hasattr(DatasetMetadata, "_repr_html_")

"""Text of a server for people."""

import time

import attrs
import pytest

from kayrros_ext._text import format_size, list_names, printable
from kayrros_ext.testing import Platform


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\t c", "a b c"),
        ("\x1b[31mred\x07", "[31mred"),
        ("\x9b31mred", "31mred"),
        ("a\u202eb\u2066c\u2069\u200e\u200f\u061cd", "a b c d"),
        ("a\u200bb\u200dc\ufeffd\u00ade", "a b c d e"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("a\ud800b\U000e0041c", "a b c"),
        ("Réservoirs de 東京 e\u0301 🛢", "Réservoirs de 東京 e\u0301 🛢"),
    ],
)
def test_text_loses_what_controls_or_disguises(text: str, shown: str) -> None:
    """Control, bidirectional, invisible and invalid characters count as spaces. Letters stay."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (15_800_000, "15.8 MB"),
        (999_949, "999.9 kB"),
        (999_960, "1 MB"),
        (40_000_000, "40 MB"),
        (2_500_000_000, "2.5 GB"),
        (1_234_500_000_000_000, "1,234.5 TB"),
    ],
)
def test_sizes_have_a_decimal_unit(count: int, text: str) -> None:
    """They have one decimal place, unless that is 0."""
    assert format_size(count) == text


def test_choices_are_the_nearest() -> None:
    """There are five of ten thousand, however long, and the others are counted. It takes a moment."""
    choices = [f"metric_number_{number}" for number in range(10_000)]
    start = time.perf_counter()
    shown = list_names(choices, near="metric_numbre_77")
    assert time.perf_counter() - start < 20
    assert shown.startswith("'metric_number_77', ")
    assert shown.endswith(" and 9,995 more")
    assert len(list_names([f"{number}\x1b" * 10_000 for number in range(50)], near="x")) < 400
    assert list_names(["b", "a"], near="b") == "'b', 'a'"
    assert list_names([], near="b") == "none"
    assert list_names(["b", "a"]) == "a, b"


def test_repr_and_html_of_results_have_no_control_characters() -> None:
    """The server chose the names and the ids."""
    evil = "a\x1b[31m\x9b\u202eb\nc"
    platform = Platform()
    dataset = platform.add({evil: {"2024-01-01": {evil: 1.0}}})
    with platform.connect() as kayrros:
        results = attrs.evolve(kayrros.results(dataset.id), processing_ids=(evil,))
    for line in [*repr(results).splitlines(), results._repr_html_()]:
        assert line.isprintable()

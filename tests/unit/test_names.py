"""The name of a downloaded file: the server proposes, we decide."""

import httpx
import pytest

from kayrros_ext.names import file_name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="tanks.csv"', "tanks.csv"),
        ("attachment; filename=tanks.csv", "tanks.csv"),
        ("attachment; filename*=UTF-8''r%C3%A9serve.csv", "réserve.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="/etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\Windows\\\\win.ini"', "win.ini"),
        ("attachment; filename*=UTF-8''..%2F..%2Fpasswd", "passwd"),
        ('attachment; filename="a\x00b.csv"', "ab.csv"),
        ('attachment; filename="CON"', "CON_"),
        ("attachment; filename=\"EURO.csv\"; filename*=utf-8''%e2%82%ac.csv", "€.csv"),
        ("attachment; filename*=UTF-8''%E2%80%AEvsc.exe", "vsc.exe"),
        ("attachment; filename*=idna''x", "fallback.csv"),
        ("attachment; filename*0=a; filename*=b", "fallback.csv"),
        ("attachment; filename*" + "1" * 5000 + "=a", "fallback.csv"),
        ('attachment; filename=".."', "fallback.csv"),
        ('attachment; filename=""', "fallback.csv"),
        ("attachment", "fallback.csv"),
        ("", "fallback.csv"),
    ],
)
def test_one_safe_name(header: str, name: str) -> None:
    """Never a folder, never a reserved name; without any, the id of the dataset and an ending by content type."""
    headers = httpx.Headers({"Content-Disposition": header, "Content-Type": "text/csv; charset=utf-8"})
    assert name == file_name(headers, "fallback")


def test_an_unknown_type_gets_an_ending_too() -> None:
    """A file without a name or a type is a .bin."""
    assert "fallback.bin" == file_name(httpx.Headers(), "fallback")

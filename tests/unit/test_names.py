"""The name of a downloaded file: the server proposes, we decide."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kayrros_ext._download.filenames import file_name, safe_name

_PREFIXES = [
    b"attachment; filename=",
    b'attachment; filename="',
    b"attachment; filename*=UTF-8''",
    b"attachment; filename*0*=x'y'",
    b"attachment; filename*=utf-16''",
    b"; filename*1=",
]


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
        ('attachment; filename="aux.csv"', "aux_.csv"),
        ('attachment; filename="-rf.csv"', "rf.csv"),
        ('attachment; filename=".bashrc"', "bashrc"),
        ('attachment; filename="a\r\nb.csv"', "ab.csv"),
        ('attachment; filename="D:secret.csv"', "Dsecret.csv"),
        ('attachment; filename="a.csv:stream"', "a.csvstream"),
        ('attachment; filename="a.csv. . ."', "a.csv"),
        ("attachment; filename*=utf-8''%E2%80%A8a.csv", "a.csv"),
        ("attachment; filename*=utf-8''%FF%FE.csv", "\ufffd\ufffd.csv"),
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a" * 300 + ".csv", "a" * 250 + ".csv"),
        ("é" * 300 + ".csv", "é" * 125 + ".csv"),
        ("€" * 300, "€" * 84),
        ("." + "a" * 300, "a" * 254),
        ("a." + "b" * 300, "a." + "b" * 252),
        ("/" * 300 + "a", "a"),
    ],
)
def test_a_long_name_is_cut_and_keeps_its_ending(name: str, expected: str) -> None:
    """At most 255 bytes of UTF-8, between characters, with a byte to spare."""
    assert expected == safe_name(name)


hostile = (
    st.text(st.sampled_from("/\\.:;*=\"'% \0\r\n\x7f\u202e\u2028\ud800~-$<>|?aCON1é€😀"), max_size=300) | st.text()
)
reserved = st.sampled_from(["CON", "con", "aux", "NUL", "COM1", "lpt9", "CONIN$", "..", ".", "~", "C:", "\\\\?\\C:\\x"])


def is_one_name(name: str) -> bool:
    return (
        0 < len(name.encode()) <= 255
        and not set(name) & {"/", "\\", "\0", ":"}
        and not {unicodedata.category(character) for character in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and not name.startswith((".", "-"))
        and (PurePosixPath("folder") / name).parent == PurePosixPath("folder")
        and (PureWindowsPath("folder") / name).parent == PureWindowsPath("folder")
        and not PureWindowsPath(name).is_reserved()
    )


@given(
    st.one_of(hostile, reserved, st.builds(str.__add__, reserved, hostile), st.builds(str.__add__, hostile, reserved))
)
def test_any_name_becomes_one_safe_name_or_none(name: str) -> None:
    """One component inside the directory on every platform, of at most 255 bytes; and safe is safe."""
    found = safe_name(name)
    assert not found or is_one_name(found)
    assert not found or is_one_name(safe_name(found))


@given(
    st.one_of(
        st.binary(max_size=400),
        st.builds(lambda prefix, rest: prefix + rest, st.sampled_from(_PREFIXES), st.binary(max_size=400)),
    )
)
def test_no_header_is_too_hostile(header: bytes) -> None:
    """Any bytes at all give a name, and never an exception."""
    headers = httpx.Headers([(b"Content-Disposition", header), (b"Content-Type", header)])
    assert is_one_name(file_name(headers, "fallback"))

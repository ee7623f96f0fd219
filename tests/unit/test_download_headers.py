"""Headers of a download: safe file names, digests, ETags, ranges."""

import time
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kayrros_ext._download.headers import (
    choose_filename,
    content_length,
    continued_size,
    safe_filename,
    server_digest,
    strong_etag,
)

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
def test_content_disposition_gives_a_safe_name(header: str, name: str) -> None:
    """The name has no folder and is not reserved. The extension of a fallback follows the content type."""
    headers = httpx.Headers({"Content-Disposition": header, "Content-Type": "text/csv; charset=utf-8"})
    assert choose_filename(headers, "fallback") == name


def test_unknown_content_type_is_bin() -> None:
    """A file without a name or a type gets an extension, too."""
    assert choose_filename(httpx.Headers(), "fallback") == "fallback.bin"


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
def test_long_name_is_truncated(name: str, expected: str) -> None:
    """It has at most 254 bytes of UTF-8, ends between characters, and keeps the extension."""
    assert safe_filename(name) == expected


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
def test_any_name_becomes_safe_or_empty(name: str) -> None:
    """The result is one path component of at most 255 bytes on every platform. A safe name stays safe."""
    safe = safe_filename(name)
    assert not safe or is_one_name(safe)
    assert not safe or is_one_name(safe_filename(safe))


@given(
    st.one_of(
        st.binary(max_size=400),
        st.builds(lambda prefix, rest: prefix + rest, st.sampled_from(_PREFIXES), st.binary(max_size=400)),
    )
)
def test_any_header_gives_a_safe_name(header: bytes) -> None:
    """Any bytes give a name, and never an exception."""
    headers = httpx.Headers([(b"Content-Disposition", header), (b"Content-Type", header)])
    assert is_one_name(choose_filename(headers, "fallback"))


def response(status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


SHA256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
SHA256_HEX = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_sha256_is_preferred() -> None:
    """It is computed in any case, so that a second digest costs nothing only where the server offers no SHA-256."""
    sha512 = "A" * 86 + "=="
    assert server_digest(response(Digest=f"SHA-512={sha512},sha-256={SHA256}")) == f"sha256:{SHA256_HEX}"
    assert server_digest(response(Repr_Digest=f"sha-512=:{sha512}:")) == "sha512:" + "00" * 64
    assert server_digest(response(Digest="md5=AAAA, sha=AAAA", Content_MD5="AAAA")) is None


def test_digest_of_other_bytes_is_ignored() -> None:
    """A digest of a compressed body and the Content-Digest of a range are such digests."""
    header = f"sha-256=:{SHA256}:"
    assert server_digest(response(Content_Digest=header)) == f"sha256:{SHA256_HEX}"
    assert server_digest(response(206, Content_Digest=header)) is None
    assert server_digest(httpx.Response(200, headers={"Repr-Digest": header, "Content-Encoding": "br"})) is None


@pytest.mark.parametrize(
    ("content_range", "size", "total"),
    [
        ("bytes 10-19/20", 20, 20),
        ("bytes 10-19/20", None, 20),
        ("bytes 10-14/20", 20, 20),
        ("bytes 10-19/*", 20, 20),
        ("bytes 10-19/*", 21, None),
        ("bytes 10-19/30", 20, None),
        ("bytes 10-20/20", 20, None),
        ("bytes 9-19/20", 20, None),
        ("bytes 10-9/20", 20, None),
        ("bytes */20", 20, None),
        ("items 10-19/20", 20, None),
        ("bytes 10-19/2\xb2", None, None),
        ("", 20, None),
    ],
)
def test_only_the_requested_range_continues_a_part(content_range: str, size: int | None, total: int | None) -> None:
    """It starts at the offset, and belongs to a file of the same size and version."""
    headers = httpx.Headers({b"Content-Range": content_range.encode("latin-1")})
    assert continued_size(headers, '"v1"', 10, size) == total
    headers["ETag"] = '"v1"'
    assert continued_size(headers, '"v1"', 10, size) == total
    assert continued_size(headers, '"v2"', 10, size) is None


def test_compressed_body_has_no_size() -> None:
    """Content-Length is the size of the file only where the file is sent as it is."""
    assert content_length(httpx.Headers({"Content-Length": "20"})) == 20
    assert content_length(httpx.Headers({"Content-Length": "20", "Content-Encoding": "br"})) is None
    assert content_length(httpx.Headers()) is None
    headers = httpx.Headers({"Content-Range": "bytes 10-19/20", "Content-Encoding": "br"})
    assert continued_size(headers, '"v1"', 10, 20) is None


def test_etag_is_strong_and_short() -> None:
    """Another one does not tell versions apart, or could not be sent in If-Range."""
    assert strong_etag(httpx.Headers({"ETag": '"v1"'})) == '"v1"'
    assert strong_etag(httpx.Headers({"ETag": 'W/"v1"'})) is None
    assert strong_etag(httpx.Headers({b"ETag": b'"v\xe9"'})) is None
    assert strong_etag(httpx.Headers({"ETag": '"' + "v" * 2000 + '"'})) is None
    assert strong_etag(httpx.Headers({"ETag": '"v1"', "Content-Encoding": "br"})) is None


def test_a_huge_header_costs_no_time() -> None:
    """The standard library parses it in quadratic time; the file gets the name that it has without the header."""
    header = 'attachment; filename="' + ";" * 90_000
    started = time.process_time()
    assert choose_filename(httpx.Headers({"Content-Disposition": header}), "fallback") == "fallback.bin"
    assert time.process_time() - started < 0.5

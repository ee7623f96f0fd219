"""How fast a download is, beside `curl -o`: a file over loopback, hashed on the way.

    python -m bench.downloads [--mib 1024] [--rounds 5] [--directory DIR]

The server is a process of its own that hands the file to the kernel (sendfile), so that it is not what is measured. The
ways take turns, each in a process of its own, and what they left for the disk is written before the next.
"""

import argparse
import hashlib
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import unittest.mock
from collections.abc import Callable
from pathlib import Path

import httpx

from bench.reports import Claim, Report
from kayrros_ext import Kayrros

WORDS = """\
curl writes neither a digest nor to the disk itself: it leaves its bytes to the kernel. So both are shown twice: with an
fsync at the end, as ours has it, where the disk decides; and without, where the network and the processor do. Plain
httpx is beside them, without a digest and with one computed in the same thread, and without an fsync."""
DATASET = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
MIB = 1024 * 1024
_HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: application/octet-stream\r\nETag: "v1"\r\n\r\n'


def serve(path: Path) -> None:
    """Answer each request with the file, until killed. The port is printed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=_answer, args=(listener.accept()[0], path), daemon=True).start()


def _answer(connection: socket.socket, path: Path) -> None:
    with connection, path.open("rb") as file:
        request = b""
        while b"\r\n\r\n" not in request:
            received = connection.recv(65536)
            if not received:
                return
            request += received
        connection.sendall(_HEAD.format(path.stat().st_size).encode())
        connection.sendfile(file)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)  # until the client has closed


def ours(url: str, directory: Path) -> None:
    """`Kayrros.download`."""
    with Kayrros(token="t", base_url=url) as kayrros:
        kayrros.download(DATASET, directory)


def ours_unsynced(url: str, directory: Path) -> None:
    """The same, but what is written is left to the kernel, as by curl."""
    with unittest.mock.patch("os.fsync"):
        ours(url, directory)


def httpx_alone(url: str, directory: Path) -> None:
    """Httpx as its documentation has it: no digest, no fsync, no temporary file."""
    _httpx(url, directory, lambda _: None)


def httpx_hashed(url: str, directory: Path) -> None:
    """The same, with SHA-256 in the same thread."""
    _httpx(url, directory, hashlib.sha256().update)


def _httpx(url: str, directory: Path, see: Callable[[bytes], object]) -> None:
    with httpx.stream("GET", url, trust_env=False) as response, (directory / "file").open("wb") as file:
        for piece in response.iter_bytes():
            file.write(piece)
            see(piece)


WAYS = {function.__name__: function for function in (ours, ours_unsynced, httpx_alone, httpx_hashed)}
CURL = ("curl", "curl_synced")


def once(way: str, url: str, directory: Path) -> None:
    """Go one way, and print its seconds, those of the processor, and by how many MiB its memory grew."""
    httpx.Client().close()  # what is loaded once is not part of a download
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    WAYS[way](url, directory)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(seconds, busy, (after.ru_maxrss - before.ru_maxrss) / 1024)


def measure(way: str, url: str, directory: Path) -> tuple[float, float, float]:
    """Seconds, processor seconds and MiB of one run in a process of its own; the file is removed."""
    target = Path(tempfile.mkdtemp(dir=directory))
    os.sync()
    if way in CURL:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(["curl", "-s", "--noproxy", "*", "-o", target / "file", url], check=True)
        if way == "curl_synced":
            with (target / "file").open("rb") as file:
                os.fsync(file.fileno())
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        found = seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 0.0
    else:
        command = [sys.executable, "-m", "bench.downloads", "--once", way, url, str(target)]
        words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        found = float(words[0]), float(words[1]), float(words[2])
    shutil.rmtree(target)
    return found


def compare(size_mib: int, rounds: int, directory: Path) -> dict[str, list[tuple[float, float, float]]]:
    """Seconds, processor seconds and MiB of each way, for each round."""
    source = directory / "source"
    with source.open("wb") as file:
        block = os.urandom(MIB)
        for number in range(size_mib):
            file.write(number.to_bytes(8) + block[8:])
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.downloads", "--serve", source], stdout=subprocess.PIPE, text=True
    )
    try:
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}" if server.stdout else ""
        runs: dict[str, list[tuple[float, float, float]]] = {way: [] for way in (*CURL, *WAYS)}
        for _ in range(rounds):
            for way, found in runs.items():
                found.append(measure(way, url, directory))
    finally:
        server.kill()
        server.wait()
    return runs


def run(size_mib: int = 1024, rounds: int = 5, directory: Path | None = None) -> Report:
    """The ways side by side, medians of some rounds; the share of curl is of the same round."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        runs = compare(size_mib, rounds, Path(folder))
    rows = []

    def share(way: str, other: str = "curl") -> float:
        """Of the throughput of another way, in the same round."""
        return statistics.median(its[0] / one[0] for its, one in zip(runs[other], runs[way], strict=True))

    for way, found in runs.items():
        seconds, busy = (statistics.median(one[part] for one in found) for part in (0, 1))
        grown = max(one[2] for one in found)
        rows.append([way, f"{size_mib / seconds:,.0f}", f"{share(way):.2f}", f"{busy:.2f}", f"{grown:.1f}"])
    claims = [
        Claim("throughput with SHA-256, of that of curl", share("ours_unsynced"), least=0.9),
        Claim("throughput with SHA-256 and fsync, of that of curl and fsync", share("ours", "curl_synced"), least=0.9),
        Claim("growth of memory, in MiB", max(one[2] for one in runs["ours"]), most=32),
    ]
    words = f"A file of {size_mib} MiB over loopback, {rounds} rounds in which the ways take turns. " + WORDS
    return Report("Downloads", words, ["way", "MiB/s", "of curl", "CPU s", "memory, +MiB"], rows, claims)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="on the disk to measure; else that of temporary files")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
    elif given.once:
        way, url, directory = given.once
        once(way, url, Path(directory))
    else:
        print(run(given.mib, given.rounds, given.directory))


if __name__ == "__main__":
    main()

"""Compare the speed of downloads with `curl -o` and plain httpx, for a file over loopback.

    python -m bench.downloads [--mib 1024] [--rounds 5] [--directory DIR]

The server is a separate process that uses sendfile, so that it is not the bottleneck. The methods take turns, each in a new
process, and the disk is synced before each run.
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
from pathlib import Path

import httpx

from bench.reports import Claim, Report
from kayrros_ext import Kayrros

DESCRIPTION = """\
`Kayrros.download` computes SHA-256 and syncs the file to disk. curl and httpx do neither by default, so they are also shown
with: curl with an fsync at the end, httpx with SHA-256 in the same thread and an fsync."""
DATASET = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
MIB = 1024 * 1024
_HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: application/octet-stream\r\nETag: "v1"\r\n\r\n'


def serve(path: Path) -> None:
    """Answer each request with the file until killed. Print the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=_respond, args=(listener.accept()[0], path), daemon=True).start()


def _respond(connection: socket.socket, path: Path) -> None:
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
    """Run `Kayrros.download`."""
    with Kayrros(token="a-token", base_url=url) as kayrros:
        kayrros.download(DATASET, directory)


def httpx_plain(url: str, directory: Path) -> None:
    """Stream as in the documentation of httpx: no digest, no fsync, no temporary file."""
    with httpx.stream("GET", url, trust_env=False) as response, (directory / "file").open("wb") as file:
        for chunk in response.iter_bytes():
            file.write(chunk)


def httpx_synced(url: str, directory: Path) -> None:
    """Stream with SHA-256 in the same thread, and an fsync."""
    digest = hashlib.sha256()
    with httpx.stream("GET", url, trust_env=False) as response, (directory / "file").open("wb") as file:
        for chunk in response.iter_bytes():
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())


METHODS = {function.__name__: function for function in (ours, httpx_plain, httpx_synced)}
CURL = ("curl", "curl_synced")


def run_once(method: str, url: str, directory: Path) -> None:
    """Run one method, and print its seconds, its CPU seconds, and the growth of its memory in MiB."""
    httpx.Client().close()  # loads the certificates, which is not part of a download
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    METHODS[method](url, directory)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(seconds, cpu_s, (after.ru_maxrss - before.ru_maxrss) / 1024)


def measure(method: str, url: str, directory: Path) -> tuple[float, float, float]:
    """Return seconds, CPU seconds and MiB of one run in a new process. Delete the file."""
    target = Path(tempfile.mkdtemp(dir=directory))
    os.sync()
    if method in CURL:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(["curl", "-s", "--noproxy", "*", "-o", target / "file", url], check=True)
        if method == "curl_synced":
            with (target / "file").open("rb") as file:
                os.fsync(file.fileno())
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        measured = seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 0.0
    else:
        command = [sys.executable, "-m", "bench.downloads", "--once", method, url, str(target)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        measured = float(output[0]), float(output[1]), float(output[2])
    shutil.rmtree(target)
    return measured


def compare(size_mib: int, rounds: int, directory: Path) -> dict[str, list[tuple[float, float, float]]]:
    """Return seconds, CPU seconds and MiB of each method, for each round."""
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
        runs: dict[str, list[tuple[float, float, float]]] = {method: [] for method in (*CURL, *METHODS)}
        for _ in range(rounds):
            for method, measurements in runs.items():
                measurements.append(measure(method, url, directory))
    finally:
        server.kill()
        server.wait()
    return runs


def run(size_mib: int = 1024, rounds: int = 5, directory: Path | None = None) -> Report:
    """Compare all methods: medians of the rounds. Ratios are of two runs in the same round."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        runs = compare(size_mib, rounds, Path(folder))

    def ratio(method: str, other: str) -> float:
        """Return the throughput as a share of another method's."""
        return statistics.median(b[0] / a[0] for a, b in zip(runs[method], runs[other], strict=True))

    rows = []
    for method, measurements in runs.items():
        seconds, cpu_s = (statistics.median(column) for column in list(zip(*measurements, strict=True))[:2])
        growth = max(memory for _, _, memory in measurements)
        rows.append(
            [method, f"{size_mib / seconds:,.0f}", f"{ratio(method, 'curl'):.2f}", f"{cpu_s:.2f}", f"{growth:.1f}"]
        )
    claims = [
        Claim("throughput, of curl where both fsync", ratio("ours", "curl_synced"), least=0.9),
        Claim("throughput, of httpx where both hash and fsync", ratio("ours", "httpx_synced"), least=1),
        Claim("growth of memory, in MiB", max(memory for _, _, memory in runs["ours"]), most=32),
    ]
    description = (
        f"A file of {size_mib} MiB over loopback, {rounds} rounds in which the methods take turns. {DESCRIPTION}"
    )
    return Report("Downloads", description, ["method", "MiB/s", "of curl", "CPU s", "memory, +MiB"], rows, claims)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="on the disk to measure; the default is that of temporary files")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
    elif args.once:
        method, url, directory = args.once
        run_once(method, url, Path(directory))
    else:
        print(run(args.mib, args.rounds, args.directory))


if __name__ == "__main__":
    main()

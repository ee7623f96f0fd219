"""Run an example of each command in a terminal of 80 columns, against the fake, for the page of the commands."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from kayrros_ext.testing import Platform

# In the order in which they run: one session, from login to logout.
EXAMPLES = {
    "login": "kayrros login --email analyst@example.com --password-stdin < password.txt",
    "whoami": "kayrros whoami",
    "config": "kayrros config",  # in a wider terminal, because the path of the home directory is long here
    "collections": "kayrros collections",
    "datasets": 'kayrros datasets "Oil storage"',
    "assets": "kayrros assets 7d3c",
    "find": "kayrros find cushing",
    "metadata": "kayrros metadata 7d3c",
    "results": "kayrros results 7d3c --from 2024-02 --metric fill_level_pct",
    "export": 'kayrros export "Oil storage" -o lake/',
    "plot": 'kayrros plot 7d3c --metric fill_level_pct --asset "Cushing TK-101"',
    "download": "kayrros download 7d3c",
    "sync": "kayrros sync 7d3c mirror/",
    "changes": "kayrros changes mirror/",
    "sql": 'kayrros sql mirror/ "select metric, max(value) from results group by all order by all"',
    "doctor": "kayrros doctor --yes -q -o report/ | tail -n 16",
    "api": "kayrros api GET /v1/processing/collection/list",
    "spec": "kayrros spec | grep operationId:",
    "fake": "kayrros fake",
    "mock": "kayrros mock",
    "logout": "kayrros logout",
}
TANK, WEEK = "tank-cushing-tk-101", "2024-02-06"


def run_examples() -> dict[str, str]:
    """Return each command line and its output, by the name of the command, without port, folder and date of this machine."""
    platform = Platform()
    dataset = platform.add_examples()[0]
    texts = {}
    with tempfile.TemporaryDirectory() as folder, platform.serve() as url:
        home = Path(folder).resolve()
        (home / "password.txt").write_text(platform.account.password, "utf-8")
        (home / "password.txt").chmod(0o600)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("KAYRROS_", "XDG_", "LC_"))},
            "KAYRROS_BASE_URL": url,
            "KAYRROS_AUTH_URL": url,
            "KAYRROS_TOKEN_CACHE": "on",  # nosec B105
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "HOME": str(home),
            "COLUMNS": "80",
            "LINES": "24",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        for name, line in EXAMPLES.items():
            if name == "changes":  # a revision, so that the second sync brings some
                platform.revise(dataset, {TANK: {WEEK: {"fill_level_pct": 71.5}}})
                run("kayrros sync 7d3c mirror/", environment)
            wide = {"COLUMNS": "200"} if name == "config" else {}
            output = run(line + " --port 0" * (name in {"fake", "mock"}), {**environment, **wide})
            texts[name] = f"$ {line}\n{neutral(output, home)}"
    return texts


def run(line: str, environment: dict[str, str]) -> str:
    """Return what a command line shows in a terminal; a server gets Ctrl-C once it serves. Raises if it fails."""
    terminal, end = pty.openpty()
    command = [shutil.which("sh") or "sh", "-c", f"exec {line}" if "|" not in line else line]
    with subprocess.Popen(
        command, cwd=environment["HOME"], env=environment, stdin=subprocess.DEVNULL, stdout=end, stderr=end
    ) as process:
        os.close(end)
        output = b""
        while chunk := read(terminal):
            output += chunk
            if b"Ctrl-C stops" in output:
                process.send_signal(signal.SIGINT)
    os.close(terminal)
    text = output.decode().replace("\r\n", "\n")
    if process.returncode:
        raise RuntimeError(f"{line} failed with {process.returncode}:\n{text}")
    return text


def read(terminal: int) -> bytes:
    """Return the next output; nothing once the command has closed its end."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports the closed end as an error
        return b""


def neutral(text: str, home: Path) -> str:
    """Return an output with `~` for the home directory and the port of the docs; columns stay aligned."""
    for pattern, replacement in ((re.escape(str(home)), "~"), (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:4010")):

        def replace(match: re.Match[str], replacement: str = replacement) -> str:
            gap = match[3] + " " * (len(match[1]) - len(replacement)) if match[3] else ""
            return replacement + match[2] + gap

        text = re.sub(rf"({pattern})(\S*)(  +)?", replace, text)
    return text


if __name__ == "__main__":
    print("\n\n".join(run_examples().values()))

"""The checks by `kayrros doctor` of this machine and of the way to the platform. They show no path, email or host."""

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import getproxies

import httpx

from kayrros_ext._auth.token_cache import user_cache_dir
from kayrros_ext._config.credentials import KEYS
from kayrros_ext._config.environment import variable
from kayrros_ext._config.profiles import config_path
from kayrros_ext._config.settings import find_setting, is_loopback, load_sources
from kayrros_ext._results.convert import install_command
from kayrros_ext._text import format_size, plural
from kayrros_ext.doctor import Check, Doctor
from kayrros_ext.errors import ConfigurationError

# Of an Atlassian Statuspage; that Kayrros has one is second hand.
STATUS_URL = "https://status.kayrros.com/api/v2/summary.json"
_INDICATORS = {
    "none": "all systems work",
    "minor": "minor problems",
    "major": "major problems",
    "critical": "it is down",
}
_HOSTS = {"data host": "base_url", "login host": "auth_url"}
_MAX_SKEW_S = 60
_MIN_FREE, _LOW_FREE = 100 * 10**6, 10**9
_PACKAGES = ("kayrros-ext", "httpx", "pyarrow", "msgspec")


def check_setup(profile: str | None) -> Iterator[Check]:
    """Yield the checks of this machine, which send nothing."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    yield Check("Python", "ok", f"{platform.python_version()} on {platform.system()}; {versions}")
    missing = {extra for extra, name in _extras() if not _is_installed(name)}
    there = sorted({extra for extra, _ in _extras()} - missing)
    advice = f"For {', '.join(sorted(missing))}: {install_command(*missing)}" if missing else ""
    yield Check("extras", "ok", f"{', '.join(there) or 'no extra'}", advice)
    yield _check_settings(profile)
    if names := [name for name in ("KAYRROS_CLIENT_LOGIN", "KAYRROS_CLIENT_PASSWORD") if name in os.environ]:
        advice = "This package does not read them: use KAYRROS_EMAIL and KAYRROS_PASSWORD."
        yield Check("variables", "note", f"{' and '.join(names)} belong to another product", advice)
    folders = {
        "working folder": Path.cwd(),
        "cache folder": user_cache_dir(),
        "temporary folder": Path(tempfile.gettempdir()),
    }
    for name, folder in folders.items():
        yield _check_disk(name, folder)
    is_early = time.time() < Path(__file__).stat().st_mtime - 86_400
    text, advice = "it is before this package was installed", "Set the clock of this machine."
    yield Check("clock", "failed", text, advice) if is_early else Check("clock", "ok", "plausible")
    proxies = getproxies()
    url = proxies.get("https") or proxies.get("all") or ""
    exceptions = plural(len(re.findall(r"[^,\s]+", proxies.get("no", ""))), "entry", "entries")
    text = f"one for https{', with a password' if '@' in url else ''}; {exceptions} in NO_PROXY"
    yield Check("proxy", "ok", text if url else "no proxy")
    names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if variable(name)]
    if bad := [name for name in names if not Path(variable(name)).exists()]:
        yield Check("certificates", "failed", f"{bad[0]} names no file or folder", f"Correct or unset {bad[0]}.")
    else:
        yield Check("certificates", "ok", f"those of {' and '.join(names) or 'the system'}")


def _extras() -> list[tuple[str, str]]:
    """Return each extra with each of its packages."""
    lines = importlib.metadata.requires("kayrros-ext") or []
    matches = (re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", line) for line in lines)
    return [(match[2], match[1]) for match in matches if match]


def _is_installed(name: str) -> bool:
    return next(iter(importlib.metadata.distributions(name=name)), None) is not None


def _check_settings(profile: str | None) -> Check:
    """Return where each setting comes from. The config file is private, or an error."""
    path, place = config_path(), "of KAYRROS_CONFIG" if variable("KAYRROS_CONFIG") else "at its usual place"
    try:
        sources = load_sources(profile)
        mode = f"mode {path.stat().st_mode & 0o777:o}" if path and path.is_file() else "not there"
    except (ConfigurationError, OSError) as error:
        is_open = "chmod" in getattr(error, "hint", "")
        advice = "Make it private: chmod 600." if is_open else "`kayrros config` shows what is wrong."
        return Check("settings", "failed", f"the config file {place} can't be used", advice)
    labels = [(key, find_setting(sources, key).source or "") for key in KEYS]
    # A profile may be named after a client.
    places = [f"{key} from {'a profile' if it.startswith('profile ') else it}" for key, it in labels if it]
    return Check("settings", "ok", f"{', '.join(places)}; config file {place}: {mode}")


def _check_disk(name: str, folder: Path | None) -> Check:
    with contextlib.suppress(OSError):
        while folder and not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if folder and os.access(folder, os.W_OK):
            free = shutil.disk_usage(folder).free
            if free >= _LOW_FREE:
                return Check(name, "ok", f"{format_size(free)} free")
            return Check(
                name, "failed" if free < _MIN_FREE else "note", f"{format_size(free)} free", "Free some space."
            )
    return Check(name, "note", "no folder that you may write to", "Use another one.")


def check_way(hosts: dict[str, str]) -> Iterator[Check]:
    """Yield whether a connection to each host opens."""
    for name, url in hosts.items():
        yield _check_reach(name, httpx.URL(url))


def check_answers(check_up: Doctor, hosts: dict[str, str]) -> Iterator[Check]:
    """Yield what the answers tell of certificates and clocks, and what the platform says of its own state."""
    if recorder := check_up.recorder:
        for name, url in ((name, httpx.URL(url)) for name, url in hosts.items()):
            problem = next((it.problem for it in recorder.exchanges if httpx.URL(it.url).host == url.host), "")
            yield _check_tls(name, url, recorder.issuers.get(url.host, ""), problem)
            yield _check_skew(name, recorder.skew_s(url.host))
        if not recorder.is_local:
            yield _check_status_page(recorder.client, STATUS_URL)


def _check_reach(name: str, url: httpx.URL) -> Check:
    """Return whether the name of a host resolves and a connection opens. A proxy does both for us."""
    proxies = getproxies()
    if url.scheme == "https" and (proxies.get("https") or proxies.get("all")) and not is_loopback(url):
        return Check(f"{name}: connection", "skipped", "the proxy makes it")
    began, port = time.monotonic(), url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.host, port), timeout=10).close()
    except (socket.gaierror, UnicodeError):
        return Check(
            f"{name}: DNS", "failed", "the name does not resolve", "Are you online? `kayrros config` shows the host."
        )
    except OSError as error:
        text = "it timed out" if isinstance(error, TimeoutError) else error.strerror or "it failed"
        return Check(f"{name}: TCP", "failed", text, "Check the network, the firewall and the proxy.")
    return Check(f"{name}: DNS, TCP", "ok", f"connected in {(time.monotonic() - began) * 1000:.0f} ms")


def _check_tls(name: str, url: httpx.URL, issuer: str, problem: str) -> Check:
    """Return who signed the certificate of a host. The name of a private authority is for the terminal alone."""
    if url.scheme == "http":
        return Check(f"{name}: TLS", "skipped", "plain http on this machine")
    if problem == "certificate":
        advice = "If a proxy or a private authority signed it, name its certificate with SSL_CERT_FILE."
        return Check(f"{name}: TLS", "failed", "the certificate is not trusted", advice)
    if not issuer:
        return Check(f"{name}: TLS", "skipped", "no certificate came")
    import certifi  # a dependency of httpx

    public = ssl.create_default_context(cafile=certifi.where()).get_ca_certs()
    if f"'{issuer}'" in str([authority["subject"] for authority in public]):
        return Check(f"{name}: TLS", "ok", f"signed by {issuer}")
    advice = "A proxy may read the traffic. Is it your company's?"
    return Check(f"{name}: TLS", "note", "signed by an authority that browsers do not know", advice, issuer)


def _check_skew(name: str, seconds: float | None) -> Check:
    """Return how far a host's clock is from ours."""
    if seconds is None:
        return Check(f"{name}: clock", "skipped", "no Date header")
    if abs(seconds) <= _MAX_SKEW_S:
        return Check(f"{name}: clock", "ok", "within a minute of ours")
    text = f"{abs(seconds):,.0f} seconds {'ahead of' if seconds > 0 else 'behind'} ours"
    return Check(f"{name}: clock", "failed", text, "Set the clock of this machine: tokens expire by it.")


def _check_status_page(client: httpx.Client, url: str) -> Check:
    """Return the platform's own status, where it has a page. A missing page is no failure."""
    with contextlib.suppress(httpx.HTTPError, ValueError, TypeError, KeyError):
        text = _INDICATORS[client.get(url, timeout=5).json()["status"]["indicator"]]
        is_fine = text == _INDICATORS["none"]
        return Check("status page", "ok" if is_fine else "note", text, "" if is_fine else "See status.kayrros.com.")
    return Check("status page", "skipped", "no answer")


def find_hosts(profile: str | None) -> dict[str, str]:
    """Return the URLs of the data host and the login host."""
    with contextlib.suppress(ConfigurationError):
        sources = load_sources(profile)
        return {name: str(find_setting(sources, key).value) for name, key in _HOSTS.items()}
    return {}

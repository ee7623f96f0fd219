"""Requests and their answers, and HAR without secrets and content: what is on a list stays, the rest becomes a pseudonym.

The same value becomes the same pseudonym everywhere, of the same type and form: structure and equality stay. Dates keep
their order, and neither their distance nor their time of day.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import attrs

from kayrros_ext import __version__
from kayrros_ext.errors import UsageError
from kayrros_ext.testing.http import Request, Response

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DATE = re.compile(r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?)?")
# Names and values of the platform that a report may show. All others may be data of a client.
SAFE_NAME = re.compile(r"(?!.*\d{4})[A-Za-z_@$][A-Za-z0-9_.]{0,63}")
SAFE_VALUE = re.compile(r"(?!.*\d{4})[A-Za-z][A-Za-z0-9_-]{0,39}")
MEDIA_TYPE = re.compile(r"(application|audio|image|text|video)/[a-z0-9][a-z0-9.+-]{0,60}")
_EPOCH_MS = range(10**11, 5 * 10**12)
_FIRST_DAY = datetime(2001, 1, 1, tzinfo=UTC)
# Headers that tell something of the protocol, and what they may say. Others are left out.
_HEADERS = {
    "accept-ranges": "bytes|none",
    "content-type": r"[a-z]+/[a-z0-9.+*-]+(; ?charset=(?i:utf-?8|us-ascii|iso-8859-\d+|windows-\d+))?",
    "date": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    "range": r"bytes=\d+-\d*",
    "retry-after": r"\d+",
    **dict.fromkeys(
        ("authorization", "content-disposition", "content-md5", "content-range", "digest", "etag", "location"), ""
    ),
}
_REPLAYED = {*_HEADERS, "allow"} - {"authorization", "content-md5", "date", "digest", "range"}
_HIDDEN = {"authorization": "Bearer redacted", "location": "https://redirect.example/"}


@attrs.frozen(eq=False)
class Exchange:
    """A request and its answer; `status` is 0 and `problem` the name of an error where none came. `body` is decoded."""

    operation: str | None
    method: str
    url: str
    sent_headers: Iterable[tuple[str, str]]
    sent: bytes
    status: int = 0
    headers: dict[str, str] = attrs.field(factory=dict)  # names in lower case
    body: bytes = b""
    problem: str = ""
    started: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    seconds: float = 0

    @property
    def json(self) -> Any:
        """The body as JSON; None for anything else."""
        return parse_json(self.body)[0]

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success: 2xx."""
        return 200 <= self.status < 300

    @property
    def outcome(self) -> str:
        """The status, or the reason why no answer came."""
        return f"status {self.status}" if self.status and not self.problem else f"no answer ({self.problem})"


def parse_json(body: bytes) -> tuple[Any, bool]:
    """Return JSON, and whether it is valid."""
    try:
        return json.loads(body), True
    except (ValueError, RecursionError):
        return None, False


class Redactor:
    """Makes pseudonyms. `document` is openapi.yaml, whose names of fields, enums, codes of errors and paths stay.

    `names` stay as well, because the report has them; `hosts` says what to call a host.
    """

    def __init__(self, document: Any, names: Iterable[str] = (), hosts: dict[str, str] | None = None) -> None:
        text = json.dumps(document, default=str)
        self._keys = {*re.findall(r'"([^"]+)": ', json.dumps(document["components"]["schemas"], default=str)), *names}
        enums = re.findall(r'"enum": \[([^\]]*)\]', text)
        self._words = {*re.findall(r'"([^"]+)"', " ".join(enums)), *re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text), *names}
        self._segments = {part for path in document["paths"] for part in path.split("/")}
        self._hosts, self._numbers = hosts or {}, dict[Any, int]()
        self._days = dict[datetime, int]()  # the number of the day that stands for a date

    def learn(self, value: Any) -> None:
        """Note the dates of a value before any is replaced, so that their pseudonyms have their order."""
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self.learn(part)
        if moment := to_moment(value):
            self._days.setdefault(moment, 0)

    def value(self, value: Any) -> Any:
        """Return a JSON value without content."""
        if isinstance(value, dict):
            return {self._key(name): self.value(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.value(part) for part in value]
        if moment := to_moment(value):
            return self._date(value, moment)
        return value if value is None or isinstance(value, bool) else self._scalar(value)

    def _scalar(self, value: str | float) -> str | float:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return next((size for size in (2**63, 2**31) if abs(value) >= size), 0) + self._count(value)
        return self._count(value) + (0.0 if value.is_integer() else 0.5)

    def _key(self, name: str) -> str:
        return name if name in self._keys else f"key-{self._count(name)}"

    def _text(self, text: str) -> str:
        if not text or text in self._words:
            return text
        if _UUID.fullmatch(text):
            return f"00000000-0000-4000-8000-{self._count(text.lower()):012d}"
        if "@" in text:
            return f"user-{self._count(text)}@example.com"
        return f"https://example.com/{self._count(text)}" if "://" in text else f"text-{self._count(text)}"

    def _date(self, value: Any, moment: datetime) -> Any:
        day = _FIRST_DAY + timedelta(days=self._days.setdefault(moment, len(self._days)))
        match = DATE.fullmatch(value) if isinstance(value, str) else None
        if not match:
            return int(day.timestamp() * 1000)
        separator, seconds, fraction, zone = (part or "" for part in match.groups())
        time = f"{separator}00:00{seconds and ':00'}{re.sub('[0-9]', '0', fraction)}{zone}" if separator else ""
        return f"{day:%Y-%m-%d}{time}"

    def _count(self, value: Any) -> int:
        return self._numbers.setdefault((type(value), value), len(self._numbers) + 1)

    def _url(self, url: str) -> str:
        """Return a URL whose host is one of the list, without user, and with pseudonyms in path and query."""
        parts = urlsplit(url)
        host = self._hosts.get(parts.netloc) or f"https://host-{self._count(parts.netloc)}.example"
        names = [unquote(part) for part in parts.path.split("/")]
        path = "/".join(quote(name if name in self._segments else self._text(name)) for name in names)
        return host + path + (f"?{self._form(parts.query)}" if parts.query else "")

    def _form(self, text: str) -> str:
        return urlencode([(self._key(name), self.value(it)) for name, it in parse_qsl(text, keep_blank_values=True)])

    def _header_list(self, headers: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
        rows = [(name.lower(), value) for name, value in headers if name.lower() in _HEADERS]
        shown = [
            (it, text if re.fullmatch(_HEADERS[it], text, re.ASCII) else _HIDDEN.get(it, "redacted"))
            for it, text in rows
        ]
        return [{"name": name, "value": value} for name, value in shown]

    def _body(self, body: bytes, media: str) -> str:
        if "form-urlencoded" in media:
            return self._form(body.decode("utf-8", "replace"))
        value, is_json = parse_json(body)
        if is_json:
            return json.dumps(self.value(value), separators=(",", ":"))
        return "<html>redacted</html>" if body.lstrip()[:1] == b"<" else "redacted" if body else ""

    def to_har(self, exchanges: Iterable[Exchange]) -> dict[str, Any]:
        """Return a HAR 1.2 of the exchanges that got an answer, without secrets and without content."""
        exchanges = [exchange for exchange in exchanges if exchange.status]
        self.learn([parse_json(body)[0] for exchange in exchanges for body in (exchange.sent, exchange.body)])
        self._days = {moment: number for number, moment in enumerate(sorted(self._days))}
        creator = {"name": "kayrros-ext", "version": __version__}
        return {"log": {"version": "1.2", "creator": creator, "entries": list(map(self._entry, exchanges))}}

    def _entry(self, exchange: Exchange) -> dict[str, Any]:
        url, milliseconds = self._url(exchange.url), round(exchange.seconds * 1000, 1)
        query = [{"name": name, "value": value} for name, value in parse_qsl(urlsplit(url).query)]
        sides = []
        for headers, body in ((exchange.sent_headers, exchange.sent), (exchange.headers.items(), exchange.body)):
            rows = self._header_list(headers)
            media = next((row["value"] for row in rows if row["name"] == "content-type"), "x-unknown")
            text = self._body(body, media)
            common = {
                "httpVersion": "HTTP/1.1",
                "headers": rows,
                "cookies": [],
                "headersSize": -1,
                "bodySize": len(text),
            }
            sides.append((common, {"mimeType": media, "text": text}))
        (sent, posted), (received, content) = sides
        request = {"method": exchange.method, "url": url, "queryString": query, **sent}
        response = {"status": exchange.status, "statusText": "", "redirectURL": "", **received}
        return {
            "startedDateTime": exchange.started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "time": milliseconds,
            "request": {**request, **({"postData": posted} if posted["text"] else {})},
            "response": {**response, "content": {"size": len(content["text"]), **content}},
            "cache": {},
            "timings": {"send": 0, "wait": milliseconds, "receive": 0},
        }


def read_har(path: Path | str) -> Callable[[Request], Response | None]:
    """Return a function that answers as a HAR did: with a success, where the same request also had an error.

    Raises:
        UsageError: the file can't be read, or is no HAR.
    """
    try:
        answers: dict[tuple[str, str, str], Response] = {}
        # Those without an answer, as of a cancelled request, have the status 0.
        entries = [it for it in json.loads(Path(path).read_bytes())["log"]["entries"] if it["response"]["status"]]
        for entry in sorted(entries, key=lambda it: it["response"]["status"] < 400):
            request, parts = entry["request"], urlsplit(entry["request"]["url"])
            posted = request.get("postData") or {}
            form = urlencode([(it["name"], it.get("value", "")) for it in posted.get("params") or ()])
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            answers[request["method"], target, _canonical((posted.get("text") or form).encode())] = _recorded(entry)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is no HAR"
        raise UsageError(f"{path} can't be served: {problem}.", hint="Pass a HAR 1.2, with its content.") from None
    return lambda it: answers.get((it.method, it.path, _canonical(it.body)))


def _recorded(entry: dict[str, Any]) -> Response:
    """Return the response of an entry. Its body is text without the encodings of the wire."""
    response, content = entry["response"], entry["response"]["content"]
    text = content.get("text") or ""
    body = base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()
    headers = {it["name"].title(): it["value"] for it in response["headers"] if it["name"].lower() in _REPLAYED}
    headers.setdefault("Content-Type", content.get("mimeType") or "application/octet-stream")
    status = 200 if response["status"] == 304 and body else response["status"]  # a browser had it
    return Response(status, headers, [body] if body else [], len(body))


def _canonical(body: bytes) -> str:
    """Return a body so that the order of fields does not matter."""
    value, is_json = parse_json(body)
    if is_json:
        return json.dumps(value, sort_keys=True)
    return urlencode(sorted(parse_qsl(body.decode("latin-1"), keep_blank_values=True))) or body.decode("latin-1")


def to_moment(value: Any) -> datetime | None:
    """Return a date of the platform: ISO 8601, UTC without a zone, or epoch milliseconds; None for anything else."""
    if type(value) is int:
        return datetime.fromtimestamp(value / 1000, UTC) if value in _EPOCH_MS else None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and DATE.fullmatch(value) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None


def epoch_ms(value: Any) -> int | None:
    """Return a date in epoch milliseconds, also where it comes in seconds or as text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value if abs(value) > 10**10 else value * 1000) if abs(value) < 10**18 else None
    moment = to_moment(value)
    return round(moment.timestamp() * 1000) if moment else None


def date_form(text: str) -> str:
    """Return the form of a date, without the date."""
    match = DATE.fullmatch(text)
    if not match or not to_moment(text):
        shape = re.sub(r"[A-Za-z]", "a", re.sub(r"\d", "9", text))
        return f"a date as {shape}" if re.fullmatch(r"[9a/.T-]{1,30}", shape) else "a date as another text"
    zone = {None: "without a zone", "Z": "in UTC"}.get(match[4], "with an offset")
    return f"ISO 8601, date and time {zone}" if match[1] else "ISO 8601, a date alone"

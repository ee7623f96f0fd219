"""Check the login, and compare the platform with openapi.yaml: `kayrros doctor` (extra `doctor`)."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx

from kayrros_ext import __version__
from kayrros_ext._auth.token_cache import open_token_cache
from kayrros_ext._config.credentials import KEYS, Source
from kayrros_ext._config.settings import AUTH_URL, BASE_URL, Settings, load_sources
from kayrros_ext._files import atomic_write
from kayrros_ext._secret import Secret, redact
from kayrros_ext.doctor.contract import Check, Difference, Judge
from kayrros_ext.doctor.probes import Examination
from kayrros_ext.errors import ConfigurationError
from kayrros_ext.testing.har import Exchange, Redactor
from kayrros_ext.testing.prism import find_spec
from kayrros_ext.testing.recorder import Recorder

__all__ = ["Check", "Difference", "Doctor"]
PLAN = """\
At most 20 requests that read, with pauses: a login, lists, metadata, small parts of results, the beginning of a file, and
some that must fail (unknown id, bad filter, bad token). One more asks the platform's status page."""


@attrs.define(eq=False, slots=False)
class Doctor:
    """One check-up of a profile and a dataset (its id), the first that the account can see by default.

    `spec` is the path of openapi.yaml; that of the package by default. A transport replaces the network. `checks` are those
    made so far; `needs_login` tells whether no login worked. Nothing that it writes holds a secret or data of the account.

    Example:
        >>> doctor = Doctor(dataset="7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4")
        >>> checks = [*doctor.check(), *doctor.noted([Check("disk", "ok", "has space")])]
        >>> doctor.has_failed, doctor.differences, doctor.to_json()["missing"]
        (False, [], [])
        >>> doctor.write(Path("report/"))
        >>> doctor.close()
    """

    profile: str | None = None
    dataset: str | None = None
    spec: Path = attrs.field(factory=find_spec)
    transport: httpx.BaseTransport | None = attrs.field(default=None, repr=False)
    checks: list[Check] = attrs.field(factory=list, init=False)
    needs_login: bool = attrs.field(default=False, init=False)
    recorder: Recorder | None = attrs.field(default=None, init=False, repr=False)
    _exchanges: list[Exchange] = attrs.field(factory=list, init=False, repr=False)
    _secrets: list[Secret] = attrs.field(factory=list, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._text = self.spec.read_text("utf-8")
        self._judge = Judge(self._text)

    @property
    def differences(self) -> list[Difference]:
        """Between the answers and the spec, in the order of their places."""
        return self._judge.differences

    @property
    def has_failed(self) -> bool:
        """Whether a check failed, or the answers differ from the spec."""
        return bool(self.differences) or any(check.result == "failed" for check in self.checks)

    def close(self) -> None:
        """Close the connections."""
        if self.recorder:
            self.recorder.client.close()

    def check(self) -> Iterator[Check]:
        """Check the login and the contract, with the requests of PLAN."""
        return self.noted(self._check())

    def noted(self, made: Iterable[Check]) -> Iterator[Check]:
        """Note checks for the report, and return them without secrets."""
        for check in made:
            shown = check._replace(text=self._clean(check.text), private=self._clean(check.private))
            self.checks.append(shown._replace(private=""))
            yield shown

    def _check(self) -> Iterator[Check]:
        try:
            sources = load_sources(self.profile)
            values = [getattr(source, key) for source in sources for key in KEYS]
            self._secrets += [value if isinstance(value, Secret) else Secret(str(value)) for value in values if value]
            settings = Settings.load(Source("arguments"), profile=self.profile)
        except ConfigurationError as error:
            self.needs_login = True
            advice = "Run `kayrros login`." if error.needs_login else "`kayrros config` shows what is wrong."
            yield Check("login", "failed", "the credentials are missing or can't be used", advice)
            return
        self._secrets += [it for it in (settings.password, settings.token, Secret(settings.email or "")) if it]
        key = (str(settings.auth_url), str(settings.base_url), settings.email or "")
        cache = open_token_cache(*key) if settings.email else None
        cached = cache.load() if cache and not settings.password else None
        token = settings.token or (cached.secret if cached else None)
        self.recorder = Recorder(settings, self.transport)
        self._exchanges = self.recorder.exchanges
        run = Examination(self.recorder, settings, self._judge, token)
        for check in run.check_login():
            self._secrets += [run.token] if run.token else []
            self.needs_login = self.needs_login or (check.name, check.result) == ("login", "failed")
            yield check
        if self.needs_login:
            return
        yield from run.check_lists()
        run.dataset = self.dataset or run.dataset
        if run.dataset:
            yield from run.check_data()
        run.settle_paths()
        data, count = [it for it in self._exchanges[1:] if it.operation != "login"], len(self.differences)
        self.needs_login = 401 in [it.status for it in data] and not any(it.is_success for it in data)
        if self.needs_login or not run.dataset:
            advice = "Run `kayrros login`." if self.needs_login else "Name a dataset with --dataset."
            yield Check("contract", "failed", "there is no dataset to look into", advice)
        else:
            text, advice = f"differences: {count or 'none'}", "See the report, and the patch." if count else ""
            yield Check("contract", "failed" if count else "ok", text, advice)

    def _clean(self, text: str) -> str:
        """Return a text without the secrets and the account, except for what openapi.yaml prints."""
        public = (self._text, BASE_URL, AUTH_URL)
        return redact(text, [it for it in self._secrets if not any(it.value in part for part in public)])

    def to_json(self) -> dict[str, Any]:
        """Return the report: checks, what is confirmed, differences, and how often each field came."""
        fields, differences = self._judge.fields(), self.differences
        confirmed = [(place, remark or "as the spec says") for place, remark in self._judge.facts]
        confirmed += [(it.place, f"a field of type {it.seen}") for it in self._judge.news() if it not in differences]
        for place, statuses in self._judge.statuses.items():
            confirmed += [(f"{place}/responses/{status}", "") for status in sorted(statuses)]
        report = {
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "kayrros_ext": __version__,
            "requests": len(self._exchanges),
            "checks": [dict(zip(Check._fields, check[:-1], strict=False)) for check in self.checks],
            "confirmed": [{"place": place, "fact": fact} for place, fact in confirmed],
            "differences": [{k: v for k, v in attrs.asdict(it).items() if k != "change"} for it in differences],
            "fields": fields,
            "missing": [field["place"] for field in fields if not field["present"]],
        }
        cleaned: dict[str, Any] = json.loads(self._clean(json.dumps(report, default=str)))
        return cleaned

    def write(self, folder: Path) -> None:
        """Write the report (as text and as JSON), the session as HAR, and the patch into a folder."""
        from kayrros_ext.doctor.spec_patch import make_patch

        report, news = self.to_json(), self._judge.news()
        patch, report["not_in_the_patch"] = make_patch(self._judge, self._text, report["date"])
        names = {{"enum": it.seen, "field": it.place.rpartition("/")[2]}.get(it.kind, "") for it in news}
        hosts = {httpx.URL(url).host: url for url in (BASE_URL, AUTH_URL)}
        har = Redactor(self._judge.document, names, hosts).to_har(map(self._at_public_host, self._exchanges))
        texts = {f"report{'.md'}": _to_text(report), "report.json": json.dumps(report, indent=2) + "\n"}
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {**texts, "session.har": json.dumps(har, indent=1) + "\n", "openapi.patch": patch}.items():
            with atomic_write(folder / name) as file:
                file.write(self._clean(text).encode())

    def _at_public_host(self, exchange: Exchange) -> Exchange:
        """Return an exchange at the hosts of the spec, and a file without its content."""
        path = self._judge.place(exchange.operation or "").split("/")[2].replace("~1", "/").partition("{")[0]
        head, sep, tail = exchange.url.partition(path)
        server = AUTH_URL if exchange.operation == "login" else BASE_URL
        body = b"a file" if exchange.operation == "downloadStaticDataset" and exchange.status < 400 else exchange.body
        return attrs.evolve(exchange, url=server + sep + tail if sep else head, body=body)


def _to_text(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    lines = [f"# Check-up of {report['date']}, with kayrros-ext {report['kayrros_ext']}"]
    for name, items in ((name, items) for name, items in report.items() if isinstance(items, list)):
        rows = [list(it.values()) if isinstance(it, dict) else [f"`{it}`"] for it in items]
        head = [list(items[0]), ["---"] * len(items[0])] if items and isinstance(items[0], dict) else [[name], ["---"]]
        cells = ([str(cell).replace("|", "/") for cell in row] for row in [*head, *rows])
        lines += ["", f"## {name.replace('_', ' ').capitalize()}", "", *(f"| {' | '.join(row)} |" for row in cells)]
    return "\n".join(lines) + "\n"

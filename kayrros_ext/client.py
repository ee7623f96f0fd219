"""Kayrros: datasets by id, as typed metadata, tables and files."""

from collections.abc import Iterable, Iterator
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, NoReturn, Self
from uuid import UUID

import attrs
import httpx

from kayrros_ext._arguments import UUID_PATTERN, IdOrName, unknown_argument
from kayrros_ext._auth.login import LoginAuth
from kayrros_ext._auth.token_cache import cache_of
from kayrros_ext._config.credentials import Identity, Source
from kayrros_ext._config.retries import DEFAULT_MAX_RETRIES, Retries
from kayrros_ext._config.settings import DEFAULT_CONCURRENCY, DEFAULT_MAX_BODY, DEFAULT_TOTAL_TIMEOUT_S, Settings
from kayrros_ext._http.client import RequestPolicy, closed_error, parsed
from kayrros_ext._http.errors import ErrorMapper
from kayrros_ext._http.transport import Verify, build_client, connection_options
from kayrros_ext._progress import warn
from kayrros_ext._results.fetch import ResultsFetcher
from kayrros_ext._results.metadata import Metadata
from kayrros_ext._results.model import Results
from kayrros_ext._results.query import ResultsOptions, parse_filter, parse_names
from kayrros_ext._secret import Secret
from kayrros_ext._text import list_names
from kayrros_ext.errors import APIError, ContractError, GapError, TransportError, UsageError
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import Collection, DatasetMetadata
from kayrros_openapi.types import UNSET

if TYPE_CHECKING:
    from typing import Unpack

    import pyarrow as pa

    from kayrros_ext._catalog import Catalog, Dataset, Match
    from kayrros_ext._download.transfer import Download
    from kayrros_ext._download.transfer import ProgressCallback as DownloadProgress
    from kayrros_ext._export.many import ExportedDataset
    from kayrros_ext._progress import ProgressCallback
    from kayrros_ext._results.query import Instant, Names, OnGap
    from kayrros_ext._results.selection import Asset
    from kayrros_openapi import Client


class Kayrros:
    """A client of the Kayrros Platform API. It logs in when the first call needs it.

    Use it in a `with` block (or `async with`), which closes its connections. Threads and tasks may share one.

    Email, password and token each come from the first that has one: arguments, environment, a profile of the config file,
    the system's keyring, netrc. Without a password and token, the login that `kayrros login` saved for the email is used.

    Example:
        >>> with Kayrros() as kayrros:
        ...     kayrros.results("Crude oil storage").export("tanks.csv").name
        'tanks.csv'

    Args:
        email: account; else KAYRROS_EMAIL.
        password: its password; else KAYRROS_PASSWORD.
        token: a token to use as it is; else KAYRROS_TOKEN. With email and password as well, the client logs in once the
            token is rejected.
        base_url: data host; else KAYRROS_BASE_URL; else https://platform.api.kayrros.com (reference).
        auth_url: login host; else KAYRROS_AUTH_URL; else https://auth.kayrros.com (reference).
        timeout: seconds to wait for a connection and between bytes, or an httpx.Timeout. Default: 10 and 120.
        retries: how often a request is retried after a failed or broken connection, a timeout, or one of the statuses
            429, 502, 503 and 504; 0 turns retries off. Retries sets the waits as well. Refusals of a platform that limits
            requests are not counted.
        total_timeout: seconds for a request with all of its attempts.
        concurrency: how many requests of one `results` call run at a time.
        max_body: largest response with results, in bytes, decoded. Other responses have at most 64 MiB.
        verify: certificates to trust instead of those of SSL_CERT_FILE, SSL_CERT_DIR or the system: path of a file or
            folder, an ssl.SSLContext, or False for any.
        profile: name of a profile of the config file, which then counts before the environment; else KAYRROS_PROFILE; else
            `default`.
        token_cache: whether other processes share the token of a login; else KAYRROS_TOKEN_CACHE (on, off). Default: on,
            unless there is a transport, or a host is this machine where `kayrros login` has not saved a token.
        transport: replaces the network; kayrros_ext.testing has one. It is closed with the client. Async calls need one that
            is an httpx.AsyncBaseTransport, too.

    Attributes:
        client: the generated Client, logged in. Every operation of kayrros_openapi.api takes it, sync and asyncio, and
            raises the errors of this package. Each event loop gets connections of its own, which close with it.

    Raises:
        ConfigurationError: there are neither credentials nor a saved login, a file with secrets is readable by others, or a
            host is not safe to send them to. Nothing was sent.
    """

    client: "Client"
    _base_url: str | None = None  # also before __init__ is done, for a traceback with locals

    def __init__(
        self,
        *,
        email: str | None = None,
        password: str | Secret | None = None,
        token: str | Secret | None = None,
        base_url: str | None = None,
        auth_url: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        retries: int | Retries = DEFAULT_MAX_RETRIES,
        total_timeout: float = DEFAULT_TOTAL_TIMEOUT_S,
        concurrency: int = DEFAULT_CONCURRENCY,
        max_body: int = DEFAULT_MAX_BODY,
        verify: Verify = True,
        profile: str | None = None,
        token_cache: bool | None = None,
        transport: httpx.BaseTransport | None = None,
        **_unknown: Never,
    ) -> None:
        # Sealed first, because a traceback with locals shows this frame.
        password, token = Secret.parse(password), Secret.parse(token)
        if _unknown:
            raise unknown_argument(Kayrros, _unknown)
        settings = Settings.load(
            Source("arguments", email, password, token, base_url, auth_url),
            timeout=timeout,
            retries=retries,
            total_timeout=total_timeout,
            concurrency=concurrency,
            max_body=max_body,
            profile=profile,
            # A transport may be a fake, whose tokens have no place on the disk.
            token_cache=False if token_cache is None and transport is not None else token_cache,
        )
        connections = connection_options(settings, transport, verify)
        self._settings, self._base_url = settings, str(settings.base_url)
        self._auth = LoginAuth(settings, connections, cache_of(settings))
        hints = {} if settings.password else {401: settings.hint_401}
        errors = ErrorMapper(settings.base_url.host, self._auth.redact, hints)
        policy = RequestPolicy(errors, settings.retries, settings.total_timeout, settings.max_body)
        self.client = self._client = build_client(settings, settings.base_url, policy, connections, self._auth)
        self._names: dict[UUID, str] = {}  # of all datasets that were listed
        self._metadata: dict[UUID, Metadata] = {}  # those fetched last
        self._assets: dict[UUID, pa.Table] = {}  # all assets of a dataset, as `Results.assets`

    def whoami(self) -> Identity:
        """Return whose account this is, where its credentials come from, and whether there is a token. Sends nothing.

        Example:
            >>> kayrros.whoami().email
            'analyst@example.com'
        """
        return self._auth.identity()

    def login(self) -> Identity:
        """Log in now, even with a token at hand. The new token replaces it, for other processes too.

        No call needs this, because each logs in when it has to. It shows whether email and password are right.

        Example:
            >>> kayrros.login().has_token
            True

        Raises:
            ConfigurationError: there is only a token, and no email and password.
            LoginError, TransportError, UsageError: as `metadata`.
        """
        if self._client.get_httpx_client().is_closed:
            raise closed_error()
        self._auth.tokens.renew()
        return self.whoami()

    def collections(self) -> list[Collection]:
        """Return the collections that the account can see; any field may be UNSET or None.

        The reference does not mention this operation; a public client uses it (observed).

        Example:
            >>> [collection.name for collection in kayrros.collections()]
            ['Oil storage', 'Emissions and industry']

        Raises:
            KayrrosError: as `metadata`, without NotFoundError.
        """
        return self._catalog.collections()

    def datasets(self, collection: IdOrName | None = None) -> "list[Dataset]":
        """Return the datasets of a collection, else all that the account can see, each once; any field may be UNSET or None.

        The reference does not mention this operation; a public client uses it (observed).

        Example:
            >>> [(it.name, it.collection.name) for it in kayrros.datasets("Oil storage")]
            [('Crude oil storage, selected terminals', 'Oil storage')]

        Args:
            collection: one of `collections()`, its id or name, or the beginning of either.

        Raises:
            NotFoundError: no collection or several match.
            KayrrosError: as `metadata`.
        """
        return self._catalog.datasets(collection)

    def find(self, text: str) -> "list[Match]":
        """Return the collections, datasets and assets whose name has all words of a text, or whose id begins with it.

        It requests the datasets of every collection. Assets are those that `assets`, or `results` of a whole dataset, has
        returned before.

        Example:
            >>> [(match.kind, match.name) for match in kayrros.find("crude")]
            [('dataset', 'Crude oil storage, selected terminals')]

        Raises:
            KayrrosError: as `metadata`.
        """
        from kayrros_ext._catalog import Match
        from kayrros_ext._results.selection import to_assets  # pyarrow is heavy

        seen = ((str(key), asset) for key, table in [*self._assets.items()] for asset in to_assets(table))
        assets = (Match("asset", asset.id or "", asset.name or "", dataset=key) for key, asset in seen)
        return self._catalog.find(text, assets)

    def assets(
        self, dataset: IdOrName, *, progress: "ProgressCallback | bool | None" = None, **_unknown: Never
    ) -> "list[Asset]":
        """Return the assets of a dataset, ordered by id: the rows of `Results.assets`, as a list of named tuples.

        The API has no request for this, so all results are read, part by part, in bounded memory.

        Example:
            >>> tanks = kayrros.assets("Crude oil storage")
            >>> north = [tank for tank in tanks if tank.parent_name == "Cushing North Terminal"]
            >>> len(kayrros.results("Crude oil storage", assets=north))
            36

        Args:
            dataset: as for `metadata`.
            progress: as for `results`.

        Raises:
            KayrrosError: as `iter_results`.
        """
        if _unknown:
            raise unknown_argument(Kayrros.assets, _unknown)
        from kayrros_ext._results.selection import read_assets, to_assets  # pyarrow is heavy

        fetcher = self._fetcher(dataset, {"progress": progress}, bounded_memory=True)
        table = self._assets[fetcher.dataset_id] = read_assets(fetcher)
        return to_assets(table)

    def metadata(self, dataset: IdOrName, **_unknown: Never) -> Metadata:
        """Return the metadata of a dataset, with its dates as datetimes in `start` and `stop`; a field may be UNSET or None.

        Example:
            >>> kayrros.metadata("Crude oil storage").stop
            datetime.datetime(2024, 2, 6, 0, 0, tzinfo=datetime.timezone.utc)

        Args:
            dataset: its id, an object with its `id` such as one of `datasets()`, or a name or beginning of an id or name
                that no other dataset of the account has. Names are looked up in the list of all datasets, which takes a
                request and one per collection: once for a whole name, each time for its beginning.

        Raises:
            UsageError: the argument is not a dataset, and nothing was sent; or the client is closed.
            LoginError: the login failed.
            NotFoundError: no dataset or several match; the message has the nearest names.
            NotFoundError, AccessDeniedError, UnauthorizedError, APIError: the API answered with an error status.
            ContractError: the response is not what openapi.yaml says.
            TransportError: no complete response arrived.
        """
        if _unknown:
            raise unknown_argument(Kayrros.metadata, _unknown)
        dataset_id = self._dataset_id(dataset)
        metadata: DatasetMetadata = parsed(get_dataset_metadata.sync_detailed(dataset_id, client=self.client))
        missing = [field.name for field in attrs.fields(DatasetMetadata) if getattr(metadata, field.name) is UNSET]
        if missing and metadata.additional_keys:
            text = "The metadata lacks %s, and has undeclared fields, which may be the new names: %s."
            warn(text, list_names(missing), list_names(metadata.additional_keys))
        self._metadata[dataset_id] = Metadata.from_dict(metadata.to_dict())
        return self._metadata[dataset_id]

    def results(
        self,
        dataset: IdOrName,
        *,
        start: "Instant | None" = None,
        stop: "Instant | None" = None,
        assets: "Names | None" = None,
        metric: "Names | None" = None,
        on_gap: "OnGap" = "raise",
        strict: bool = False,
        with_dataset: bool = False,
        progress: "ProgressCallback | bool | None" = None,
        **_unknown: Never,
    ) -> Results:
        """Return the results of a dataset, or those of some dates and assets, however large.

        When the gateway answers 504 (observed), they are fetched in time windows, down to a day, and below that by assets.
        All of it is held in memory; `iter_results` and `export` hold a part.

        Example:
            >>> results = kayrros.results("Crude oil storage", start="2024-02")
            >>> results.to_pandas(wide="fill_level_pct")["Cushing TK-101"].tolist()
            [70.2985]

        Args:
            dataset: as for `metadata`.
            start: first date or moment: a date, a datetime (UTC unless it has a zone), epoch milliseconds, or a string
                like 2024-01-31, 2024-W05, 2024-01, 2024 or 2024-01-31T12:00Z. Scalars of numpy and Arrow and periods of
                pandas are taken as well. Default: from 1970.
            stop: last date or moment, likewise. A day, week, month or year counts to its end, the last millisecond in
                UTC. Default: all there is. Whether the API includes a value at exactly the moment `stop` is unknown.
            assets: ids or names of assets, or objects with their `id`; one, or a list or any array of them. Default: all.
                Thousands are requested in batches. They take one small request for ids and two for names, none once the
                client has the list of all assets (after `assets`, unfiltered `results`, or a lookup by name). An incomplete
                list costs one reading of all results. Case and blanks of a name do not matter.
            metric: name of a metric, or several, likewise. Default: all. The API sends all, and the others are dropped. If
                there are no rows, an unknown metric is a warning.
            on_gap: "raise" a GapError, which holds the rest, when a part stays unavailable at any size; or "warn", and
                list it in `gaps` of the results. Gaps outside the dates of the metadata never raise: a gateway may limit
                the days of a range, so that those before and after the data can't be requested.
            strict: whether NaN or an infinity in place of a number is a ContractError, rather than null and a warning.
            with_dataset: whether the table has the columns dataset_id and dataset_name in front, so that tables of several
                datasets can be joined. It takes a request for the metadata, unless the client has seen the name.
            progress: True for a line on stderr, False for none, or a callable that takes a Progress. Default: a line when
                stderr is a terminal and the results come in windows.

        Raises:
            KayrrosError: as `metadata`; UsageError also for an argument that can't work, such as `stop` before `start`, an
                asset that the dataset does not have, or, once all rows have come, a metric that none of them has.
            GapError: a part stays unavailable, the platform stops answering, or 20,000 requests were not enough; the other
                parts are in `error.results`.
        """
        options: Any = {"start": start, "stop": stop, "assets": assets, "metric": metric, "on_gap": on_gap}
        options |= {"strict": strict, "with_dataset": with_dataset, "progress": progress, **_unknown}
        fetcher = self._fetcher(dataset, options)
        parts: list[Results] = []
        try:
            parts.extend(fetcher)
        except GapError as error:
            from kayrros_ext._results.merge import merge

            error.results = merge(parts or [fetcher.describe(merge([]))], gaps=error.gaps)
            raise
        results = parts[0]
        if len(parts) > 1:
            from kayrros_ext._results.merge import merge

            results = merge(parts)
        if start is stop is assets is None and not results.gaps:
            self._assets[fetcher.dataset_id] = results.assets
        return results

    def iter_results(self, dataset: IdOrName, **options: "Unpack[ResultsOptions]") -> Iterator[Results]:
        """Yield the results of a dataset, part by part, in bounded memory. Options and errors are those of `results`.

        Each part holds one time window, ordered by asset, date and metric; a part with a gap has no rows. A response larger
        than 16 MiB is not read to its end, but requested in parts. UsageError is raised at once, the others when a part is
        requested; a GapError holds no results, because they were yielded.

        Example:
            >>> sum(part.table.num_rows for part in kayrros.iter_results("Crude oil storage"))
            72
        """
        return iter(self._fetcher(dataset, options, bounded_memory=True))

    def export(
        self, dataset: IdOrName, path: str | Path, *, excel_csv: bool = False, **options: "Unpack[ResultsOptions]"
    ) -> Path:
        """Write the results of a dataset to a file, in bounded memory, and return its path. Options are those of `results`.

        The suffix of the path is the format: .parquet, .geoparquet, .xlsx, .csv, .json, .ndjson or .geojson, the last
        four with .gz too. With excel_csv=True a .csv is one that Excel opens correctly by a double click. The directory is
        created; an existing file, or the target of a symlink, is replaced by the complete new one. If a gap raises, there is
        no file; with on_gap="warn", gaps are in the log and in the file.

        The metadata is fetched first, unless this client has it. If that fails, the file lacks the name of the dataset and
        its own attribution.

        Example:
            >>> kayrros.export("Crude oil storage", "levels.parquet", start="2024-02").name
            'levels.parquet'

        Raises:
            ExportError: the file can't be written, or Excel can't hold the results.
            MissingExtraError: the path ends in .xlsx, and the extra `excel` is not installed. Nothing was sent.
            KayrrosError: as `results`; UsageError also for a path whose suffix is no format, or not .csv with excel_csv.
        """
        from kayrros_ext._export import parse_target, write
        from kayrros_ext._results.schema import RESULTS, WITH_DATASET

        target = parse_target(path, excel_csv=excel_csv)
        fetcher = self._fetcher(dataset, options, bounded_memory=True, needs_metadata=True)
        write(target, fetcher, schema=WITH_DATASET if options.get("with_dataset") else RESULTS, excel_csv=excel_csv)
        return target

    def export_many(
        self,
        datasets: Iterable[IdOrName],
        directory: str | Path,
        *,
        format: str = "parquet",  # noqa: A002 - the word that pandas and pyarrow have for it
        start: "Instant | None" = None,
        stop: "Instant | None" = None,
        metric: str | Iterable[str] | None = None,
        on_gap: "OnGap" = "raise",
        skip_existing: bool = False,
        progress: "ProgressCallback | bool | None" = None,
        **_unknown: Never,
    ) -> "list[ExportedDataset]":
        """Write the results of many datasets, a file for each, several at a time. Return a report, an item per dataset.

        An error of one dataset does not stop the others. It is in the report, and in the log. `concurrency` datasets are
        exported at a time, each with one request at a time, so that a single large one is faster with `export`. A file is
        named after its dataset, and keeps its name when that is renamed.

        Args:
            datasets: such as `kayrros.datasets("Oil storage")`; each as for `metadata`.
            directory: created when missing. One call at a time writes to it. `kayrros-export.json` records its files.
            format: suffix of the files, such as parquet, csv.gz or xlsx; as for `export`.
            start: as for `results`.
            stop: as for `results`.
            metric: as for `results`.
            on_gap: as for `results`.
            skip_existing: whether to skip a dataset if its file is complete, of the same arguments, host and version of
                this package, and of metadata with the same processing, source, dates and number of assets. A revision that
                changes none of these is not noticed.
            progress: as for `results`, over all datasets. Threads call it, one at a time.

        Example:
            >>> report = kayrros.export_many(kayrros.datasets("Oil storage"), "lake/")
            >>> [each.status for each in report]
            ['written']

        Raises:
            KayrrosError: as `export`, if it concerns all datasets: an argument, the directory, which another call may write
                to, the login, the disk, or a host that does not respond to the first datasets. Complete files stay.
        """
        if _unknown:
            raise unknown_argument(Kayrros.export_many, _unknown)
        from kayrros_ext._export.many import Export

        options: Any = {"format": format, "start": start, "stop": stop, "metric": metric, "on_gap": on_gap}
        options |= {"skip_existing": skip_existing, "progress": progress}
        return Export(self, datasets, directory, **options).run()

    @cached_property
    def _catalog(self) -> "Catalog":
        from kayrros_ext._catalog import Catalog  # only who names datasets needs it

        return Catalog(self._client, self._names)

    def _dataset_id(self, dataset: IdOrName) -> UUID:
        text = str(dataset).strip() if isinstance(dataset, UUID | str) else ""
        return UUID(text) if UUID_PATTERN.fullmatch(text) else self._catalog.dataset_id(dataset)

    def _fetcher(
        self,
        dataset: IdOrName,
        options: "ResultsOptions",
        *,
        bounded_memory: bool = False,
        concurrency: int | None = None,
        needs_metadata: bool = False,
    ) -> ResultsFetcher:
        fields: dict[str, Any] = {**options}
        start, stop, assets, metric = (fields.pop(name, None) for name in ("start", "stop", "assets", "metric"))
        if unknown := {name: fields[name] for name in fields if name not in ResultsOptions.__annotations__}:
            raise unknown_argument(Kayrros.results, unknown)
        fetcher = ResultsFetcher(
            client=self._client,
            query=UNSET if start is stop is assets is None else parse_filter(start, stop, assets),
            metrics=[] if metric is None else parse_names("metric", metric),
            known_assets=self._assets,
            concurrency=concurrency or self._settings.concurrency,
            bounded_memory=bounded_memory,
            **fields,
        )
        dataset_id = fetcher.dataset_id = self._dataset_id(dataset)
        fetcher.dataset_name, fetcher.metadata = self._names.get(dataset_id), self._metadata.get(dataset_id)
        fetcher.fetch_metadata = cache(partial(self.metadata, dataset_id))
        if needs_metadata and fetcher.metadata is None:
            try:
                fetcher.metadata = fetcher.fetch_metadata()
            except (APIError, ContractError, TransportError) as error:
                if "Connect" in getattr(error, "reason", ""):  # else the results may be available nevertheless
                    raise
        return fetcher

    def download(
        self,
        dataset: IdOrName,
        directory: str | Path = ".",
        *,
        overwrite: bool = False,
        sha256: str | None = None,
        progress: "DownloadProgress | None" = None,
        **_unknown: Never,
    ) -> "Download":
        """Download the file of a static dataset into a directory, under the name that the API gives it.

        The file appears only when it is complete and verified: its length, and its digest where the server sends one. An
        interrupted download resumes, in the same call or a later one, if the server identifies the version of the file.
        `total_timeout` does not end a download that makes progress.

        If the directory has this very file already, it is returned, after a transfer only where the server does not identify
        it. Use a directory for each dataset, because their files may have the same name.

        Example:
            >>> kayrros.download("Crude oil storage", "files/").path.name
            'crude-terminals.csv'

        Args:
            dataset: as for `metadata`.
            directory: created when missing.
            overwrite: whether to replace another file of that name, such as an older version, but no other dataset's.
            sha256: SHA-256 that the file must have, 64 hexadecimal digits.
            progress: called with the bytes received and, where known, the size of the file; else None.

        Returns:
            A path (`os.PathLike`) that also has `path`, `size` in bytes, `sha256`, and `new`: False if the file existed.

        Raises:
            KayrrosError: as `metadata`; UsageError also for a directory or sha256 that can't be one.
            DownloadError: the file can't be written, another one exists and may not be replaced, or it has another digest.
        """
        if _unknown:
            raise unknown_argument(Kayrros.download, _unknown)
        from kayrros_ext._download.transfer import download  # filelock takes 20 ms

        key = partial(self._dataset_id, dataset)
        return download(self._client, key, directory, overwrite=overwrite, sha256=sha256, progress=progress)

    def close(self) -> None:
        """Close the connections of sync calls. A `with` block does.

        Example:
            >>> kayrros.close()
        """
        self._client.get_httpx_client().close()

    async def aclose(self) -> None:
        """Close all connections, those of async calls too. An `async with` block does.

        Example:
            >>> import asyncio
            >>> asyncio.run(kayrros.aclose())
        """
        await self._client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        hint = "Create one in each worker: its connections and its login belong to one process."
        raise UsageError("A Kayrros can't be pickled or copied.", hint=hint)

    def __repr__(self) -> str:
        return f"Kayrros(base_url={self._base_url!r})"

"""Kayrros: datasets by id, as typed metadata, tables and files."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self
from uuid import UUID

import attrs
import httpx

from kayrros_ext._auth.login import LoginAuth
from kayrros_ext._auth.token_cache import open_token_cache
from kayrros_ext._catalog import UUID_PATTERN, Catalog, CollectionLike, Dataset, DatasetLike, Match
from kayrros_ext._config.credentials import Identity
from kayrros_ext._config.retries import DEFAULT_MAX_RETRIES, Retries
from kayrros_ext._config.settings import DEFAULT_CONCURRENCY, DEFAULT_MAX_BODY, DEFAULT_TOTAL_TIMEOUT_S, Settings
from kayrros_ext._http.client import RequestPolicy, closed_error, parsed
from kayrros_ext._http.errors import ErrorMapper
from kayrros_ext._http.transport import Verify, build_client, connection_options
from kayrros_ext._progress import warn
from kayrros_ext._results.fetch import ResultsFetcher
from kayrros_ext._results.metadata import Metadata
from kayrros_ext._results.model import Results
from kayrros_ext._results.query import parse_filter
from kayrros_ext._secret import Secret
from kayrros_ext._text import list_names
from kayrros_ext.errors import GapError, UsageError
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import Collection, DatasetMetadata
from kayrros_openapi.types import UNSET

if TYPE_CHECKING:
    from kayrros_ext._download.transfer import Download
    from kayrros_ext._download.transfer import ProgressCallback as DownloadProgress
    from kayrros_ext._progress import ProgressCallback
    from kayrros_ext._results.query import Instant, OnGap
    from kayrros_openapi import Client
    from kayrros_openapi.models import ProcessingResultFilter
    from kayrros_openapi.types import Unset

_NO_CREDENTIALS = "The token is not valid. Pass a new token, or email and password (KAYRROS_EMAIL, KAYRROS_PASSWORD)."


class Kayrros:
    """A client of the Kayrros Platform API. It logs in when the first call needs it.

    Use it in a `with` block (or `async with`), which closes its connections. Threads and tasks may share one.

    Credentials come from the first of: arguments, environment, a profile of the config file, the system's keyring, netrc.

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
            unless a host is this machine or there is a transport.
        transport: replaces the network; kayrros_ext.testing has one. It is closed with the client. Async calls need one that
            is an httpx.AsyncBaseTransport, too.

    Attributes:
        client: the generated Client, logged in. Every operation of kayrros_openapi.api takes it, sync and asyncio, and
            raises the errors of this package. Each event loop gets connections of its own, which close with it.

    Raises:
        ConfigurationError: credentials are missing or incomplete, a file with secrets is readable by others, or a host is
            not safe to send them to. Nothing was sent.
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
    ) -> None:
        # Sealed first, because a traceback with locals shows this frame.
        password, token = Secret.parse(password), Secret.parse(token)
        settings = Settings.load(
            email=email,
            password=password,
            token=token,
            base_url=base_url,
            auth_url=auth_url,
            timeout=timeout,
            retries=retries,
            total_timeout=total_timeout,
            concurrency=concurrency,
            max_body=max_body,
            profile=profile,
            # A transport may be a fake, whose tokens have no place on the disk.
            token_cache=False if token_cache is None and transport is not None else token_cache,
        )
        connections, account, cache = connection_options(settings, transport, verify), settings.credentials, None
        if account and settings.token_cache:
            cache = open_token_cache(str(settings.auth_url), str(settings.base_url), account.email)
        self._settings, self._base_url = settings, str(settings.base_url)
        self._auth = LoginAuth(settings, connections, cache)
        hints = {} if account else {401: _NO_CREDENTIALS}
        policy = RequestPolicy(
            ErrorMapper(settings.base_url.host, self._auth.redact, hints),
            settings.retries,
            settings.total_timeout_s,
            settings.max_body,
        )
        self._client = build_client(settings, settings.base_url, policy, connections, self._auth)
        self.client = self._client
        self._catalog = Catalog(self._client)
        self._metadata: dict[UUID, Metadata] = {}  # those fetched last

    def whoami(self) -> Identity:
        """Return whose account this is, where its credentials come from, and whether there is a token. Sends nothing."""
        return self._auth.identity()

    def login(self) -> Identity:
        """Log in now, even with a token at hand. The new token replaces it, for other processes too.

        No call needs this, because each logs in when it has to. It shows whether email and password are right.

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

        Raises:
            KayrrosError: as `metadata`, without NotFoundError.
        """
        return self._catalog.collections()

    def datasets(self, collection: CollectionLike | None = None) -> list[Dataset]:
        """Return the datasets of a collection, else all that the account can see; any field may be UNSET or None.

        The reference does not mention this operation; a public client uses it (observed).

        Args:
            collection: one of `collections()`, its id or name, or the beginning of either.

        Raises:
            NotFoundError: no collection or several match.
            KayrrosError: as `metadata`.
        """
        return self._catalog.datasets(collection)

    def find(self, text: str) -> list[Match]:
        """Return the collections and datasets whose name has all words of a text, or whose id begins with it.

        It requests the datasets of every collection.

        Example:
            >>> kayrros.find("cushing")
            [Match(kind='dataset', id='7d3c1a52-...', name='Tanks of Cushing', collection='Oil storage')]

        Raises:
            KayrrosError: as `metadata`.
        """
        return self._catalog.find(text)

    def metadata(self, dataset: DatasetLike) -> Metadata:
        """Return the metadata of a dataset, with its dates as datetimes in `start` and `stop`; a field may be UNSET or None.

        Args:
            dataset: its id, one of `datasets()`, or a name or beginning of an id or name that no other dataset of the
                account has. Names are looked up in the list of all datasets, which takes a request for each collection.

        Raises:
            UsageError: the id is not one, and nothing was sent; or the client is closed.
            LoginError: the login failed.
            NotFoundError, AccessDeniedError, UnauthorizedError, APIError: the API answered with an error status.
            ContractError: the response is not what openapi.yaml says.
            TransportError: no complete response arrived.
        """
        dataset_id = self._dataset_id(dataset)
        metadata: DatasetMetadata = parsed(get_dataset_metadata.sync_detailed(dataset_id, client=self.client))
        missing = [field.name for field in attrs.fields(DatasetMetadata) if getattr(metadata, field.name) is UNSET]
        if missing and metadata.additional_keys:
            text = "The metadata lack %s, and have undeclared fields, which may be the new names: %s."
            warn(text, list_names(missing), list_names(metadata.additional_keys))
        self._metadata[dataset_id] = Metadata.from_dict(metadata.to_dict())
        return self._metadata[dataset_id]

    def results(
        self,
        dataset: DatasetLike,
        *,
        start: "Instant | None" = None,
        stop: "Instant | None" = None,
        assets: Iterable[str | UUID] | None = None,
        on_gap: "OnGap" = "raise",
        strict: bool = False,
        with_dataset: bool = False,
        progress: "ProgressCallback | bool | None" = None,
    ) -> Results:
        """Return the results of a dataset, or those of some dates and assets, however large.

        When the gateway does not let them through at once (504 is observed), they are fetched in time windows, down to a
        day, and below that by assets. All of it is held in memory; `iter_results` and `export` hold a part.

        Args:
            dataset: as for `metadata`.
            start: first date or moment: a date, a datetime (UTC unless it has a zone), epoch milliseconds, or a string
                like 2024-01-31, 2024-W05, 2024-01, 2024 or 2024-01-31T12:00Z. Scalars of numpy and Arrow and periods of
                pandas are taken as well. Default: from 1970.
            stop: last date or moment, likewise. A day, week, month or year counts to its end, the last millisecond in
                UTC. Default: all there is. Whether the API includes a value at exactly the moment `stop` is unknown.
            assets: ids of the assets, in a list or any array. Default: all. Thousands are requested in batches.
            on_gap: "raise" a GapError, which holds the rest, when a part stays unavailable at any size; or "warn", and
                list it in `gaps` of the results. What lies outside of the dates of the metadata never raises: a gateway may
                limit the days of a range, so that it can't be requested.
            strict: whether NaN or an infinity in place of a number is a ContractError, rather than null and a warning.
            with_dataset: whether the table has the columns dataset_id and dataset_name in front, so that tables of several
                datasets can be joined. It takes a request for the metadata, unless the client has seen the name.
            progress: True for a line on stderr, False for none, or a callable that takes a Progress. Default: a line when
                stderr is a terminal and the results come in windows.

        Raises:
            KayrrosError: as `metadata`; UsageError also for an argument that can't work, such as `stop` before `start`.
            GapError: a part stays unavailable, the platform stops to answer, or 20,000 requests were not enough; the other
                parts are in `error.results`.
        """
        query, options = (start, stop, assets), {"strict": strict, "with_dataset": with_dataset}
        fetcher = self._fetcher(dataset, query, on_gap, progress, **options)
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
        return results

    def iter_results(
        self,
        dataset: DatasetLike,
        *,
        start: "Instant | None" = None,
        stop: "Instant | None" = None,
        assets: Iterable[str | UUID] | None = None,
        on_gap: "OnGap" = "raise",
        strict: bool = False,
        with_dataset: bool = False,
        progress: "ProgressCallback | bool | None" = None,
    ) -> Iterator[Results]:
        """Yield the results of a dataset, part by part, in bounded memory. Arguments and errors are those of `results`.

        Each part holds one time window, ordered by asset, date and metric; a part with a gap has no rows. A response larger
        than 16 MiB is not read to its end, but requested in parts. UsageError is raised at once, the others when a part is
        requested; a GapError holds no results, because they were yielded.
        """
        query, options = (start, stop, assets), {"strict": strict, "with_dataset": with_dataset}
        return iter(self._fetcher(dataset, query, on_gap, progress, **options, bounded_memory=True))

    def export(
        self,
        dataset: DatasetLike,
        path: str | Path,
        *,
        start: "Instant | None" = None,
        stop: "Instant | None" = None,
        assets: Iterable[str | UUID] | None = None,
        on_gap: "OnGap" = "raise",
        strict: bool = False,
        excel_csv: bool = False,
        with_dataset: bool = False,
        progress: "ProgressCallback | bool | None" = None,
    ) -> Path:
        """Write the results of a dataset to a file, in bounded memory, and return its path. Arguments as for `results`.

        The suffix of the path is the format: .parquet, .geoparquet, .xlsx, .csv, .json, .ndjson or .geojson; docs/results.md
        lists them all. With excel_csv=True a .csv is one that Excel opens correctly by a double click. The directory is
        created; an existing file, or the target of a symlink, is replaced once the new one is complete. If a gap raises,
        there is no file; with on_gap="warn", gaps are in the log, and in the file's metadata.

        Raises:
            ExportError: the file can't be written, or Excel can't hold the results.
            MissingExtraError: the path ends in .xlsx, and the extra `excel` is not installed. Nothing was sent.
            KayrrosError: as `results`; UsageError also for a path whose suffix is no format, or not .csv with excel_csv.
        """
        from kayrros_ext._export import parse_target, write
        from kayrros_ext._results.schema import RESULTS, WITH_DATASET

        target = parse_target(path, excel_csv=excel_csv)
        options = {"strict": strict, "with_dataset": with_dataset}
        parts = self.iter_results(
            dataset, start=start, stop=stop, assets=assets, on_gap=on_gap, progress=progress, **options
        )
        write(target, parts, schema=WITH_DATASET if with_dataset else RESULTS, excel_csv=excel_csv)
        return target

    def _dataset_id(self, dataset: DatasetLike) -> UUID:
        if isinstance(dataset, UUID):
            return dataset
        if isinstance(dataset, str) and UUID_PATTERN.fullmatch(dataset.strip()):
            return UUID(dataset.strip())
        return self._catalog.dataset_id(dataset)

    def _fetcher(
        self,
        dataset: DatasetLike,
        query: tuple["Instant | None", "Instant | None", Iterable[str | UUID] | None],
        on_gap: "OnGap",
        progress: "ProgressCallback | bool | None",
        *,
        strict: bool,
        with_dataset: bool,
        bounded_memory: bool = False,
    ) -> ResultsFetcher:
        filters: ProcessingResultFilter | Unset = UNSET
        if any(part is not None for part in query):
            filters = parse_filter(*query)
        dataset_id = self._dataset_id(dataset)
        return ResultsFetcher(
            self._client,
            dataset_id,
            filters,
            dataset_name=self._catalog.names.get(dataset_id),
            metadata=self._metadata.get(dataset_id),
            fetch_metadata=partial(self.metadata, dataset_id),
            concurrency=self._settings.concurrency,
            on_gap=on_gap,
            strict=strict,
            with_dataset=with_dataset,
            bounded_memory=bounded_memory,
            progress=progress,
        )

    def download(
        self,
        dataset: DatasetLike,
        directory: str | Path = ".",
        *,
        overwrite: bool = False,
        sha256: str | None = None,
        progress: "DownloadProgress | None" = None,
    ) -> "Download":
        """Download the file of a static dataset into a directory, under the name that the API gives it.

        The file appears only when it is complete and verified: its length, and its digest where the server sends one. An
        interrupted download resumes, in the same call or a later one, if the server identifies the version of the file.
        `total_timeout` does not end a download that makes progress.

        If the directory has this very file already, it is returned, after a transfer only where the server does not identify
        it. Use a directory for each dataset, because their files may have the same name.

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
        from kayrros_ext._download.transfer import download  # filelock takes 20 ms

        key = self._dataset_id(dataset)
        return download(self._client, key, directory, overwrite=overwrite, sha256=sha256, progress=progress)

    def close(self) -> None:
        """Close the connections of sync calls. A `with` block does."""
        self._client.get_httpx_client().close()

    async def aclose(self) -> None:
        """Close all connections, those of async calls too. An `async with` block does."""
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

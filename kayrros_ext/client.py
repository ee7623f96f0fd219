"""Kayrros: datasets by id, as typed metadata, tables and files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, overload
from uuid import UUID

import attrs
import httpx

from kayrros_ext._config.credentials import Identity
from kayrros_ext._config.retries import DEFAULT_MAX_RETRIES, Retries
from kayrros_ext._config.settings import DEFAULT_CONCURRENCY, DEFAULT_MAX_BODY, DEFAULT_TOTAL_TIMEOUT_S, Settings
from kayrros_ext._download.transfer import Download, Transfer, Wish
from kayrros_ext._http.calls import Door
from kayrros_ext._http.connections import logged_in_client
from kayrros_ext._http.tls import Verify
from kayrros_ext._inputs import Instant, parse_collection_id, parse_dataset_id, parse_filter
from kayrros_ext._results.html import show_metadata_in_notebooks
from kayrros_ext._results.model import Results
from kayrros_ext._secret import Secret
from kayrros_ext.errors import GapError
from kayrros_openapi.api.collections import list_collection_datasets, list_collections
from kayrros_openapi.api.datasets import download_static_dataset, get_dataset_metadata
from kayrros_openapi.models import CollectionDatasetsRequest

if TYPE_CHECKING:
    from kayrros_ext._download.transfer import DownloadReport
    from kayrros_ext._progress import Report
    from kayrros_ext._results.fetch import Fetch, OnGap
    from kayrros_openapi import Client
    from kayrros_openapi.models import Collection, CollectionDataset, DatasetMetadata


class Kayrros:
    """A logged-in client of the Kayrros Platform API. The login happens when the first call needs it.

    Use it in a `with` block (or `async with`), which closes its connections. Threads and tasks may share one.

    Credentials are the first found of: arguments, environment, a profile of the config file, the system's keyring, netrc.

    Args:
        email: account; else KAYRROS_EMAIL.
        password: its password; else KAYRROS_PASSWORD.
        token: a token to use as it is; else KAYRROS_TOKEN. With email and password beside it, they are used once the
            token is refused.
        base_url: data host; else KAYRROS_BASE_URL; else https://platform.api.kayrros.com (reference).
        auth_url: login host; else KAYRROS_AUTH_URL; else https://auth.kayrros.com (reference).
        timeout: seconds to wait for a connection and between bytes, or an httpx.Timeout; 10 and 120 unless given.
        retries: how often a request is tried again after a connection that fails or breaks, a timeout, or one of the
            statuses 429, 502, 503 and 504; 0 for never. Or Retries, which says how long to wait as well.
        total_timeout: seconds for a request with all of its attempts.
        concurrency: how many requests of one `results` call run at a time.
        max_body: most bytes of an answer that is read into memory, unpacked.
        verify: which certificates to trust, if not those of SSL_CERT_FILE, SSL_CERT_DIR or the system: path of a file or
            folder, an ssl.SSLContext, or False for any.
        profile: name of a profile of the config file, which then counts before the environment; else KAYRROS_PROFILE; else
            `default`.
        token_cache: whether the token of a login is kept for other processes; else KAYRROS_TOKEN_CACHE (on, off); else
            it is, unless a host is this machine. With a transport, only where this argument is True.
        transport: what requests go through instead of the network; kayrros_ext.testing has one. Closed with the client.
            One that is for sync or for asyncio calls alone serves those; the others raise UsageError.

    Attributes:
        client: the generated Client, logged in. Every operation of kayrros_openapi.api takes it, sync and asyncio. Its
            async connections belong to one event loop: for each asyncio.run, an `async with Kayrros()` of its own.

    Raises:
        ConfigurationError: no credentials, half of them, a file with secrets that others can read, or a host that is not
            safe to send them to. Nothing was sent.
    """

    client: "Client"

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
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
    ) -> None:
        # First of all: a traceback that shows locals shows those of this frame.
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
            # What answers behind a transport may be a fake, and its tokens have no place on the disk.
            token_cache=False if token_cache is None and transport is not None else token_cache,
        )
        self._settings = settings
        self._base_url = str(settings.base_url)
        self.client = logged_in_client(settings, transport, verify)
        self._door = Door(self.client)

    def whoami(self) -> Identity:
        """Whose account this is, where its credentials come from, and whether there is a token. It sends nothing."""
        return self._door.http.exchange.failures.auth.whoami()

    def login(self) -> Identity:
        """Log in now, also where there is a token; the new one takes its place, and is kept for other processes.

        No call needs this: each logs in where it has to. It shows whether email and password are right.

        Returns:
            As `whoami`.

        Raises:
            ConfigurationError: there is a token alone, and no email and password to log in with.
            LoginError: the login host gave no token.
            TransportError: no answer came, or it broke off.
            UsageError: the client is closed.
        """
        self._door.log_in()
        return self.whoami()

    def collections(self) -> "list[Collection]":
        """The collections that the account can see; any field may be UNSET or None.

        The reference does not mention this operation; a public client uses it (observed).

        Raises:
            LoginError: there was no token to be had.
            AccessDeniedError, UnauthorizedError, APIError: the API says no.
            ContractError: the answer is not what openapi.yaml says.
            TransportError: no answer came, or it broke off.
            UsageError: the client is closed.
        """
        found: list[Collection] = self._door.typed(list_collections)
        return found

    def datasets(self, collection_id: UUID | str) -> "list[CollectionDataset]":
        """The datasets of a collection, by id and name; any field may be UNSET or None.

        The reference does not mention this operation; a public client uses it (observed).

        Args:
            collection_id: the id of one of `collections()`.

        Raises:
            UsageError: collection_id can't be one; nothing was sent. Or the client is closed.
            LoginError: there was no token to be had.
            NotFoundError, AccessDeniedError, UnauthorizedError, APIError: the API says no.
            ContractError: the answer is not what openapi.yaml says.
            TransportError: no answer came, or it broke off.
        """
        wanted = CollectionDatasetsRequest(collection_id=parse_collection_id(collection_id))
        found: list[CollectionDataset] = self._door.typed(list_collection_datasets, body=wanted)
        return found

    def metadata(self, dataset_id: UUID | str) -> "DatasetMetadata":
        """The metadata of a dataset. Its dates are epoch milliseconds; any field may be UNSET or None.

        Args:
            dataset_id: a UUID or its string.

        Raises:
            UsageError: dataset_id is not a UUID; nothing was sent.
            LoginError: there was no token to be had.
            NotFoundError, AccessDeniedError, UnauthorizedError, APIError: the API says no.
            ContractError: the answer is not what openapi.yaml says.
            TransportError: no answer came, or it broke off.
        """
        metadata: DatasetMetadata = self._door.typed(get_dataset_metadata, dataset_id=parse_dataset_id(dataset_id))
        show_metadata_in_notebooks()
        return metadata

    def results(
        self,
        dataset_id: UUID | str,
        *,
        start: Instant | None = None,
        stop: Instant | None = None,
        assets: Iterable[str] | None = None,
        on_gap: "OnGap" = "raise",
        progress: "Report | bool | None" = None,
    ) -> Results:
        """The results of a dataset, or those of some dates and assets, however large.

        What the gateway does not let through at once (504 is observed) comes in windows of time, down to a day, and below
        that in parts of the assets. All of it is held in memory; `iter_results` and `export` hold a part.

        Args:
            dataset_id: a UUID or its string.
            start: first moment wanted: a date (its first moment in UTC), a datetime (UTC unless it says otherwise), an ISO
                8601 string, or epoch milliseconds. Without it, from 1970.
            stop: last moment wanted, likewise. Without it, all there is. Whether the API counts in a value at exactly
                `stop` is unknown.
            assets: ids of the assets wanted; all unless given. Thousands are asked for in batches.
            on_gap: what is to happen where a part can't be had at any size: "raise" a GapError, which holds what came, or
                "warn", and name it in `gaps` of the results.
            progress: True for a line on stderr, False for none, or a callable that takes a Progress. Unless given, a line
                where stderr is a terminal and the results come in windows.

        Raises:
            UsageError: an argument can't work, such as `stop` before `start`; nothing was sent.
            LoginError: there was no token to be had.
            NotFoundError, AccessDeniedError, UnauthorizedError, APIError: the API says no.
            ContractError: the answer is not what openapi.yaml says.
            TransportError: no answer came, or it broke off.
            GapError: a part of the results could not be had; the others are in the error.
        """
        from kayrros_ext._results.merge import merged  # pyarrow is heavy

        fetch = self._fetch(dataset_id, (start, stop, assets), on_gap, progress, is_flat=False)
        parts: list[Results] = []
        try:
            parts.extend(fetch)
        except GapError as error:
            found = merged(parts or [Results.read(b'{"assets": []}')])
            error.results = attrs.evolve(found, gaps=(*found.gaps, *error.gaps))
            raise
        found = merged(parts)
        found.name_unknown_fields()
        return found

    def iter_results(
        self,
        dataset_id: UUID | str,
        *,
        start: Instant | None = None,
        stop: Instant | None = None,
        assets: Iterable[str] | None = None,
        on_gap: "OnGap" = "raise",
        progress: "Report | bool | None" = None,
    ) -> Iterator[Results]:
        """The results of a dataset, part by part, in flat memory.

        Args:
            dataset_id: as for `results`, and so are the others.
            start: as for `results`.
            stop: as for `results`.
            assets: as for `results`.
            on_gap: as for `results`; a part with a gap has no rows.
            progress: as for `results`.

        Yields:
            Results of one window of time after the other, each row in one of them, each in the order of asset, date and
            metric. An answer of more than 16 MiB is not read to its end, but asked for in parts.

        Raises:
            KayrrosError: as for `results`; UsageError at once, the others when a part is asked for. A GapError holds no
                results: what came before it was yielded.
        """
        fetch = self._fetch(dataset_id, (start, stop, assets), on_gap, progress, is_flat=True)
        return self._parts(fetch)

    def export(
        self,
        dataset_id: UUID | str,
        path: str | Path,
        *,
        start: Instant | None = None,
        stop: Instant | None = None,
        assets: Iterable[str] | None = None,
        on_gap: "OnGap" = "raise",
        progress: "Report | bool | None" = None,
    ) -> Path:
        """The results of a dataset into a file, in flat memory. It appears under its name once it is whole.

        Args:
            dataset_id: as for `results`.
            path: its ending says the format: .parquet, .geoparquet, .csv, .json, .ndjson or .geojson; docs/results.md has
                them all. Its directory is made if it is not there; a file that is there is replaced.
            start: as for `results`.
            stop: as for `results`.
            assets: as for `results`.
            on_gap: "raise", and there is no file; or "warn", and the gaps are named in the file's metadata, where its format
                has such, and in the log.
            progress: as for `results`.

        Returns:
            The path.

        Raises:
            KayrrosError: as for `results`; UsageError also for a path that can't be, or whose ending says no format.
            ExportError: the file can't be written.
        """
        from kayrros_ext._export import parse_target, write

        target, wanted = parse_target(path), parse_dataset_id(dataset_id)
        fetch = self._fetch(wanted, (start, stop, assets), on_gap, progress, is_flat=True)
        write(target, self._parts(fetch), dataset_id=wanted, about=fetch.about)
        return target

    def _fetch(
        self,
        dataset_id: UUID | str,
        wanted: tuple[Instant | None, Instant | None, Iterable[str] | None],
        on_gap: "OnGap",
        progress: "Report | bool | None",
        *,
        is_flat: bool,
    ) -> "Fetch":
        from kayrros_ext._progress import reporter
        from kayrros_ext._results.fetch import Fetch, parse_on_gap

        return Fetch(
            self._door,
            parse_dataset_id(dataset_id),
            parse_filter(*wanted),
            concurrency=self._settings.concurrency,
            on_gap=parse_on_gap(on_gap),
            is_flat=is_flat,
            report=reporter(progress),
        )

    @staticmethod
    def _parts(fetch: "Fetch") -> Iterator[Results]:
        from kayrros_ext._results.merge import merged

        unknown: set[str] = set()
        for part in fetch:
            if not unknown.issuperset(part.unknown_fields):
                unknown.update(part.unknown_fields)
                part.name_unknown_fields()
            yield merged([part])

    @overload
    def download(
        self,
        dataset_id: UUID | str,
        directory: str | Path = ".",
        *,
        overwrite: bool = True,
        skip_existing: bool = False,
        sha256: str | None = None,
        details: Literal[False] = False,
        progress: "DownloadReport | None" = None,
    ) -> Path: ...

    @overload
    def download(
        self,
        dataset_id: UUID | str,
        directory: str | Path = ".",
        *,
        overwrite: bool = True,
        skip_existing: bool = False,
        sha256: str | None = None,
        details: Literal[True],
        progress: "DownloadReport | None" = None,
    ) -> Download: ...

    def download(
        self,
        dataset_id: UUID | str,
        directory: str | Path = ".",
        *,
        overwrite: bool = True,
        skip_existing: bool = False,
        sha256: str | None = None,
        details: bool = False,
        progress: "DownloadReport | None" = None,
    ) -> Path | Download:
        """The file of a static dataset, into a directory, under the name that the API gives it.

        It is streamed to disk, and appears under its name once it is whole and on disk; its length, and its digest where
        the server gives one, are checked. What breaks off is gone on from, by this call and, where the server says which
        version a part is of, by the next one too: the part is kept beside the file, hidden. A transfer that makes progress
        is not cut by `total_timeout`: each mebibyte starts the time and the count of attempts anew.

        Args:
            dataset_id: a UUID or its string.
            directory: made if it is not there.
            overwrite: whether a file of that name is replaced. Its name is known once the server has answered.
            skip_existing: whether a file of that name is returned as it is, unless it has another SHA-256 than `sha256`.
            sha256: SHA-256 that the file must have, 64 hexadecimal digits.
            details: whether to return more than the path.
            progress: called again and again with the bytes that are there and, where the server says so, those of the
                whole file; else None.

        Returns:
            The path of the file; with `details`, a Download: `path`, `size` in bytes, `sha256`, and whether it is `new`.
            The log has them too.

        Raises:
            UsageError: dataset_id is not a UUID, directory no path, or sha256 no digest; nothing was sent.
            LoginError: there was no token to be had.
            NotFoundError, AccessDeniedError, UnauthorizedError, APIError: the API says no.
            ContractError: a page came in place of the file.
            TransportError: no answer came, it broke off, or it redirects too often or to where it may not.
            DownloadError: the file can't be written, is there and `overwrite` is False, or has another digest.
        """
        wanted = parse_dataset_id(dataset_id)
        wish = Wish.of(directory, overwrite=overwrite, skip_existing=skip_existing, sha256=sha256)
        with Transfer(wish, str(wanted), self._base_url, progress) as transfer:
            self._door.receive(download_static_dataset, transfer, dataset_id=wanted)
        return transfer.result if details else transfer.result.path

    def close(self) -> None:
        """Close the connections of sync calls. A `with` block does."""
        self.client.get_httpx_client().close()

    async def aclose(self) -> None:
        """Close all connections, those of asyncio calls too. An `async with` block does."""
        self.close()
        await self.client.get_async_httpx_client().aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Kayrros(base_url={getattr(self, '_base_url', None)!r})"

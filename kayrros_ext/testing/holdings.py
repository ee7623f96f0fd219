"""What the platform fake holds: accounts, datasets, collections, and how they get there."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from kayrros_ext.errors import UsageError
from kayrros_ext.testing.accounts import Account
from kayrros_ext.testing.checks import InvalidError, read_dataset_id
from kayrros_ext.testing.datasets import Collection, Dataset, Payload, StaticFile, emails, nested, utc
from kayrros_ext.testing.examples import EMISSIONS, OIL_STORAGE, examples
from kayrros_ext.testing.generation import Dates, Generated
from kayrros_ext.testing.operations import State
from kayrros_ext.testing.profiles import PROFILES, Metric

_START = datetime(2024, 1, 2, tzinfo=UTC)


class Holdings(State):
    """The part of a Platform that things are put into."""

    def add_account(self, email: str, password: str) -> Account:
        """Someone who may log in. An account with this email is replaced."""
        account = self.accounts[email] = Account(email, password)
        return account

    def add(
        self,
        results: Mapping[str, Any] | None = None,
        *,
        id: UUID | str | None = None,  # noqa: A002 - the API's own name
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        file: StaticFile | bytes | None = None,
        shared_with: Iterable[str] | None = None,
    ) -> Dataset:
        """Put in a dataset. One with this id is replaced.

        Args:
            results: what the API would send, an object with `assets`; or a plain structure, asset id to date to metric to
                value: {"tank-1": {"2024-01-02": {"fill_level_pct": 61.5}}}. None for a dataset with a file alone.
            id: a UUID; a random one unless given.
            name: its name.
            metadata: members of its DatasetMetadata; those that are not given are found from the results.
            file: what the download gives; bytes alone get a name and a type.
            shared_with: emails of the accounts that may see it, others get a 403; all of them unless given.

        Raises:
            UsageError: `id` is not a UUID.
        """
        source = None
        if results is not None:
            source = Payload(results if isinstance(results.get("assets", {}), list) else nested(results))
        about = {**(metadata or {}), **({"name": name} if name else {})}
        return self._put(id or uuid4(), source, about, file, shared_with)

    def generate(
        self,
        *,
        seed: int = 0,
        assets: int = 6,
        dates: int | Sequence[date] = 12,
        metrics: int | Sequence[str] | None = None,
        profile: str = "crude-tanks",
        start: date = _START,
        every: timedelta | None = None,
        id: UUID | str | None = None,  # noqa: A002 - the API's own name
        name: str | None = None,
        file: StaticFile | bytes | None = None,
        shared_with: Iterable[str] | None = None,
    ) -> Dataset:
        """Put in a dataset with results by seed: the same arguments give the same bytes, and the same id.

        Rows are made while they are sent, so that there may be millions.

        Args:
            seed: of the values.
            assets: how many.
            dates: how many, or which; a date is its first moment in UTC.
            metrics: names, or how many; those of the profile unless given. A value of an unknown metric is between 0
                and 100.
            profile: what it is about: "crude-tanks", "methane-hotspots" or "industrial-activity".
            start: first date, where `dates` says how many.
            every: from one date to the next; the profile's unless given.
            id: a UUID; one that follows from the other arguments unless given.
            name: its name; the profile's unless given.
            file: as for `add`.
            shared_with: as for `add`.

        Raises:
            UsageError: there are no assets, dates or metrics; no such profile; `id` is not a UUID.
        """
        about = PROFILES.get(profile)
        if about is None:
            raise UsageError(f"profile is {profile!r}. Give one of {', '.join(PROFILES)}.")
        if isinstance(dates, int):
            grid = Dates.steps(dates, utc(start), every or timedelta(days=about.every_days))
        else:
            grid = Dates.of([utc(day) for day in dates])
        known = {metric.name: metric for metric in about.metrics}
        names = [f"metric_{number:02d}" for number in range(1, metrics + 1)] if isinstance(metrics, int) else metrics
        chosen = about.metrics if names is None else tuple(known.get(one) or Metric(one) for one in names)
        if assets < 1 or grid.count < 1 or not chosen:
            raise UsageError("There is nothing to generate. Give one asset, one date and one metric at least.")
        source = Generated(seed, about, assets, grid, chosen)
        described = {**about.metadata(), **({"name": name} if name else {})}
        return self._put(id or source.uuid(), source, described, file, shared_with)

    def add_examples(self) -> list[Dataset]:
        """Put in what openapi.yaml shows: three datasets under their ids, with generated values, and their collections.

        Returns:
            Crude oil tanks (with a file), methane hot spots, activity of industrial sites.
        """
        found = examples()
        self.datasets.update({dataset.id: dataset for dataset in found})
        tanks, *others = found
        self.add_collection("Oil storage", [tanks], id=OIL_STORAGE)
        self.add_collection("Emissions and industry", others, id=EMISSIONS)
        return found

    def add_collection(
        self,
        name: str,
        datasets: Iterable[Dataset | UUID | str],
        *,
        id: str | None = None,  # noqa: A002 - the API's own name
    ) -> Collection:
        """Put in a collection. That its id is any string is assumed; a random UUID unless given."""
        members = tuple(_id(one.id if isinstance(one, Dataset) else one) for one in datasets)
        collection = Collection(id or str(uuid4()), name, members)
        self.collections[collection.id] = collection
        return collection

    def _put(
        self,
        name_or_id: UUID | str,
        source: Payload | Generated | None,
        about: Mapping[str, Any],
        file: StaticFile | bytes | None,
        shared_with: Iterable[str] | None,
    ) -> Dataset:
        key = _id(name_or_id)
        known = source.metadata() if source else {}
        found = {"id": key, "name": "A dataset", "sharedOption": "SHARED", **known, **about}
        content = StaticFile(file) if isinstance(file, bytes) else file
        dataset = self.datasets[key] = Dataset(key, found, source, content, emails(shared_with))
        return dataset


def _id(value: UUID | str) -> str:
    try:
        return read_dataset_id(str(value))
    except InvalidError:
        raise UsageError(f"{value!r} is not a UUID. Give one, or leave it out.") from None

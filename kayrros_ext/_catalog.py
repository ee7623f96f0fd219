"""The collections and datasets that an account can see, and which of them a name or the beginning of an id means."""

import difflib
import re
from collections.abc import Iterable
from typing import Literal
from uuid import UUID

import attrs

from kayrros_ext._http.client import ApiClient, parsed
from kayrros_ext.errors import NotFoundError, UsageError
from kayrros_openapi.api.collections import list_collection_datasets, list_collections
from kayrros_openapi.models import (
    Collection,
    CollectionDataset,
    CollectionDatasetsRequest,
    DatasetMetadata,
)

DatasetLike = UUID | str | CollectionDataset | DatasetMetadata
CollectionLike = UUID | str | Collection
Kind = Literal["collection", "dataset"]

# Because uuid.UUID accepts signs, underscores and braces.
UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Names in an error.
MAX_NEAREST = 5
_OPERATIONS = {"collection": "listCollections", "dataset": "listCollectionDatasets"}


class Dataset(CollectionDataset):
    """A dataset of a collection; any field may be UNSET or None. `collection` is the Collection that lists it."""

    collection: Collection


@attrs.frozen
class Match:
    """A collection or dataset that `Kayrros.find` has found.

    Attributes:
        kind: "collection" or "dataset".
        id: its id.
        name: its name.
        collection: name of the collection of a dataset, else None.
    """

    kind: Kind
    id: str
    name: str
    collection: str | None = None


class Catalog:
    """Lists what the account can see, once, and again when a name is not in the list."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._collections: list[Collection] | None = None
        self._datasets: list[Dataset] | None = None
        self.names: dict[UUID, str] = {}  # of all datasets that were listed

    def collections(self) -> list[Collection]:
        """Return the collections, from the API."""
        self._collections = parsed(list_collections.sync_detailed(client=self._client))
        return self._collections

    def datasets(self, collection: CollectionLike | None = None) -> list[Dataset]:
        """Return the datasets of a collection, else of all collections, from the API."""
        if collection is None:
            self._datasets = [dataset for each in self.collections() for dataset in self._datasets_of(each)]
            return self._datasets
        return self._datasets_of(
            collection if isinstance(collection, Collection) else self._find_collection(collection)
        )

    def find(self, text: str) -> list[Match]:
        """Return what has all words of the text in its name, or begins with it by its id."""
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{_describe(text)} is nothing to search for.", hint="Pass a part of a name.")
        words, start = text.casefold().split(), text.strip().casefold()
        datasets = self.datasets()
        matches = [Match("collection", *_labels(each)) for each in self._collections or ()]
        matches += [Match("dataset", *_labels(each), collection=_labels(each.collection)[1]) for each in datasets]
        return [
            match
            for match in matches
            if match.id.casefold().startswith(start) or all(word in match.name.casefold() for word in words)
        ]

    def dataset_id(self, value: DatasetLike) -> UUID:
        """Return the id of a dataset by its id, its name, the beginning of either, or an object that has its id."""
        if isinstance(value, CollectionDataset | DatasetMetadata):
            value = value.id if isinstance(value.id, UUID | str) else ""
        if (uuid := parse_uuid(value)) is not None:
            return uuid
        if not isinstance(value, str) or not value.strip():
            raise UsageError(
                f"{_describe(value)} is not a dataset.",
                hint="Pass its id or name, or one of kayrros.datasets().",
                hint_cli="`kayrros datasets` lists their ids and names.",
            )
        match = _match("dataset", value, self._datasets or ()) or _match("dataset", value, self.datasets())
        if match is None or (uuid := parse_uuid(match)) is None:
            raise _not_found("dataset", value, self._datasets or ())
        return uuid

    def _find_collection(self, value: UUID | str) -> Collection:
        text = str(value).strip() if isinstance(value, UUID | str) else ""
        if not text:
            raise UsageError(
                f"{_describe(value)} is not a collection.",
                hint="Pass its id or name, or one of kayrros.collections().",
                hint_cli="`kayrros collections` lists their ids and names.",
            )
        collections = self._collections or ()
        match = _match("collection", text, collections)
        if match is None and parse_uuid(text):
            return Collection(id=text)
        if match is None:
            match = _match("collection", text, collections := self.collections())
        if match is None:
            raise _not_found("collection", text, collections)
        return next(each for each in collections if str(each.id) == match)

    def _datasets_of(self, collection: Collection) -> list[Dataset]:
        body = CollectionDatasetsRequest(collection_id=str(collection.id))
        listed: list[CollectionDataset] = parsed(list_collection_datasets.sync_detailed(client=self._client, body=body))
        datasets = [Dataset.from_dict(each.to_dict()) for each in listed]
        for dataset in datasets:
            dataset.collection = collection
            if (uuid := parse_uuid(dataset.id)) and (name := _labels(dataset)[1]):
                self.names[uuid] = name
        return datasets


def parse_uuid(value: object) -> UUID | None:
    """Return the UUID of a UUID or its string; None for anything else."""
    if isinstance(value, str) and UUID_PATTERN.fullmatch(value.strip()):
        return UUID(value.strip())
    return value if isinstance(value, UUID) else None


def _labels(item: Collection | CollectionDataset) -> tuple[str, str]:
    """Return id and name; an empty string for one that is not there."""
    return tuple(str(value) if isinstance(value, UUID | str) else "" for value in (item.id, item.name))  # type: ignore[return-value]


def _match(kind: Kind, text: str, items: Iterable[Collection | CollectionDataset]) -> str | None:
    """Return the id of the one item whose id or name is the text, or begins with it. Raise NotFoundError for several."""
    text = text.strip().casefold()
    labels = dict(label for item in items if (label := _labels(item))[0])
    exact = {key for key, name in labels.items() if text in {key.casefold(), name.casefold()}}
    ids = exact or {
        key for key, name in labels.items() if key.casefold().startswith(text) or name.casefold().startswith(text)
    }
    if len(ids) > 1:
        listed = ", ".join(f"{labels[key]} ({key})" for key in sorted(ids)[:MAX_NEAREST])
        more = f" and {len(ids) - MAX_NEAREST:,} more" if len(ids) > MAX_NEAREST else ""
        raise NotFoundError(
            f"{text!r} matches {len(ids):,} {kind}s: {listed}{more}.",
            hint="Give the id, or more of the name.",
            status=404,
            operation=_OPERATIONS[kind],
        )
    return next(iter(ids), None)


def _not_found(kind: Kind, text: str, items: Iterable[Collection | CollectionDataset]) -> NotFoundError:
    """Return the error for a name that nothing has, with the nearest names."""
    names = {name.casefold(): name for item in items if (name := _labels(item)[1])}
    near = [names[key] for key in difflib.get_close_matches(text.casefold(), names, n=MAX_NEAREST, cutoff=0.4)]
    near += [name for key, name in names.items() if text.casefold() in key and name not in near][
        : MAX_NEAREST - len(near)
    ]
    hint = (
        f"The nearest: {', '.join(map(repr, near))}." if near else f"kayrros.{kind}s() lists what the account can see."
    )
    hint_cli = None if near else f"`kayrros {kind}s` lists what the account can see."
    return NotFoundError(
        f"There is no {kind} {text!r}.", hint=hint, hint_cli=hint_cli, status=404, operation=_OPERATIONS[kind]
    )


def _describe(value: object) -> str:
    """Return a short text or the type of a wrong argument, because the repr of a table fills pages."""
    return (
        repr(value)
        if isinstance(value, str | int | float | None) and len(repr(value)) < 80
        else f"a {type(value).__name__}"
    )

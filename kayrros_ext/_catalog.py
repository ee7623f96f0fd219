"""The collections and datasets that an account can see, and which of them a name or the beginning of an id means."""

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar, get_args
from uuid import UUID

import attrs

from kayrros_ext._arguments import IdOrName, describe, parse_uuid
from kayrros_ext._http.client import ApiClient, parsed
from kayrros_ext._text import fold, list_names
from kayrros_ext.errors import ContractError, NotFoundError, UsageError
from kayrros_openapi.api.collections import list_collection_datasets, list_collections
from kayrros_openapi.models import Collection, CollectionDataset, CollectionDatasetsRequest

Kind = Literal["collection", "dataset", "asset"]
Item = TypeVar("Item", bound=Collection | CollectionDataset)


@attrs.define(repr=False)
class Dataset(CollectionDataset):
    """A dataset of a collection; any field may be UNSET or None. `collection` is the Collection that lists it."""

    collection: Collection = attrs.field(factory=Collection, kw_only=True)

    def __repr__(self) -> str:
        key, name = _labels(self)
        return f"Dataset(id={key!r}, name={name!r}, collection={_labels(self.collection)[1]!r})"


@attrs.frozen
class Match:
    """A collection, dataset or asset that `Kayrros.find` has found.

    Attributes:
        kind: "collection", "dataset" or "asset".
        id: its id.
        name: its name.
        collection: name of the collection of a dataset, else None.
        dataset: id of the dataset of an asset, else None.
    """

    kind: Kind
    id: str
    name: str
    collection: str | None = None
    dataset: str | None = None

    def matches(self, text: str) -> bool:
        """Return whether its name has all words of a text, or its id begins with it."""
        name = fold(self.name)
        is_named = all(word in name for word in fold(text).split())
        return is_named or self.id.casefold().startswith(text.strip().casefold())


class Catalog:
    """Lists what the account can see, once, and again when a text is not an id or a whole name in the list.

    The beginning of a name may be the whole name of a new dataset by now. For a whole name, the list of this client counts,
    because a new one would take a request per collection in each call. The names of all listed datasets go to `names`.
    """

    def __init__(self, client: ApiClient, names: dict[UUID, str]) -> None:
        self._client, self._names = client, names
        self._collections: list[Collection] = []
        self._datasets: list[Dataset] = []

    def collections(self) -> list[Collection]:
        """Return the collections, from the API."""
        self._collections = parsed(list_collections.sync_detailed(client=self._client))
        return [*self._collections]

    def datasets(self, collection: IdOrName | None = None) -> list[Dataset]:
        """Return the datasets of a collection, else of all, each with the first collection that lists it, from the API."""
        if collection is None:
            unique: dict[object, Dataset] = {}
            for each in self.collections():
                for dataset in self._datasets_of(each):
                    unique.setdefault(dataset.id or id(dataset), dataset)
            self._datasets = [*unique.values()]
            return [*self._datasets]
        return self._datasets_of(self._find_collection(collection))

    def find(self, text: str, assets: Iterable[Match] = ()) -> list[Match]:
        """Return the collections, datasets and given assets that match a text."""
        if not isinstance(text, str) or not fold(text):
            raise UsageError(f"{describe(text, 'A')} is nothing to search for.", hint="Pass a part of a name.")
        datasets = [Match("dataset", *_labels(each), _labels(each.collection)[1]) for each in self.datasets()]
        collections = [Match("collection", *_labels(each)) for each in self._collections]
        return [match for match in (*collections, *datasets, *assets) if match.matches(text)]

    def dataset_id(self, value: IdOrName) -> UUID:
        """Return the id of a dataset by its id, its name, the beginning of either, or an object that has its id."""
        text = _id_or_name("dataset", value)
        if uuid := parse_uuid(text) or parse_uuid((item := _pick("dataset", text, self._datasets, self.datasets)).id):
            return uuid
        problem, hint = f"The id {item.id!r:.80} of {text!r:.80} is not a UUID.", "Pass the UUID of the dataset."
        raise ContractError(problem, hint=hint, operation="listCollectionDatasets")

    def _find_collection(self, value: IdOrName) -> Collection:
        text = _id_or_name("collection", value)
        if isinstance(value, Collection):
            return value
        # The id of a collection need not be listed.
        fetch = (lambda: [Collection(id=text)]) if parse_uuid(text) else self.collections
        return _pick("collection", text, self._collections, fetch)

    def _datasets_of(self, collection: Collection) -> list[Dataset]:
        body = CollectionDatasetsRequest(collection_id=str(collection.id))
        listed: list[CollectionDataset] = parsed(list_collection_datasets.sync_detailed(client=self._client, body=body))
        datasets = [Dataset.from_dict(each.to_dict()) for each in listed]
        for dataset in datasets:
            dataset.collection = collection
            if (uuid := parse_uuid(dataset.id)) and (name := _labels(dataset)[1]):
                self._names[uuid] = name
        return datasets


def _id_or_name(kind: Kind, value: IdOrName) -> str:
    """Return an id or name as text. Raise UsageError for anything that has none, and for an object of another kind."""
    other = getattr(value, "kind", type(value).__name__.lower())
    key = value if isinstance(value, UUID | str) else getattr(value, "id", None)
    is_other = isinstance(other, str) and other in set(get_args(Kind)) - {kind}
    if is_other or not isinstance(key, UUID | str) or not fold(str(key)):
        raise UsageError(
            f"{f'This {other}' if is_other else describe(value, 'A')} is not a {kind}.",
            hint=f"Pass its id or name, or one of kayrros.{kind}s().",
            hint_cli=f"`kayrros {kind}s` lists their ids and names.",
        )
    return str(key).strip()


def _labels(item: Collection | CollectionDataset) -> tuple[str, str]:
    """Return id and name; an empty string for one that is not there."""
    return tuple(str(value) if isinstance(value, UUID | str) else "" for value in (item.id, item.name))  # type: ignore[return-value]


def _pick(kind: Kind, text: str, seen: list[Item], fetch: Callable[[], list[Item]]) -> Item:
    """Return the one item whose id or name is a text, of those that were seen or come; else the one that begins with it.

    Raises:
        NotFoundError: no item or several match.
    """
    matches, items = _matching(text, seen), seen
    if not matches:
        items, start = fetch(), fold(text)
        begin = [item for item in items if item.id and any(fold(it).startswith(start) for it in _labels(item))]
        matches = _matching(text, items) or begin
    if len(matches) == 1:
        return matches[0]
    shown = [f"{key} {name}" if matches else name for key, name in map(_labels, matches or items)]
    names, hint, hint_cli = list_names(filter(None, shown), near=text), "Give the id, or more of the name.", None
    message = f"{text!r:.80} matches {len(matches):,} {kind}s: {names}."
    if not matches:
        message = f"There is no {kind} {text!r:.80}."
        hint, hint_cli = f"kayrros.{kind}s() lists: {names}.", f"`kayrros {kind}s` lists: {names}."
    operation = "listCollections" if kind == "collection" else "listCollectionDatasets"
    raise NotFoundError(message, hint=hint, hint_cli=hint_cli, status=404, operation=operation)


def _matching(text: str, items: list[Item]) -> list[Item]:
    """Return the items with an id whose id or name is a text, as it is or else as `fold` makes it."""
    labels = [(item, _labels(item)) for item in items if item.id]
    exact = [item for item, both in labels if text in both]
    return exact or [item for item, both in labels if fold(text) in map(fold, both)]

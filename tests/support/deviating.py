"""A platform that deviates from openapi.yaml in many ways, and what each is to become in a patch."""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs

from kayrros_ext.testing import Platform, Request, Response, StaticFile
from kayrros_ext.testing.spec import load_spec

DATASET = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
SCHEMAS = "/components/schemas"
METADATA = "/paths/~1v1~1collection~1dataset~1summary~1{datasetId}/get"
RESULTS = "/paths/~1v1~1processingresult~1dataset~1{datasetId}/post"
DOWNLOAD = "/paths/~1v1~1collection~1dataset~1download~1{datasetId}/get"
LIST = "/paths/~1v1~1processing~1collection~1list/get"
DATASETS = "/paths/~1v1~1processing~1collection~1datasets/post"


def get(document: Any, pointer: str) -> Any:
    """Return the node at a JSON pointer, or None."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        document = document.get(name) if isinstance(document, dict) else None
    return document


def has_type(kind: str) -> Callable[[Any], bool]:
    return lambda node: (
        kind in (node.get("type", []) if "anyOf" not in node else [it.get("type") for it in node["anyOf"]])
    )


def says(remark: str) -> Callable[[Any], bool]:
    return lambda provenance: remark in provenance and "confirmed" in provenance


EXPECTED: dict[str, tuple[str, str, Callable[[Any], bool]]] = {
    "a field of each result": (f"{SCHEMAS}/Result/properties/extra_props", "field", has_type("object")),
    "a field of the metadata": (f"{SCHEMAS}/DatasetMetadata/properties/region", "field", has_type("string")),
    "a list in the metadata": (f"{SCHEMAS}/DatasetMetadata/properties/tags", "field", has_type("array")),
    "a field of some assets": (f"{SCHEMAS}/AssetResult/properties/rank", "field", has_type("integer")),
    "a field of errors": (f"{SCHEMAS}/ErrorResponse/properties/timestamp", "field", has_type("string")),
    "null in a list": (f"{SCHEMAS}/AssetResult/properties/asset_categories/items", "type", has_type("null")),
    "null for an object": (
        f"{DATASETS}/responses/200/content/application~1json/schema/items",
        "type",
        has_type("null"),
    ),
    "text for a number": (f"{SCHEMAS}/Metrics/properties/value", "type", has_type("string")),
    "a number for text": (f"{SCHEMAS}/Collection/properties/id", "type", has_type("integer")),
    "an object for text": (f"{SCHEMAS}/DatasetMetadata/properties/attributionFile", "type", has_type("object")),
    "an id that is no UUID": (f"{SCHEMAS}/DatasetMetadata/properties/id", "format", has_type("string")),
    "a number beyond int32": (
        f"{SCHEMAS}/DatasetMetadata/properties/asset_count",
        "range",
        lambda node: node["format"] == "int64",
    ),
    "a new value": (f"{SCHEMAS}/SharedOption", "enum", lambda node: "PARTNER" in node["enum"]),
    "a new status": (f"{RESULTS}/responses/422", "status", lambda node: "application/json" in node["content"]),
    "another status for an unknown id": (f"{METADATA}/x-provenance/status", "behaviour", says("unknown id gets 403")),
    "a redirect": (f"{DOWNLOAD}/responses/302", "status", lambda node: "content" not in node),
    "another content type": (f"{LIST}/responses/200/content/application~1hal+json", "content_type", bool),
    "an error that is a page": ("/components/responses/NotFound/content/text~1html", "content_type", bool),
    "an error without a body": (
        "/components/responses/WrongCredentials/x-provenance",
        "behaviour",
        says("without a body"),
    ),
    "ends that do not belong": (f"{SCHEMAS}/DateRange/x-provenance", "behaviour", says("neither end belongs")),
    "assets that are left out": (
        f"{SCHEMAS}/ProcessingResultTimeSeries/properties/assets/x-provenance",
        "behaviour",
        says("is left out"),
    ),
    "seconds for milliseconds": (
        f"{SCHEMAS}/DatasetMetadata/properties/start_date/x-provenance",
        "behaviour",
        says("epoch seconds"),
    ),
    "a token that is a JWT": (f"{SCHEMAS}/LoginReply/properties/token/x-provenance", "behaviour", says("a JWT")),
}


@attrs.define(eq=False, repr=False, slots=False, kw_only=True)
class DeviatingPlatform(Platform):
    """The fake with one dataset, and answers that deviate as EXPECTED says."""

    jwt: str = ""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.inclusive = "neither"
        claims = base64.urlsafe_b64encode(json.dumps({"exp": 4_000_000_000}).encode()).decode().rstrip("=")
        self.jwt = f"eyJhbGciOiJub25lIn0.{claims}.c2lnbmF0dXJl"
        dataset = self.generate(
            id=DATASET, assets=4, dates=5, file=StaticFile(b"a,b\n1,2\n" * 500, "x.csv", ranges=True)
        )
        self.add_collection("Oil storage", [dataset], id="5")

    def give_token(self, email: str = "analyst@example.com") -> str:
        self.tokens[self.jwt] = self.tokens.pop(super().give_token(email))
        return self.jwt

    def handle(self, request: Request) -> Response:
        if request.path == "/files/x.csv":
            self.requests.append(request)
            return attrs.evolve(self._file(request))
        response = super().handle(request)
        body = b"".join(response.body)
        edits = self._edits()
        edit = edits.get((request.operation, response.status)) or edits.get((None, response.status))
        if edit and (request.operation != "downloadStaticDataset" or response.status >= 400):
            return self._answer(*edit(request, json.loads(body)))
        if request.operation == "downloadStaticDataset":
            return self._answer(302, None, "text/plain", Location="/files/x.csv")
        return attrs.evolve(response, body=[body] if body else [], length=len(body))

    def _file(self, request: Request) -> Response:
        file = self.datasets[DATASET].file
        assert file
        headers = {"Content-Type": "text/csv", "Content-Range": f"bytes 0-1023/{file.size}", "ETag": file.etag}
        return Response(206, headers, file.chunks(0, 1024), 1024)

    def _answer(self, status: int, value: Any, media: str = "application/json", **headers: str) -> Response:
        body = value.encode() if isinstance(value, str) else b"" if value is None else json.dumps(value).encode()
        return Response(
            status, {**({"Content-Type": media} if body else {}), **headers}, [body] if body else [], len(body)
        )

    def _edits(self) -> dict[tuple[str | None, int], Callable[[Request, Any], Any]]:
        return {
            ("getDatasetMetadata", 200): self._metadata,
            ("getDatasetMetadata", 404): self._unknown,
            ("getDatasetResults", 200): self._results,
            ("getDatasetResults", 400): self._bad_filter,
            ("listCollections", 200): self._collections,
            ("listCollectionDatasets", 200): self._dataset_list,
            (None, 401): self._no_body,
            (None, 404): self._page,
        }

    def _metadata(self, _: Request, value: Any) -> Any:
        value |= {
            "region": "Gulf",
            "tags": ["a"],
            "attributionFile": {"name": "x"},
            "id": "ds-7d3c",
            "sharedOption": "PARTNER",
        }
        value |= {"asset_count": 2**33, "start_date": value["start_date"] // 1000}
        return 200, value

    def _unknown(self, _: Request, value: Any) -> Any:
        return 403, value

    def _results(self, request: Request, value: Any) -> Any:
        for number, asset in enumerate(value["assets"]):
            asset["asset_categories"].append(None)
            asset.update({"rank": number} if number % 2 else {})
            for result in asset["results"]:
                result["extra_props"] = {"quality": "good"}
                for metric in result["metrics"]:
                    metric["value"] = str(metric["value"])
        if request.body:
            value["assets"] = [asset for asset in value["assets"] if asset["results"]]
        return 200, value

    def _bad_filter(self, _: Request, value: Any) -> Any:
        return 422, {**value, "timestamp": datetime(2026, 1, 2).isoformat()}

    def _collections(self, _: Request, value: Any) -> Any:
        return 200, [{**it, "id": int(it["id"])} for it in value], "application/hal+json"

    def _dataset_list(self, _: Request, value: Any) -> Any:
        return 200, [None, *value]

    def _no_body(self, *_: Any) -> Any:
        return 401, None

    def _page(self, *_: Any) -> Any:
        return 404, "<html><h1>Not Found</h1></html>", "text/html"


def problems(report: dict[str, Any], patched: str) -> list[str]:
    """Return the deviations that a report does not have, or for which a patched spec has no right change."""
    places = {(it["place"], it["kind"]) for it in report["differences"]}
    document = load_spec(patched)
    missing = [name for name, (place, kind, _) in EXPECTED.items() if (place, kind) not in places]
    wrong = [
        f"patch: {name}" for name, (place, _, is_right) in EXPECTED.items() if not is_right(get(document, place) or {})
    ]
    extra = [f"extra: {it}" for it in places - {(place, kind) for place, kind, _ in EXPECTED.values()}]
    return [*missing, *wrong, *extra]

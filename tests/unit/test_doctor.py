"""The judge, the patch and the redaction of `kayrros doctor`, and a check-up of the fake in process."""

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from kayrros_ext.doctor import Doctor
from kayrros_ext.doctor.contract import Judge, confirm, confirm_statuses
from kayrros_ext.doctor.spec_patch import make_patch
from kayrros_ext.testing import Fault, Platform, Request, Response, StaticFile
from kayrros_ext.testing.har import Exchange, Redactor
from kayrros_ext.testing.http import json_response
from kayrros_ext.testing.spec import load_spec
from tests.support.deviating import DATASET, EXPECTED, DeviatingPlatform, get, problems
from tests.support.spec import SPEC, TEXT

DATE = "2026-01-31"
METADATA, RESULTS = "getDatasetMetadata", "getDatasetResults"


def set_account(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("KAYRROS_EMAIL", "analyst@example.com")
    patch.setenv("KAYRROS_PASSWORD", "correct-horse-battery-staple")


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    set_account(monkeypatch)


def check_up(platform: Platform, folder: Path, **options: Any) -> Doctor:
    doctor = Doctor(transport=platform.transport(), **options)
    list(doctor.check())
    doctor.write(folder)
    doctor.close()
    return doctor


def applied(folder: Path, name: str = "patched") -> Path:
    """Apply the patch of a folder with git to a copy of the spec."""
    checkout = folder / name
    checkout.mkdir()
    (checkout / "openapi.yaml").write_text(TEXT, "utf-8")
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    subprocess.run(["git", "apply", folder / "openapi.patch"], cwd=checkout, check=True)
    return checkout / "openapi.yaml"


def patched_text(patch: str) -> str:
    """Return the spec with a patch, as git applies it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "openapi.yaml").write_text(TEXT, "utf-8")
        (Path(folder) / "openapi.patch").write_text(patch, "utf-8")
        subprocess.run(["git", "apply", "openapi.patch"], cwd=folder, check=True)
        return (Path(folder) / "openapi.yaml").read_text("utf-8")


def judged(operation: str, *bodies: Any, status: int = 200, media: str = "application/json") -> Judge:
    judge = Judge(TEXT)
    for body in bodies:
        judge.judge(operation, status, media, body if isinstance(body, bytes) else json.dumps(body).encode())
    return judge


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"token_lifetime_s": 60}, {"inclusive": "both"}])
def test_a_platform_that_does_not_deviate_has_no_differences(options: dict[str, Any], tmp_path: Path) -> None:
    """Neither the datasets of the documentation nor others cause a false alarm, in at most 20 requests that read."""
    platform = Platform(**options)
    platform.add_examples()
    generated = [platform.generate(template=name, file=b"x") for name in ("methane-hotspots", "industrial-activity")]
    ranges = platform.generate(seed=5, dates=400, file=StaticFile(b"a" * 5000, ranges=True))
    few = platform.add({"tank": {"2024-01-01": {"m": 1}}}), platform.add(file=b"x")
    for number, dataset in enumerate([None, *platform.datasets]):
        platform.requests.clear()
        doctor = check_up(platform, tmp_path / str(number), dataset=dataset)
        assert [(it.place, it.seen) for it in doctor.differences] == []
        assert not doctor.has_failed
        assert len(platform.requests) <= 20
        assert {it.method for it in platform.requests} <= {"GET", "POST"}
    assert generated
    assert ranges
    assert few


@attrs.frozen
class Deviations:
    """A check-up of the platform that deviates in every way, and the spec with its patch."""

    doctor: Doctor
    patch: str
    spec: Path


@pytest.fixture(scope="module")
def deviations(tmp_path_factory: pytest.TempPathFactory) -> Deviations:
    folder = tmp_path_factory.mktemp("deviations")
    with pytest.MonkeyPatch.context() as patch:
        set_account(patch)
        doctor = check_up(DeviatingPlatform(), folder, dataset=DATASET)
    return Deviations(doctor, (folder / "openapi.patch").read_text("utf-8"), applied(folder))


def test_every_deviation_is_a_difference_and_the_patch_has_it(deviations: Deviations, tmp_path: Path) -> None:
    """The patch applies with git, and a check-up with the patched spec is silent and proposes nothing."""
    assert len(EXPECTED) >= 15
    doctor, spec = deviations.doctor, deviations.spec
    assert problems(doctor.to_json(), spec.read_text("utf-8")) == []
    assert doctor.has_failed
    again = check_up(DeviatingPlatform(), tmp_path / "again", dataset=DATASET, spec=spec)
    assert [(it.place, it.seen) for it in again.differences] == []
    assert (tmp_path / "again" / "openapi.patch").read_text() == ""


def test_a_patch_keeps_every_line_that_it_does_not_change(deviations: Deviations) -> None:
    """Comments, order and layout stay: what goes is one line for one that comes in its place, or a folded provenance."""
    removed = [line[1:].strip() for line in deviations.patch.splitlines()[2:] if line.startswith("-")]
    kept = (
        "path:",
        "status:",
        "body:",
        "x-provenance:",
        "type:",
        "format:",
        "enum:",
        "items:",
        "$ref:",
        "it prints",
        "field of",
    )
    assert all(line.startswith((*kept, "`string`")) for line in removed), removed
    before, after = TEXT.splitlines(), deviations.spec.read_text("utf-8").splitlines()
    comments = [line for line in before if line.strip().startswith("#")]
    assert [line for line in after if line.strip().startswith("#") and "seen in" not in line] == comments


def test_a_patch_narrows_nothing(deviations: Deviations) -> None:
    """Each schema of a field still allows what it allowed; no field, status, value or content type goes."""
    after = load_spec(deviations.spec.read_text("utf-8"))

    def is_wider(old: Any, new: Any) -> bool:
        if not isinstance(old, dict):
            return True
        return all(
            key in new and is_wider(part, new[key]) for key, part in old.items() if key in {"properties", "responses"}
        ) and all(key in new for key in old if key not in {"type", "format", "$ref"})

    for place in ("/components/schemas", "/paths"):
        for name, part in get(SPEC, place).items():
            assert is_wider(part, get(after, place)[name]), name


def test_counts_say_in_how_many_of_how_many() -> None:
    """A field of every result rests on all of them, one of some on some."""
    rows = [
        {"value_date": "2024-01-01", "extra": 1, **({"rare": None} if number == 3 else {})} for number in range(412)
    ]
    judge = judged(RESULTS, {"assets": [{"asset_id": "a", "results": rows}]})
    assert [(it.place.rpartition("/")[2], it.rests_on) for it in judge.differences] == [
        ("extra", "seen in 412 of 412 results"),
        ("rare", "seen in 1 of 412 results"),
    ]
    patch, _ = make_patch(judge, TEXT, DATE)
    assert f"+        # Field seen in 412 of 412 results ({DATE}).\n" in patch


@pytest.mark.parametrize(
    ("body", "kind", "place"),
    [
        ({"start_date": 1.5}, "type", "/components/schemas/DatasetMetadata/properties/start_date"),
        ({"stop_date": 2**63}, "range", "/components/schemas/DatasetMetadata/properties/stop_date"),
        ({"sharedOption": 5}, "type", "/components/schemas/DatasetMetadata/properties/sharedOption"),
        ({"yes": [1, None]}, "field", "/components/schemas/DatasetMetadata/properties/yes"),
        (
            [],
            "type",
            "/paths/~1v1~1collection~1dataset~1summary~1{datasetId}/get/responses/200/content/application~1json/schema",
        ),
    ],
)
def test_a_difference_is_placed_and_widens_the_spec(body: Any, kind: str, place: str) -> None:
    """With its patch, the same answer is no difference, and neither is one that was none before."""
    judge = judged(METADATA, body)
    assert [(it.kind, it.place) for it in judge.differences] == [(kind, place)]
    patch, by_hand = make_patch(judge, TEXT, DATE)
    assert by_hand == []
    after = Judge(patched_text(patch))
    for answer in (body, {"name": "x", "start_date": 1, "id": DATASET, "sharedOption": "OWNED", "asset_count": None}):
        after.judge(METADATA, 200, "application/json", json.dumps(answer).encode())
    assert after.differences == []
    assert make_patch(after, patched_text(patch), "2027-01-01")[0] == ""


@pytest.mark.parametrize(
    ("status", "media", "body", "place"),
    [
        (418, "application/json", b'{"code": "X"}', "responses/418"),
        (418, "text/html", b"<html>", "responses/418"),
        (418, "", b"", "responses/418"),
        (201, "application/json", b"{}", "responses/201"),
        (404, "application/x-ndjson", b"{}\n{}\n", "/components/responses/NotFound/content/application~1x-ndjson"),
        (
            404,
            "application/problem+json",
            b'{"code": "X"}',
            "/components/responses/NotFound/content/application~1problem+json",
        ),
        (404, "text/html", b"<html>", "/components/responses/NotFound/content/text~1html"),
        (404, "application/json", b'"no"', "/components/responses/NotFound/content/application~1json/schema"),
        (404, "application/json", b"<html>", "/components/responses/NotFound/x-provenance"),
        (404, "", b"", "/components/responses/NotFound/x-provenance"),
    ],
)
def test_a_status_or_a_body_that_is_not_documented_becomes_so(status: int, media: str, body: bytes, place: str) -> None:
    """The second time, it is no difference."""
    judge = judged(METADATA, body, status=status, media=media)
    assert [it.place.endswith(place) for it in judge.differences] == [True]
    after = Judge(patched_text(make_patch(judge, TEXT, DATE)[0]))
    after.judge(METADATA, status, media, body)
    assert after.differences == []


def test_a_new_deviation_inside_a_widened_object_is_placed() -> None:
    """Where the spec allows an object or null already, the field of the object is the place, and not the choice."""
    first = judged(RESULTS, {"assets": [None]})
    after = Judge(patched_text(make_patch(first, TEXT, DATE)[0]))
    answer = {"assets": [None, {"asset_id": 5, "results": [{"new": 1}]}]}
    after.judge(RESULTS, 200, "application/json", json.dumps(answer).encode())
    places = ["AssetResult/properties/asset_id", "Result/properties/new"]
    assert [it.place for it in after.differences] == [f"/components/schemas/{place}" for place in places]


def test_names_that_may_be_data_are_not_shown() -> None:
    """An object with ids as keys, or with many keys, is a map; neither report nor patch names its keys."""
    secret = "tank-cushing-20240101"
    many = {f"client_{chr(97 + number // 26)}{chr(97 + number % 26)}": 1 for number in range(60)}
    judge = judged(METADATA, {secret: 1}, {"sharedOption": "Acme Corp 2024"}, many)
    patch, by_hand = make_patch(judge, TEXT, DATE)
    text = patch + repr([(it.place, it.seen) for it in judge.differences])
    assert not [name for name in (secret, "Acme", "client_") if name in text]
    assert len(by_hand) == 2


def test_confirmed_terms_replace_assumed_ones_and_stay() -> None:
    """A guess turns into a fact with its date, and an older fact on the same topic goes."""
    first = confirm("reference (a string), assumed (ISO 8601)", "ISO", "ISO 8601, a date", DATE)
    assert first == f"reference (a string), confirmed ({DATE}; ISO 8601, a date)"
    assert confirm(first, "ISO", "ISO 8601, a time", "2027-01-01").endswith("confirmed (2027-01-01; ISO 8601, a time)")
    statuses = confirm_statuses("reference (labels), assumed (numbers)", {404, 200}, DATE)
    assert statuses == f"reference (labels), confirmed ({DATE}; 200, 404), assumed (the other numbers)"
    assert confirm_statuses(statuses, {200}, "2027-01-01") == statuses
    assert "200, 400, 404" in confirm_statuses(statuses, {400}, "2027-01-01")


def test_pseudonyms_keep_structure_equality_type_and_form() -> None:
    """The same value has one pseudonym everywhere, and the answer differs from the spec as before."""
    value = {
        "assets": [
            {
                "asset_id": "tank-1",
                "asset_centroid_latitude": 35.9,
                "asset_version": 3,
                "asset_categories": ["oil", None],
            },
            {"asset_id": "tank-1", "asset_name": "", "results": [{"value_date": "2024-01-09T05:00:00.5+01:00"}]},
            {
                "asset_id": DATASET,
                "parent_asset_name": "a@b.fr",
                "results": [{"value_date": "2024-01-02"}],
                "secret key": True,
            },
        ]
    }
    redactor = Redactor(SPEC)
    redactor.learn(value)
    redactor.to_har([])  # numbers the dates
    first, second, third = redactor.value(value)["assets"]
    assert first["asset_id"] == second["asset_id"] != third["asset_id"]
    assert [type(it) for it in first.values()] == [str, float, int, list]
    assert second["asset_name"] == ""
    assert third["parent_asset_name"].endswith("@example.com")
    assert second["results"][0]["value_date"] == "2001-01-02T00:00:00.0+01:00"
    assert third["results"][0]["value_date"] == "2001-01-01"  # the order stays
    assert "key-" in "".join(third)
    assert not [it for it in ("tank-1", "35.9", "oil", "a@b.fr", "secret") if it in json.dumps([first, second, third])]


def test_har_has_what_readers_require() -> None:
    """It is HAR 1.2, with listed headers alone and no host of one's own."""
    exchange = Exchange(
        None,
        "GET",
        "https://user:pw@internal.example/v1/collection/dataset/summary/secret-id?token=abc",
        [("Authorization", "Bearer abcd"), ("X-Secret", "s"), ("Range", "bytes=0-1")],
        b"",
        404,
        {
            "content-type": "text/html; charset=secret",
            "set-cookie": "c=1",
            "etag": "abc",
            "x-y": "z",
            "location": "https://s.example/k",
        },
        b"<html>secret</html>",
    )
    har = Redactor(SPEC).to_har([exchange])
    text = json.dumps(har)
    assert har["log"]["version"] == "1.2"
    entry = har["log"]["entries"][0]
    assert {*entry} >= {"startedDateTime", "time", "request", "response", "cache", "timings"}
    assert {*entry["response"]} >= {
        "status",
        "statusText",
        "httpVersion",
        "headers",
        "cookies",
        "content",
        "redirectURL",
    }
    assert entry["request"]["url"].startswith("https://host-")
    assert "/v1/collection/dataset/summary/text-" in entry["request"]["url"]
    assert not [it for it in ("secret", "abcd", "pw", "internal", "c=1", "abc", "s.example") if it in text]


@attrs.define(eq=False, repr=False, slots=False, kw_only=True)
class EditedPlatform(Platform):
    """The fake with the datasets of the documentation, and answers that a function replaces, by their status."""

    edit: Callable[[Request, Response], Response]

    def handle(self, request: Request) -> Response:
        return self.edit(request, super().handle(request))


def edited(edit: Callable[[Request, Response], Response]) -> EditedPlatform:
    platform = EditedPlatform(edit=edit)
    platform.add_examples()
    return platform


def test_created_is_a_success_as_ok_is(tmp_path: Path) -> None:
    """A login and data with the status 201 are differences, and the check-up goes on; with its patch it is clean."""

    def edit(request: Request, response: Response) -> Response:
        is_post = request.method == "POST" and response.status == 200
        return attrs.evolve(response, status=201) if is_post else response

    doctor = check_up(edited(edit), tmp_path, dataset=DATASET)
    assert [it.place.rpartition("/")[2] for it in doctor.differences] == ["201"] * 3
    assert [it.name for it in doctor.checks if it.result == "failed"] == ["contract"]
    again = check_up(edited(edit), tmp_path / "again", dataset=DATASET, spec=applied(tmp_path))
    assert not again.has_failed
    assert (tmp_path / "again" / "openapi.patch").read_text() == ""


def test_a_success_for_an_unknown_id_is_a_difference(tmp_path: Path) -> None:
    """A mock answers a bad token too, and of that it tells nothing."""

    def edit(request: Request, response: Response) -> Response:
        return json_response({"assets": []}) if (request.operation, response.status) == (RESULTS, 404) else response

    doctor = check_up(edited(edit), tmp_path, dataset=DATASET)
    assert [(it.kind, it.seen) for it in doctor.differences] == [("behaviour", "an unknown id gets 200")]
    again = check_up(edited(edit), tmp_path / "again", dataset=DATASET, spec=applied(tmp_path))
    assert again.differences == []


def test_an_id_that_is_no_uuid_is_a_difference(tmp_path: Path) -> None:
    """The platform takes the id of its list, which another part of the spec calls a UUID."""

    def edit(request: Request, response: Response) -> Response:
        body = b"".join(response.body).replace(DATASET.encode(), b"ds-1")
        return attrs.evolve(response, body=[body], length=len(body))

    class Other(EditedPlatform):
        def handle(self, request: Request) -> Response:
            request.path = request.path.replace("/ds-1", f"/{DATASET}")
            return super().handle(request)

    def platform() -> Platform:
        platform = Other(edit=edit)
        platform.add_examples()
        return platform

    places = [(it.kind, it.place) for it in check_up(platform(), tmp_path).differences]
    assert places == [
        ("behaviour", "/components/parameters/DatasetId/x-provenance"),
        ("format", "/components/schemas/DatasetMetadata/properties/id"),
    ]
    again = check_up(platform(), tmp_path / "again", spec=applied(tmp_path))
    assert again.differences == []


def test_a_behaviour_has_its_count() -> None:
    """Each answer that shows it counts, of all those of the same response."""
    judge = judged(METADATA, b"", b"", {"code": "X", "message": "Y"}, status=404)
    assert [it.rests_on for it in judge.differences] == ["seen in 2 of 3 answers"]


def test_an_account_without_a_dataset_is_told_so(tmp_path: Path) -> None:
    """Nothing is asked about a dataset, and no answer is invented."""
    doctor = check_up(platform := Platform(), tmp_path)
    assert doctor.checks[-1].advice == "Name a dataset with --dataset."
    assert {it.operation for it in platform.requests} == {METADATA, "login", "listCollections"}


def test_a_dataset_that_is_not_there_is_no_difference(tmp_path: Path) -> None:
    """A bad filter for an id that nobody knows gets the 404 of the id, and that tells nothing of the filter."""
    doctor = check_up(Platform(), tmp_path, dataset=DATASET)
    assert doctor.differences == []
    assert [it.name for it in doctor.checks if it.result == "failed"] == ["metadata"]


def test_a_refused_login_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated attempts lock accounts."""
    monkeypatch.setenv("KAYRROS_PASSWORD", "wrong")
    doctor = check_up(platform := Platform(), tmp_path)
    assert doctor.needs_login
    assert [it.operation for it in platform.requests] == [METADATA, "login"]


def test_faults_of_a_gateway_are_no_crash(tmp_path: Path) -> None:
    """Whatever comes, the check-up ends with a report."""
    platform = Platform()
    platform.add_examples()
    platform.fail_at_random(Fault.cut(), probability=0.3, seed=1)
    platform.fail_at_random(Fault.html(502), probability=0.3, seed=2)
    check_up(platform, tmp_path, dataset=DATASET)
    assert json.loads((tmp_path / "report.json").read_text())["checks"]

"""Hostile requests over HTTP: each is refused with the domain's code, or answered rightly; none is a 5xx."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.hostile.conftest import Attacked, typed
from tests.hostile.pictures import encoded
from tests.support.drill import QUICK
from tests.support.system import picture

pytestmark = [pytest.mark.service, pytest.mark.fault]

FORM = b"multipart/form-data; boundary=B"


@pytest.fixture
def request_of(attacked: Attacked) -> dict[str, Any]:
    """A request that is good."""
    sha256 = attacked.client.post("/v1/images", content=picture(QUICK)).json()["sha256"]
    return {"application": "inspection", "images": [sha256]}


def post(attacked: Attacked, body: bytes, kind: bytes = b"application/json", path: str = "/v1/jobs") -> httpx.Response:
    return attacked.client.post(path, content=body, headers={"Content-Type": kind})


def part(disposition: bytes, data: bytes) -> bytes:
    return b"--B\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return part(b'name="request"', b'{"application": "inspection"}') + b"".join(parts) + b"--B--\r\n"


NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000]


@pytest.mark.parametrize("field", ["params", "metadata"])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:9])
def test_a_number_that_is_none_is_refused(
    attacked: Attacked, request_of: dict[str, Any], field: str, number: str
) -> None:
    body = json.dumps({**request_of, field: {"a": "HERE"}}).replace('"HERE"', number)
    assert typed(post(attacked, body.encode())) in {"invalid_request", "invalid_parameters"}


@pytest.mark.parametrize("number", ["9" * 4000, "1e308", "-1e-999", "0." + "3" * 5000])
def test_a_number_that_is_large_or_fine_comes_back_or_is_refused(
    attacked: Attacked, request_of: dict[str, Any], number: str
) -> None:
    body = json.dumps({**request_of, "metadata": {"a": "HERE"}}).replace('"HERE"', number)
    answer = post(attacked, body.encode())
    assert answer.status_code == 202
    came, sent = answer.json()["metadata"]["a"], json.loads(number)
    assert came == sent or float(came) == sent, "PostgreSQL tells 1e308 as the whole number that it is"


@pytest.mark.parametrize("depth", [100, 250, 260, 500, 900, 970, 990, 1_000, 10_000, 100_000])
@pytest.mark.parametrize(("opened", "inside", "closed"), [("[", "", "]"), ('{"a":', "1", "}")])
@pytest.mark.parametrize("field", ["params", "metadata", "images", "application", "deadline"])
def test_json_however_deep_is_refused_or_kept_as_it_is(
    attacked: Attacked, request_of: dict[str, Any], depth: int, opened: str, inside: str, closed: str, field: str
) -> None:
    deep = opened * depth + inside + closed * depth
    body = json.dumps({**request_of, field: {"deep": "HERE"}}).replace('"HERE"', deep)
    answer = post(attacked, body.encode())
    if answer.status_code == 202:
        assert (depth, field) == (100, "metadata") or depth == 250
        assert answer.json()["metadata"]["deep"] == json.loads(deep)
    else:
        assert typed(answer) in {"invalid_request", "invalid_parameters", "request_too_large"}


TEXTS = {"nul": "\0", "nul within": "a\0b", "high": "\ud800", "low": "\udfff", "long": "x" * 300_000, "path": "../../x"}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_that_no_database_takes_is_refused_in_every_field(
    attacked: Attacked, request_of: dict[str, Any], text: str
) -> None:
    # given the same text as each field, as a key, nested, and as a field that does not exist
    fields = ("application", "lane", "deadline", "not_before", "supersede_key", "no_such", text)
    requests = [{**request_of, field: text} for field in fields]
    requests += [{**request_of, "images": [text]}]
    for field in ("params", "metadata"):
        requests += [
            {**request_of, field: told} for told in ({"a": text}, {text: 1}, {"a": [{"b": {text: text}}]}, text)
        ]
    for told in requests:
        # when it is sent, alone and as a line of a batch
        answer = post(attacked, json.dumps(told).encode())
        line = attacked.client.post("/v1/jobs:batch", content=json.dumps(told)).json()
        # then it is refused both ways, or (a harmless path) kept
        if text != "../../x":
            typed(answer)
        assert answer.status_code == line["status"] or answer.status_code == 202, (answer.text[:300], line)
        assert answer.status_code < 500


@pytest.mark.parametrize("key", ["", "a b", "é", "\xff", "x" * 201, "x" * 60_000])
def test_an_idempotency_key_that_is_none_is_refused(attacked: Attacked, request_of: dict[str, Any], key: str) -> None:
    answer = attacked.client.post("/v1/jobs", json=request_of, headers={b"Idempotency-Key": key.encode("latin-1")})
    assert typed(answer) == "invalid_request"
    line = attacked.client.post("/v1/jobs:batch", content=json.dumps({**request_of, "idempotency_key": key})).json()
    assert (line["status"], line["error"]["code"]) == (422, "invalid_request")


MOMENTS = [
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "0000-00-00",
    1e20,
    -1e20,
    True,
    [],
    "\0",
    "x" * 99,
]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
@pytest.mark.parametrize("field", ["deadline", "not_before"])
def test_a_moment_that_no_calendar_holds_is_refused(
    attacked: Attacked, request_of: dict[str, Any], field: str, moment: object
) -> None:
    assert typed(post(attacked, json.dumps({**request_of, field: moment}).encode())) == "invalid_request"


BODIES = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b"\0" * 99,
    b'{"application":"\xff"}',
    b'{"application":"\xed\xa0\x80"}',
]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_no_request_is_refused(attacked: Attacked, body: bytes) -> None:
    assert typed(post(attacked, body)) in {"invalid_request", "unknown_application"}
    batch = attacked.client.post("/v1/jobs:batch", content=body)
    assert typed(batch) == "invalid_request" if not body else batch.json()["status"] == 422


def test_a_body_over_the_limit_is_refused(attacked: Attacked) -> None:
    assert typed(post(attacked, b'"' + b"x" * 2_000_000)) == "request_too_large"
    assert typed(attacked.client.post("/v1/jobs:batch", content=b"x" * 3_000_000)) == "request_too_large"
    assert typed(attacked.client.post("/v1/images", content=b"x" * (33 * 1024 * 1024))) == "image_too_large"


def test_a_request_with_a_hundred_thousand_mistakes_is_refused_in_few_words(
    attacked: Attacked, request_of: dict[str, Any]
) -> None:
    for told in (
        {**request_of, **{f"x{at}": 1 for at in range(60_000)}},
        {**request_of, "images": ["z"] * 100_000},
        {**request_of, "params": {f"x{at}": 1 for at in range(15_000)}},
    ):
        answer = post(attacked, json.dumps(told).encode())
        assert typed(answer) in {"invalid_request", "invalid_parameters"}
        assert len(answer.content) < 20_000


def test_of_a_field_given_twice_the_last_one_counts(attacked: Attacked, request_of: dict[str, Any]) -> None:
    body = json.dumps(request_of)[:-1] + ', "application": "inspektion", "application": "inspection"}'
    assert post(attacked, body.encode()).json()["application"] == "inspection"


NAMES = [
    b"../../../etc/passwd",
    b"a\0b.png",
    b"x" * 4_000,
    b"\xff\xfe",
    b"a\nb",
    b"",
    b'\\"',
    b"C:\\a\\b",
    "画像".encode(),
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:12]))
def test_a_file_name_is_only_ever_said_back(attacked: Attacked, name: bytes) -> None:
    # given a good and a bad picture under that name, and a part that is named so itself
    named = b'"; filename="' + name + b'"'
    good = part(b'name="images' + named, picture(QUICK))
    bad = part(b'name="images' + named, b"no picture")
    # when they are sent
    # then the good one is taken, the bad one refused, and the part unknown: whatever the name is
    answer = post(attacked, form(good), FORM)
    assert answer.status_code == 202 or typed(answer) == "invalid_request"
    assert typed(post(attacked, form(bad), FORM)) in {"image_unreadable", "invalid_request"}
    assert typed(post(attacked, form(part(b'name="' + name + b'"', b"x")), FORM)) == "invalid_request"
    alone = b'--B\r\nContent-Disposition: form-data; name="image' + named + b"\r\n\r\nno picture\r\n--B--\r\n"
    assert typed(post(attacked, alone, FORM, "/v1/images")) in {"image_unreadable", "invalid_request"}


CHARSETS = [b"idna", b"punycode", b"undefined", b"unicode_escape", b"utf-7", b"utf-16", b"zlib", b"x" * 3_000, b"\xff"]


@pytest.mark.parametrize("charset", CHARSETS, ids=lambda charset: repr(charset[:12]))
def test_a_form_in_a_charset_of_the_callers_choice_is_refused(attacked: Attacked, charset: bytes) -> None:
    kind = FORM + b"; charset=" + charset
    slow = b"a" * 200_000 + b"-" + b"9" * 800_000  # 40 s and more, were it decoded as punycode
    for body in (
        form(part(b'name="images"; filename="+2AA-\\ud800"', b"x")),
        b"".join([part(b'name="request"', slow)]),
    ):
        assert typed(post(attacked, body, kind)) == "invalid_request"
        assert typed(post(attacked, body, kind, "/v1/images")) == "invalid_request"


def forms() -> Iterator[tuple[str, bytes, bytes]]:
    file = part(b'name="images"; filename="x"', b"x")
    yield "10,000 fields", part(b'name="f"', b"x") * 10_000 + b"--B--\r\n", FORM
    yield "10,000 files", form(file * 10_000), FORM
    yield "a large field", form(part(b'name="f"', b"x" * 2_000_000)), FORM
    yield "10,000 headers of a part", b"--B\r\n" + b"a: b\r\n" * 10_000 + b"\r\nx\r\n--B--\r\n", FORM
    yield "a long header of a part", b"--B\r\na: " + b"b" * 1_000_000 + b"\r\n\r\nx\r\n--B--\r\n", FORM
    yield "no end", form(file)[:-9], FORM
    yield "no disposition", b"--B\r\n\r\nx\r\n--B--\r\n", FORM
    yield "two requests", form(form()[:-7]), FORM
    yield "garbage", bytes(range(256)) * 10, FORM
    yield "nothing", b"", FORM
    yield "deep JSON", part(b'name="request"', b"[" * 100_000) + b"--B--\r\n", FORM
    yield "a name in another charset", form(part(b"name=\"images\"; filename*=idna''%ff%00", b"x")), FORM
    yield "no boundary", form(file), b"multipart/form-data"
    yield "an empty boundary", form(file), b"multipart/form-data; boundary="
    yield "a long boundary", form(file), b"multipart/form-data; boundary=" + b"b" * 30_000
    yield "another boundary", form(file), b"multipart/form-data; boundary=\xff"
    yield "nearly a form", form(file), b"multipart/form-dataX; boundary=B"


@pytest.mark.parametrize(("body", "kind"), [told[1:] for told in forms()], ids=[told[0] for told in forms()])
def test_a_form_that_is_none_is_refused(attacked: Attacked, body: bytes, kind: bytes) -> None:
    assert typed(post(attacked, body, kind)) in {"invalid_request", "image_unreadable", "request_too_large"}
    assert typed(post(attacked, body, kind, "/v1/images")) in {"invalid_request", "image_unreadable"}


def test_a_form_like_a_good_one_in_capitals_is_taken(attacked: Attacked) -> None:
    good = form(part(b'name="images"; filename="x"', encoded("PNG")))
    assert post(attacked, good, b'Multipart/Form-Data; Boundary="B"; charset=UTF-8').status_code == 202


QUERIES = ["%00", "%ed%a0%80", "%ff", "9" * 30, "9" * 5000, "nan", "-1", "x" * 3_000, "%0d%0aa:b", ""]


@pytest.mark.parametrize("value", QUERIES, ids=lambda value: value[:9])
def test_a_hostile_query_is_refused_or_finds_nothing(
    attacked: Attacked, request_of: dict[str, Any], value: str
) -> None:
    for name in ("application", "idempotency_key", "state", "lane", "before", "limit"):
        answer = attacked.client.get(f"/v1/jobs?{name}={value}")
        assert answer.status_code == 200 or typed(answer) == "invalid_request", (name, answer.text)
    assert typed(attacked.client.post(f"/v1/jobs?wait={value or 'x'}", json=request_of)) == "invalid_request"
    assert typed(attacked.client.get(f"/v1/events?after={value or 'x'}")) == "invalid_request"
    header = {"Last-Event-ID": value.replace("%", "x") or "x"}
    assert typed(attacked.client.get("/v1/events", headers=header)) == "invalid_request"
    job = post(attacked, json.dumps(request_of).encode()).json()["id"]
    picture_of = attacked.client.get(f"/v1/jobs/{job}/overlay.png?image={value or 'x'}")
    assert typed(picture_of) in {"invalid_request", "not_found", "transition_refused"}


IDS = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "x" * 3_000,
    "%ff",
    "%2e%2e",
    "0" * 64,
    "1" * 63 + "%0a",
    "None",
]


@pytest.mark.parametrize("told", IDS, ids=lambda told: told[:12])
def test_an_id_that_is_a_path_or_none_is_not_found_or_refused(attacked: Attacked, told: str) -> None:
    for path in (f"/v1/images/{told}", f"/v1/jobs/{told}", f"/v1/jobs/{told}/result", f"/v1/jobs/{told}/overlay.png"):
        assert typed(attacked.client.get(path)) in {"invalid_request", "not_found"}
    for path in (f"/v1/jobs/{told}/cancel", f"/v1/jobs/{told}/replay"):
        assert typed(attacked.client.post(path)) in {"invalid_request", "not_found"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "BREW", "X" * 500])
def test_a_method_that_is_not_offered_is_refused_and_leaves_no_metric_of_its_own(
    attacked: Attacked, method: str
) -> None:
    for path in ("/v1/jobs", "/healthz", "/no/such"):
        assert typed(attacked.client.request(method, path)) in {"method_not_allowed", "not_found"}
    metrics = attacked.client.get("/metrics").text
    assert ("BREW" in metrics, "XXX" in metrics) == (False, False)


KEYS = ["Bearer", "Basic YTpi", "Bearer x", "Bearer " + "x" * 60_000, "Bearer é", f"Bearer sl_00000000_{'0' * 64}", "é"]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:9])
def test_a_forged_key_opens_nothing(attacked: Attacked, key: str) -> None:
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("POST", "/v1/jobs:batch"), ("GET", "/v1/events")):
        answer = httpx.request(method, f"{attacked.url}{path}", headers={"Authorization": key.encode()})
        assert typed(answer) == "unauthenticated"


def test_a_key_without_the_scope_and_a_key_of_another_tenant_open_nothing(
    attacked: Attacked, request_of: dict[str, Any], reader_only: dict[str, str], stranger: dict[str, str]
) -> None:
    # given a job of the tenant
    job = attacked.client.post("/v1/jobs", json=request_of, params={"wait": 20}).json()
    sha256 = request_of["images"][0]
    # when somebody who may only read tries to change things
    writes = [("/v1/jobs", {"json": request_of}), ("/v1/jobs:batch", {"content": json.dumps(request_of)})]
    writes += [("/v1/images", {"content": picture(QUICK)}), (f"/v1/jobs/{job['id']}/cancel", {})]
    for path, told in writes:
        # then it is forbidden
        assert typed(attacked.client.post(path, headers=reader_only, **told)) == "forbidden"
    # and for another tenant none of it is there
    for path in (f"/v1/images/{sha256}", f"/v1/jobs/{job['id']}", f"/v1/jobs/{job['id']}/result"):
        assert typed(attacked.client.get(path, headers=stranger)) == "not_found"
    assert typed(attacked.client.post("/v1/jobs", json=request_of, headers=stranger)) == "not_found"
    assert typed(attacked.client.post(f"/v1/jobs/{job['id']}/replay", headers=stranger)) == "not_found"

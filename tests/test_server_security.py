"""What an attacker would try on the HTTP server, on real sockets: each ends in one refusal, and nothing else."""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from bad_jobs import BAD_INPUTS, tone, wav
from conftest import tree_state
from http_server import Running, base64_of, serving, wait_until, with_
from hypothesis import given
from hypothesis import strategies as st

from generate_voice_embedding import create_voice_embedding
from server.access import Gate
from server.errors import Refused
from server.keys import Key, KeyFileError, KeyRing, digest_of, new_key, read_keys, write_keys
from server.limits import RateLimit
from server.settings import ServerSettings, ServerSettingsError
from synthesis.espeak import EspeakEngine
from worker.logs import PlainLines

OPEN_ROUTES = {"/ping", "/", "/page/{name}", "/openapi.json"}
SPEAK, MANAGE = "wc-test-key-that-may-speak-0001", "wc-test-key-that-may-manage-001"


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    keys = (Key("speaker", digest_of(SPEAK), ("speak",)), Key("manager", digest_of(MANAGE), ("voices",)))
    write_keys(path, keys)
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("guarded") / "voice_embeddings"
    create_voice_embedding.from_array(tone(2.0), 24_000, "Resident", embeddings_dir=str(tree))
    return tree


@pytest.fixture(scope="module")
def guarded(tree: Path, espeak: EspeakEngine, keys_file: Path) -> Iterator[Running]:
    """A server with keys."""
    with serving(tree, espeak, with_(keys_file=keys_file)) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(tree: Path, espeak: EspeakEngine) -> Iterator[Running]:
    """A server without keys, whose patience and limits are small."""
    settings = with_(
        header_timeout_s=0.4, body_timeout_s=0.4, slowest_bytes_per_s=10_000, send_timeout_s=0.5, max_body_bytes=100_000
    )
    with serving(tree, espeak, settings) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def raw(server: Running, request: bytes, timeout_s: float = 5) -> bytes:
    """What the server answers to these bytes, until it closes or is quiet."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout_s) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def request(target: str, *headers: str, method: str = "GET", host: str = "127.0.0.1") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# ---------------------------------------------------------------- keys


def test_every_route_wants_a_key_except_those_that_say_nothing(guarded: Running) -> None:
    paths = guarded.app.openapi()["paths"]
    assert len(paths) > 8
    with guarded.client() as client:
        for path, methods in paths.items():
            for method in methods:
                answer = client.request(method.upper(), path.replace("{voice}", "x").replace("{model}", "x"))
                if path in OPEN_ROUTES:
                    assert answer.status_code in (200, 204), path
                else:
                    assert answer.status_code == 401, (method, path)
                    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(SPEAK[:-1]),
        bearer(SPEAK + "x"),
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {SPEAK}"},
        {"Authorization": SPEAK},
        {"X-API-Key": ""},
        {"X-API-Key": "\xe9" * 30},
        {"X-API-Key": "wrong", **bearer(SPEAK)},
        {"Cookie": f"key={SPEAK}"},
    ],
    ids=str,
)
def test_a_missing_or_wrong_key_opens_nothing(guarded: Running, headers: dict[str, str]) -> None:
    with guarded.client() as client:
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = client.post("/generate", params={"key": SPEAK}, json={"text": "Hello."}, headers=encoded)
    assert answer.status_code == 401
    assert answer.json()["error"].startswith("UNAUTHORIZED: ")
    assert SPEAK not in answer.text


def test_a_key_opens_what_its_scope_says_and_nothing_else(guarded: Running) -> None:
    upload = {"voice_name": "New", "reference_audio": base64_of(wav(tone(2.0)))}
    with guarded.client() as client:

        def status(method: str, path: str, key: str, **sent: object) -> int:
            return client.request(method, path, headers=bearer(key), **sent).status_code  # type: ignore[arg-type]

        assert status("POST", "/generate", SPEAK, json={"text": "Hello."}) == 200
        assert status("POST", "/generate", MANAGE, json={"text": "Hello."}) == 403
        assert status("GET", "/v1/voices/Resident/preview", MANAGE) == 403
        for path in ("/v1/voices", "/v1/voices/Resident", "/v1/models", "/health", "/metrics"):
            assert status("GET", path, SPEAK) == status("GET", path, MANAGE) == 200, path
        assert status("POST", "/v1/voices", SPEAK, json=upload) == 403
        assert status("PATCH", "/v1/voices/Resident", SPEAK, json={"new_name": "Mine"}) == 403
        assert status("DELETE", "/v1/voices/Resident", SPEAK) == 403
        for part in ("embedding", "reference"):
            assert status("GET", f"/v1/voices/Resident/{part}", SPEAK) == 403, "a recording is not for everyone"
            assert status("GET", f"/v1/voices/Resident/{part}", MANAGE) == 200
        assert status("POST", "/v1/voices", MANAGE, json=upload) == 201
        assert status("DELETE", "/v1/voices/New", MANAGE) == 200
        refused = client.delete("/v1/voices/Resident", headers={"X-API-Key": SPEAK}).json()["error"]
    assert refused["code"] == "forbidden"
    assert "this key may speak; here voices is needed" in refused["message"]


def test_who_guesses_keys_is_not_listened_to_for_long(tree: Path, espeak: EspeakEngine, keys_file: Path) -> None:
    settings = with_(keys_file=keys_file, failures_per_minute=60)
    with serving(tree, espeak, settings) as server, server.client() as client:
        guesses = [client.get("/health", headers=bearer(f"wc-guess-{number}")).status_code for number in range(40)]
        assert guesses[0] == 401
        assert guesses[-1] == 429
        assert client.get("/health", headers=bearer(SPEAK)).status_code == 200, "whoever has a key still gets in"


def test_a_removed_key_stops_working_and_an_emptied_file_opens_nothing(tmp_path: Path) -> None:
    secret, key = new_key("alice")
    file = tmp_path / "keys.json"
    write_keys(file, [key])
    ring = KeyRing(file)
    assert ring.find(secret) == key
    assert ring.find(secret + "x") is None
    file.write_text("half a fi", encoding="utf-8")
    ring._checked_s = 0.0
    assert ring.find(secret) == key, "a file that is being edited changes nothing"
    write_keys(file, [])
    ring._checked_s = 0.0
    assert ring.find(secret) is None
    with pytest.raises(ServerSettingsError, match="no API key"):
        ServerSettings(host="0.0.0.0").check_exposure(has_keys=bool(ring))


def test_removing_the_last_key_lets_nobody_in(tmp_path: Path) -> None:
    """A server on this machine may be behind a proxy that lets everyone in."""
    file = tmp_path / "keys.json"
    ring = KeyRing(file)
    gate = Gate(ring, ServerSettings())
    assert gate.admit(None, ("speak",), "127.0.0.1").name == "address:127.0.0.1"
    for keys in ([new_key("alice")[1]], []):
        write_keys(file, keys)
        ring._checked_s = 0.0
        with pytest.raises(Refused, match="no API key"):
            gate.admit(None, ("speak",), "127.0.0.1")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"keys": 1}', '{"keys": [{"name": "a"}]}', '{"keys": [{"name": "a/b", "sha256": "", "scopes": []}]}'],
)
def test_a_keys_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(KeyFileError):
        read_keys(file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "example.com", ""])
def test_no_address_but_this_machine_is_served_without_a_key(host: str) -> None:
    with pytest.raises(ServerSettingsError):
        ServerSettings(host=host).check_exposure(has_keys=False)
    ServerSettings(host=host).check_exposure(has_keys=True)


@given(per_minute=st.integers(1, 6000), steps=st.lists(st.floats(0, 30), max_size=60))
def test_a_caller_never_gets_more_than_its_rate(per_minute: int, steps: list[float]) -> None:
    now = 0.0
    limit = RateLimit(lambda: now)
    granted = 0
    for step in steps:
        now += step
        for _ in range(3):
            with contextlib.suppress(Refused):
                limit.take("caller", per_minute)
                granted += 1
    burst = max(1.0, per_minute / 6)
    assert granted <= burst + now * per_minute / 60 + 1e-6
    limit.take("another", per_minute)


def test_rates_are_per_key(tree: Path, espeak: EspeakEngine, tmp_path: Path) -> None:
    slow, slow_key = new_key("slow", requests_per_minute=6)
    quick, quick_key = new_key("quick")
    file = tmp_path / "keys.json"
    write_keys(file, [slow_key, quick_key])
    with serving(tree, espeak, with_(keys_file=file)) as server, server.client() as client:
        assert [client.get("/v1/models", headers=bearer(slow)).status_code for _ in range(2)] == [200, 429]
        answer = client.get("/v1/models", headers=bearer(slow))
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert client.get("/v1/models", headers=bearer(quick)).status_code == 200


def test_one_caller_leaves_room_for_others(tree: Path, espeak: EspeakEngine, tmp_path: Path) -> None:
    greedy, greedy_key = new_key("greedy", jobs_at_once=1)
    other, other_key = new_key("other")
    file = tmp_path / "keys.json"
    write_keys(file, [greedy_key, other_key])
    body = {"text": "A sentence of a usual length. " * 300, "stream": True}
    with serving(tree, espeak, with_(keys_file=file)) as server, server.client() as client:
        with client.stream("POST", "/generate", json=body, headers=bearer(greedy)):
            refused = httpx.post(f"{server.url}/generate", json={"text": "Hello."}, headers=bearer(greedy))
            assert refused.status_code == 429
            assert "1 requests of this caller are under way" in refused.json()["error"]
            heard = httpx.post(f"{server.url}/generate", json={"text": "Hello."}, headers=bearer(other), timeout=30)
            assert heard.status_code == 200
        wait_until(lambda: server.app.state.jobs.places.running == 0, 5)
        again = client.post("/generate", json={"text": "Hello."}, headers=bearer(greedy))
        assert again.status_code == 200


# ---------------------------------------------------------------- bodies: huge, slow, packed, of the wrong kind


def test_a_body_is_not_read_before_the_key(guarded: Running) -> None:
    """60 MB are announced and none is sent: the refusal comes all the same."""
    head = request("/generate", "Content-Type: application/json", "Content-Length: 60000000", method="POST")
    assert raw(guarded, head).startswith(b"HTTP/1.1 401 ")


def test_an_announced_huge_body_is_refused_unread(hasty: Running) -> None:
    for path, size in (("/v1/audio/speech", 100_001), ("/generate", 10**12), ("/v1/voices", 10**19)):
        head = request(path, "Content-Type: application/json", f"Content-Length: {size}", method="POST")
        answer = raw(hasty, head)
        assert answer.startswith(b"HTTP/1.1 413 "), path
        assert b"nosniff" in answer


def test_an_unannounced_huge_body_is_refused_at_the_limit(hasty: Running) -> None:
    piece = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=5) as connection:
        head = request(
            "/v1/audio/speech", "Content-Type: application/json", "Transfer-Encoding: chunked", method="POST"
        )
        connection.sendall(head)
        sent, answer = 0, b""
        try:
            while sent < 50:
                connection.sendall(piece)
                sent += 1
                connection.settimeout(0.05)
                try:
                    answer = connection.recv(65536)
                    break
                except TimeoutError:
                    connection.settimeout(5)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert sent < 10


def test_all_bodies_together_have_a_limit(tree: Path, espeak: EspeakEngine) -> None:
    with serving(tree, espeak, with_(max_bodies_bytes=300_000)) as server, server.client() as client:
        large = {"text": "Hello.", "reference_audio": "A" * 400_000}
        answer = client.post("/generate", json=large)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert client.post("/generate", json={"text": "Hello."}).status_code == 200, "it is given back"


def test_slow_headers_and_bodies_are_cut_off(hasty: Running) -> None:
    def trickle(head: bytes) -> tuple[float, bytes]:
        """A byte now and then; seconds until the server has had enough, and what it said."""
        start, answer = time.monotonic(), b""
        with socket.create_connection(("127.0.0.1", hasty.port), timeout=0.1) as connection:
            connection.sendall(head)
            while time.monotonic() - start < 5:
                try:
                    piece = connection.recv(65536)
                    answer += piece
                    if not piece:
                        break
                except TimeoutError:
                    pass
                except ConnectionResetError:
                    break
                try:
                    connection.sendall(b"a")
                except (BrokenPipeError, ConnectionResetError):
                    break
        return time.monotonic() - start, answer

    seconds, answer = trickle(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    assert seconds < 2
    assert answer == b""
    seconds, answer = trickle(b"")
    assert seconds < 2
    head = request("/generate", "Content-Type: application/json", "Content-Length: 5000", method="POST")
    seconds, answer = trickle(head)
    assert seconds < 3
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"TIMEOUT: the body came too slowly" in answer


def test_a_caller_who_does_not_take_the_answer_is_cut_off(hasty: Running) -> None:
    text = "A sentence of a usual length, as people send it. " * 1500  # 180 MB of wav at 48 kHz
    body = f'{{"text": "{text}", "stream": true, "sample_rate": 48000}}'.encode()
    head = request("/generate", "Content-Type: application/json", f"Content-Length: {len(body)}", method="POST")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", hasty.port))
        connection.sendall(head + body)
        wait_until(lambda: hasty.app.state.jobs.places.running == 1, 3)
        wait_until(lambda: hasty.app.state.jobs.places.running == 0, 10)


def test_headers_have_a_limit(hasty: Running) -> None:
    answer = raw(hasty, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: " + b"a" * 200_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


def test_packed_bodies_are_not_unpacked(guarded: Running) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    for encoding in ("gzip", "deflate", "br", "gzip, gzip", "GZIP"):
        with guarded.client() as client:
            headers = {**bearer(SPEAK), "Content-Encoding": encoding, "Content-Type": "application/json"}
            answer = client.post("/generate", content=bomb, headers=headers)
        assert answer.status_code == 415, encoding


def test_bombs_and_code_in_voice_files_change_nothing(guarded: Running, tree: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("voice.wav", b"0" * 50_000_000)
    gzip_bomb = gzip.compress(b"0" * 400_000_000, compresslevel=1)
    before = tree_state(tree)
    with guarded.client(headers=bearer(MANAGE)) as client:

        def upload(field: str, content: bytes) -> int:
            return client.post("/v1/voices", data={"voice_name": "B"}, files={field: ("x", content)}).status_code

        assert upload("voice_embedding", gzip_bomb) == 422
        assert upload("reference_audio", gzip_bomb) == 422
        assert upload("reference_audio", archive.getvalue()) == 422
        assert upload("voice_embedding", archive.getvalue()) == 422
        for name in ("embedding runs code", "embedding is not gzip", "embedding holds no audio"):
            assert client.post("/v1/voices", json=BAD_INPUTS[name][0]).status_code == 422, name
    assert tree_state(tree) == before
    assert not list(Path.cwd().glob("pwned"))


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"],
)
def test_other_content_types_are_refused(guarded: Running, content_type: str | None) -> None:
    """A page elsewhere may send these without asking first."""
    headers = {**bearer(SPEAK), **({"Content-Type": content_type} if content_type else {})}
    with guarded.client() as client:
        for path in ("/generate", "/v1/audio/speech"):
            assert client.post(path, content=b'{"text": "Hello."}', headers=headers).status_code == 415, path


def test_strange_forms_are_refused(guarded: Running, tree: Path) -> None:
    before = tree_state(tree)
    audio = wav(tone(2.0))
    with guarded.client(headers=bearer(MANAGE)) as client:
        forms: list[dict[str, object]] = [
            {"files": [("reference_audio", ("a", audio)), ("reference_audio", ("b", audio))]},
            {"files": [("reference_audio", ("a", audio)), ("voice_embedding", ("b", audio))]},
            {"data": {f"field{number}": "x" for number in range(1000)}, "files": {"reference_audio": ("a", audio)}},
            {"data": {"voice_name": "x" * 1_000_000}, "files": {"reference_audio": ("a", audio)}},
            {"data": {"voice_name": "x", "speed": "2"}, "files": {"reference_audio": ("a", audio)}},
            {"data": {"reference_audio": "not a file", "voice_name": "x"}, "files": {"description": ("d", b"x")}},
            {"data": {"voice_name": ["x", "y"]}, "files": {"reference_audio": ("a", audio)}},
        ]
        for form in forms:
            answer = client.post("/v1/voices", **form)  # type: ignore[arg-type]
            assert answer.status_code == 400, form.get("data")
            assert answer.json()["error"]["code"] == "invalid_input"
        for content in (b"", b"--x", b"--x\r\n\r\n", b"\0" * 1000):
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            assert client.post("/v1/voices", content=content, headers=headers).status_code == 400, content
        assert (
            client.post("/v1/voices", content=b"x", headers={"Content-Type": "multipart/form-data"}).status_code == 400
        )
    assert tree_state(tree) == before


# ---------------------------------------------------------------- addresses, headers, logs


@pytest.mark.parametrize(
    "target",
    [
        "/page/../__main__.py",
        "/page/..%2f__main__.py",
        "/page/%2e%2e%2f%2e%2e%2fserver_keys.json",
        "/page/..%5c..%5cpyproject.toml",
        "/page//etc/passwd",
        "/page/index.html%00.js",
        "/page/" + "a" * 5000,
        "//etc/passwd",
        "/../../etc/passwd",
    ],
)
def test_the_pages_files_are_all_there_is(guarded: Running, target: str) -> None:
    assert raw(guarded, request(target)).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "voice",
    [
        "..",
        ".",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "..%5c..%5cetc",
        "%2Fetc%2Fpasswd",
        "a%00b",
        "%ff%fe",
        "a%0d%0ab",
        "~",
    ],
)
def test_voices_addresses_lead_to_voices_only(guarded: Running, tree: Path, voice: str) -> None:
    before = tree_state(tree)
    key = f"Authorization: Bearer {MANAGE}"
    for method, part in (("GET", ""), ("GET", "/embedding"), ("GET", "/reference"), ("DELETE", "")):
        answer = raw(guarded, request(f"/v1/voices/{voice}{part}", key, method=method))
        assert answer.split()[1] in (b"400", b"404", b"405"), (method, part, answer)
        assert b"root:" not in answer
    assert tree_state(tree) == before


def test_nothing_that_is_sent_gets_into_headers_or_log_lines(
    guarded: Running, caplog: pytest.LogCaptureFixture
) -> None:
    forged = "x\r\nINFO | server | forged"
    with caplog.at_level(logging.DEBUG), guarded.client(headers=bearer(MANAGE)) as client:
        for request_id in ("a b c d e f g", "x" * 65, "short", 'quo"ted-id', "tab\tbed-id", "\xe9" * 10):
            answer = client.get("/v1/models", headers={"X-Request-Id": request_id.encode("latin-1")})
            assert answer.headers["x-request-id"].startswith("http-"), request_id
        for name in (forged, "x\u2028y", "\x1b[31mred"):
            body = {"voice_name": name, "reference_audio": base64_of(wav(tone(2.0)))}
            assert client.post("/v1/voices", json=body).status_code == 400
        client.get("/v1/voices/" + forged.replace("\r\n", "%0d%0a"))
        client.get("/v1/voices", params={"name_prefix": forged})
        named = client.post("/v1/voices", json={"voice_name": "Ünï: \N{GRINNING FACE}", **_recording()})
        download = client.get(f"/v1/voices/{named.json()['voice_id']}/embedding")
        assert download.headers["content-disposition"].isascii()
        client.delete(f"/v1/voices/{named.json()['voice_id']}")
    raw(guarded, request("/%0d%0aforged", f"User-Agent: {'forged'}"))
    others = ("httpx", "httpcore", "uvicorn.access")  # the clients', and one that the server has switched off
    ours = [record for record in caplog.records if not record.name.startswith(others)]
    lines = [PlainLines().format(record) for record in ours]
    assert len(lines) > 10
    assert not [line for line in lines if "forged" in line or "\n" in line or "\x1b" in line]
    assert not [line for line in lines if SPEAK in line or MANAGE in line]


def _recording() -> dict[str, str]:
    return {"reference_audio": base64_of(wav(tone(2.2)))}


def test_answers_say_nothing_of_the_inside(guarded: Running, tree: Path) -> None:
    with guarded.client(headers=bearer(MANAGE)) as client:
        answers = [client.get(f"/v1/voices/{name}") for name in ("nobody", "..", "x" * 300)]
        answers += [client.get("/nothing"), client.put("/generate"), client.get("/v1/voices?page_size=x")]
    for answer in answers:
        assert str(tree) not in answer.text
        assert "Traceback" not in answer.text
        assert "uvicorn" not in str(answer.headers).lower()
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


# ---------------------------------------------------------------- other pages, other hosts, other servers


def test_pages_of_other_origins_are_refused(hasty: Running) -> None:
    upload = {"data": {"voice_name": "x"}, "files": {"reference_audio": ("a", wav(tone(2.0)))}}
    with hasty.client() as client:
        for origin in (
            "https://evil.example",
            "null",
            "http://127.0.0.1:1",
            f"http://127.0.0.1:{hasty.port}.evil.example",
        ):
            answer = client.post("/v1/voices", headers={"Origin": origin}, **upload)  # type: ignore[arg-type]
            assert answer.status_code == 403, origin
            assert "access-control-allow-origin" not in answer.headers
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            assert client.options("/generate", headers=preflight).status_code in (403, 405)
        assert client.get("/health", headers={"Origin": hasty.url}).status_code == 200


def test_addresses_in_other_pages_are_refused_and_links_are_not(hasty: Running) -> None:
    """An image or a script of another page is asked for without an Origin."""
    with hasty.client() as client:
        for mode, status in (("no-cors", 403), ("navigate", 200)):
            headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
            assert client.get("/v1/voices", headers=headers).status_code == status, mode
        assert client.get("/v1/voices", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_an_origin_that_was_allowed_may_call(tree: Path, espeak: EspeakEngine) -> None:
    with serving(tree, espeak, with_(allow_origins=("https://app.example",))) as server, server.client() as client:
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        allowed = client.options("/generate", headers=preflight)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        spoken = client.post("/generate", json={"text": "Hello."}, headers={"Origin": "https://app.example"})
        assert spoken.headers["access-control-allow-origin"] == "https://app.example"
        assert client.get("/health", headers={"Origin": "https://other.example"}).status_code == 403


def test_a_name_that_was_bent_to_this_machine_is_refused(hasty: Running, guarded: Running) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        assert raw(hasty, request("/health", host=host)).split()[1] == b"421", host
    for host in ("localhost", "127.0.0.1:9", "[::1]:9"):
        assert raw(hasty, request("/health", host=host)).split()[1] == b"200", host
    assert raw(guarded, request("/ping", host="api.example")).split()[1] == b"200", "with keys a name does no harm"


def test_no_url_is_ever_fetched(hasty: Running) -> None:
    visits: list[object] = []
    with socket.socket() as canary:
        canary.bind(("127.0.0.1", 0))
        canary.listen()
        canary.settimeout(0.5)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/voice.wav"

        def watch() -> None:
            try:
                visits.append(canary.accept())
            except TimeoutError:
                return

        watching = threading.Thread(target=watch)
        watching.start()
        with hasty.client() as client:
            for sent in (url, f"file:///etc/passwd#{url}", f"data:{url};base64,"):
                for field in ("reference_audio", "voice_embedding"):
                    body = {"voice_name": "x", field: sent}
                    assert client.post("/v1/voices", json=body).status_code in (400, 422)
                assert client.post("/generate", json={"text": "x", "reference_audio": sent}).status_code in (400, 422)
                assert client.post("/generate", json={"text": "x", "audio_url": sent}).status_code == 400
                upload = {"reference_audio": (sent, sent.encode())}
                assert client.post("/v1/voices", data={"voice_name": "x"}, files=upload).status_code in (400, 422)
        watching.join()
    assert visits == []


def test_the_client_of_these_tests_would_have_been_let_in(hasty: Running) -> None:
    """The refusals above are of what was sent, not of who sent it."""
    assert httpx.post(f"{hasty.url}/generate", json={"text": "Hello."}, timeout=30).status_code == 200

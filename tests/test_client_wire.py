"""The client's patience and its suspicion: retries, Retry-After, broken answers, addresses that must not be fetched."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import httpx
import pytest
from flaky_server import Flaky, Reply, flaky_server

import client as package
from client import Downloads, Retries, VoiceClient
from client.download import check_format
from client.retries import retry_after_s
from client.steps import run

QUICK = Retries(max_attempts=4, first_pause_s=0.01, longest_pause_s=0.05)
HEALTHY = Reply(body=json.dumps({"status": "ready"}).encode())
VOICE = Reply(body=b'{"voice_id": "0", "voice_name": "A", "duration": 1.0, "sample_rate": 24000}')


def client_of(server: Flaky, retries: Retries = QUICK) -> VoiceClient:
    return VoiceClient(server.url, "key", retries=retries)


@pytest.mark.parametrize("trouble", [Reply(429), Reply(500), Reply(502), Reply(503), Reply(504), Reply(0)])
def test_trouble_that_passes_is_not_noticed(trouble: Reply) -> None:
    with flaky_server(trouble, trouble, HEALTHY) as server, client_of(server) as client:
        assert client.health() == {"status": "ready"}
    assert len(server.requests) == 3


def test_retry_after_is_waited_for_and_never_less() -> None:
    with flaky_server(Reply(429, headers={"Retry-After": "1"}), HEALTHY) as server, client_of(server) as client:
        client.health()
    first, second = (request[0] for request in server.requests)
    assert 1.0 <= second - first < 10.0


def test_retry_after_in_both_of_its_forms() -> None:
    def of(value: str) -> float | None:
        return retry_after_s(httpx.Response(429, headers={"Retry-After": value}))

    assert of("2") == 2
    assert of("-1") == 0
    assert of("soon") is None
    assert of(formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=2)
    assert retry_after_s(httpx.Response(429)) is None


def test_pauses_grow_and_differ() -> None:
    retries = Retries(first_pause_s=1, longest_pause_s=8)
    for attempt, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (9, 8)):
        pauses = {retries.pause_s(attempt) for _ in range(50)}
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
        assert len(pauses) > 10


def test_patience_ends_with_an_error_that_says_when_to_come_again() -> None:
    with flaky_server(Reply(429)) as server, client_of(server) as client, pytest.raises(package.TooManyRequests):
        client.health()
    assert len(server.requests) == QUICK.max_attempts
    hour = Reply(429, headers={"Retry-After": "3600"})
    with flaky_server(hour) as server, client_of(server) as client, pytest.raises(package.TooManyRequests) as refused:
        client.health()
    assert (len(server.requests), refused.value.retry_after_s) == (1, 3600)


def test_what_must_not_be_done_twice_is_not_sent_again_after_it_may_have_been_done() -> None:
    for trouble, error in ((Reply(0), package.Unreachable), (Reply(502), package.Unreachable)):
        with flaky_server(trouble, VOICE) as server, client_of(server) as client:
            with pytest.raises(error):
                client.voices.register("A", b"RIFF")
            assert len(server.requests) == 1
            assert client.voices.register("A", b"RIFF", on_conflict="replace").voice_id == "0"
    for not_begun in (Reply(429), Reply(503)):
        with flaky_server(not_begun, VOICE) as server, client_of(server) as client:
            assert client.voices.register("A", b"RIFF").voice_id == "0"


def test_nobody_there() -> None:
    with flaky_server(HEALTHY) as server:
        pass
    with client_of(server) as client, pytest.raises(package.Unreachable, match=r"no answer from 127\.0\.0\.1"):
        client.health()


@pytest.mark.parametrize("body", [b"<html>a proxy</html>", b"[]", b"", b'{"audio": "%%%"}', b'{"audio": 3}', b"{}"])
def test_an_answer_that_is_none_of_ours(body: bytes) -> None:
    with flaky_server(Reply(body=body)) as server, client_of(server) as client, pytest.raises(package.UnexpectedAnswer):
        client.speak("Hello.")


def test_a_proxys_refusal_is_told_as_it_is() -> None:
    page = Reply(404, b"<html>nothing here</html>")
    with (
        flaky_server(page) as server,
        client_of(server) as client,
        pytest.raises(package.UnexpectedAnswer, match="404"),
    ):
        client.health()


CHUNK = b'{"index": 0, "audio": "UklGRg==", "last": false}\n'


def test_a_stream_that_ends_early_is_an_error() -> None:
    for reply in (Reply(body=CHUNK), Reply(body=CHUNK * 2, cut=len(CHUNK))):
        with flaky_server(reply) as server, client_of(server) as client:
            stream = client.stream("Hello.")
            assert next(stream) == b"RIFF"
            with pytest.raises((package.UnexpectedAnswer, package.Unreachable), match="not whole"):
                list(stream)
    for broken in (b"{}\n", b'{"audio": "%"}\n', b"<html>\n"):
        with (
            flaky_server(Reply(body=broken)) as server,
            client_of(server) as client,
            pytest.raises(package.UnexpectedAnswer),
        ):
            list(client.stream("Hello."))
    failure = CHUNK + b'{"error": "OUT_OF_MEMORY: what; allowed; do"}\n'
    with flaky_server(Reply(body=failure)) as server, client_of(server) as client, pytest.raises(package.OutOfMemory):
        list(client.stream("Hello."))


# Downloads


def fetch(url: str, downloads: Downloads) -> bytes:
    with httpx.Client() as http:
        return run(downloads.fetch(url, QUICK), http)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.wav",  # not https
        "https://127.0.0.1/a.wav",
        "https://localhost/a.wav",
        "https://10.0.0.1/a.wav",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/a.wav",
        "https://[::ffff:127.0.0.1]/a.wav",
        "https://user:password@example.com/a.wav",
        "file:///etc/passwd",
        "ftp://example.com/a.wav",
        "//example.com/a.wav",
        "https://",
        "https://no-such-host.invalid/a.wav",
        "not an address",
    ],
)
def test_addresses_that_are_not_fetched(url: str) -> None:
    with pytest.raises(package.UnsafeDownload):
        fetch(url, Downloads())


def test_a_named_host_is_fetched_without_the_key_and_without_redirects() -> None:
    with flaky_server(Reply(body=b"RIFFaudio")) as server:
        host = server.url.removeprefix("http://")
        assert fetch(f"{server.url}/a.wav?signature=secret", Downloads((host,))) == b"RIFFaudio"
        assert "authorization" not in {name.lower() for name in server.requests[0][3]}
        with pytest.raises(package.UnsafeDownload) as refused:
            fetch(f"{server.url}/a.wav?signature=secret", Downloads(("127.0.0.1:1",)))
        assert "secret" not in str(refused.value)
    elsewhere = Reply(302, headers={"Location": "http://127.0.0.1:1/"})
    with flaky_server(elsewhere) as server, pytest.raises(package.UnsafeDownload, match="302"):
        fetch(server.url, Downloads(("127.0.0.1",)))


def test_files_that_are_too_large_or_not_whole() -> None:
    with flaky_server(Reply(body=b"x" * 1000)) as server, pytest.raises(package.UnsafeDownload, match="more than 999"):
        fetch(server.url, Downloads(("127.0.0.1",), max_bytes=999))
    endless = Reply(body=b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n", headers={"Transfer-Encoding": "chunked"})
    with flaky_server(endless) as server, pytest.raises((package.UnsafeDownload, package.Unreachable)):
        fetch(server.url, Downloads(("127.0.0.1",), max_bytes=999))
    whole, broken = Reply(body=b"x" * 1000), Reply(body=b"x" * 1000, cut=1)
    with flaky_server(broken) as server, pytest.raises(package.Unreachable, match="not whole"):
        fetch(server.url, Downloads(("127.0.0.1",)))
    with flaky_server(broken, whole) as server:
        assert fetch(server.url, Downloads(("127.0.0.1",))) == whole.body


def test_what_was_fetched_must_begin_as_its_format_does() -> None:
    check_format(b"RIFF....", "wav")
    check_format(b"anything", "pcm")
    with pytest.raises(package.UnsafeDownload):
        check_format(b"<?xml version", "wav")

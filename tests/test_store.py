"""The store class on both real stores and on a folder: what it promises, and the traps of conditional requests."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from mirror_workers import ignoring_conditions
from s3_proxy import Fault, Proxy
from s3_servers import S3Server

from voice_library.errors import StorageUnavailable
from voice_library.stores.folder import FolderStore
from voice_library.stores.interface import Capabilities, Store
from voice_library.stores.s3 import S3Store

MISSING = "nothing/here.json"


@pytest.fixture(params=["gateway", "moto", "folder", "tls"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path)
    if request.param == "tls":
        server = request.getfixturevalue("gateway")
        return S3Store(server.new_bucket(prefix="a/prefix", endpoint_url=server.tls_url, ca_bundle=server.ca_bundle))
    server = request.getfixturevalue(request.param)
    return S3Store(server.new_bucket(prefix="a/prefix"))


def test_what_is_put_is_found(store: Store) -> None:
    etag = store.put("metadata/one.json", b"{}")
    found = store.find("metadata/one.json")
    assert found is not None
    assert (found.body, found.etag) == (b"{}", etag)
    assert found.age_s < 60
    assert store.exists("metadata/one.json")


def test_absence_is_an_answer(store: Store) -> None:
    assert store.find(MISSING) is None
    assert store.find_unless(MISSING, "0" * 32) is None
    assert not store.exists(MISSING)
    store.delete(MISSING)
    assert list(store.list("nothing/")) == []


def test_an_unchanged_object_is_not_sent_again(store: Store) -> None:
    etag = store.put("catalog.json", b"first")
    unchanged, changed = store.find_unless("catalog.json", etag), store.find_unless("catalog.json", "0" * 32)
    assert unchanged is not None
    assert (unchanged.body, unchanged.etag) == (b"", etag)
    assert changed is not None
    assert changed.body == b"first"


def test_create_leaves_another_object_alone(store: Store) -> None:
    assert store.create("names/a.json", b"first")
    assert not store.create("names/a.json", b"second")
    found = store.find("names/a.json")
    assert found is not None
    assert found.body == b"first"


def test_replace_needs_the_current_etag(store: Store) -> None:
    etag = store.put("catalog.json", b"first")
    newer = store.replace("catalog.json", b"second", etag)
    assert newer is not None
    assert store.replace("catalog.json", b"third!", etag) is None
    assert store.replace("catalog.json", b"third!", newer) is not None
    assert store.replace(MISSING, b"x", etag) is None


def test_list_is_whole_and_keeps_to_its_prefix(store: Store) -> None:
    for number in range(12):
        store.put(f"pending/{number}", b"")
    store.put("pendingnot/1", b"")
    listed = {item.key: item for item in store.list("pending/")}
    assert set(listed) == {f"pending/{number}" for number in range(12)}
    assert all(item.size == 0 and item.age_s < 60 for item in listed.values())


def test_list_goes_beyond_one_page(gateway: S3Server) -> None:
    store = S3Store(gateway.new_bucket())
    for number in range(1005):
        store.put(f"pending/{number}", b"")
    assert len(list(store.list("pending/"))) == 1005
    assert store.requests["list_objects_v2"] == 2


def test_delete(store: Store) -> None:
    store.put("pending/a", b"")
    store.delete("pending/a")
    assert store.find("pending/a") is None


def test_a_large_body_survives(store: Store) -> None:
    body = bytes(range(256)) * 40_000  # 10 MB
    etag = store.put("voice_catalog.json", body)
    assert store.replace("voice_catalog.json", body + b"!", etag) is not None
    found = store.find("voice_catalog.json")
    assert found is not None
    assert found.body == body + b"!"


# ---------------------------------------------------------------- the probe


def test_the_probe_tells_the_stores_apart(gateway: S3Server, moto: S3Server) -> None:
    """Ceph takes If-Match only without quotes; moto takes it either way, so the quoted form stands."""
    assert S3Store(gateway.new_bucket()).capabilities == Capabilities(True, True, quoted_etags=False)
    assert S3Store(moto.new_bucket()).capabilities == Capabilities(True, True, quoted_etags=True)


def test_the_probe_costs_few_requests_and_leaves_nothing(s3_server: S3Server) -> None:
    store = S3Store(s3_server.new_bucket())
    assert store.capabilities is store.capabilities
    assert store.requests.total() <= 6
    assert list(store.list("")) == []


def test_reading_does_not_probe(moto: S3Server) -> None:
    store = S3Store(moto.new_bucket())
    store.find(MISSING)
    assert store.requests == {"get_object": 1}


def test_a_store_that_ignores_conditions_is_found_out(gateway: S3Server) -> None:
    store = ignoring_conditions(S3Store(gateway.new_bucket()))
    assert store.capabilities == Capabilities(create_only=False, compare_and_swap=False)
    assert store.create("names/a.json", b"first")
    assert not store.create("names/a.json", b"second")
    assert store.create("names/a.json", b"first")  # what is there is ours
    etag = store.put("catalog.json", b"first")
    assert store.replace("catalog.json", b"second", "0" * 32) is None
    assert store.replace("catalog.json", b"second", etag) is not None


def test_a_lost_reply_does_not_mislead_the_probe(gateway: S3Server) -> None:
    with Proxy(gateway.url) as proxy:
        store = S3Store(gateway.new_bucket(endpoint_url=gateway.url))
        store = S3Store(gateway.settings(store._bucket, endpoint_url=proxy.url))
        proxy.once("PUT", "/probe/", Fault(lose_reply=True))
        assert store.capabilities == Capabilities(True, True)


@pytest.mark.parametrize("status", [501, 400])
def test_a_store_that_refuses_the_headers_is_written_to_without_them(moto: S3Server, status: int) -> None:
    """Backblaze B2 answers "a header you provided implies functionality that is not implemented"."""
    bucket = moto.new_bucket().bucket
    with Proxy(moto.url) as proxy:
        proxy.rule = lambda request: (
            Fault(fail_before=True, status=status)
            if request.method == "PUT" and {"if-match", "if-none-match"} & set(request.headers)
            else None
        )
        store = S3Store(moto.settings(bucket, endpoint_url=proxy.url))
        assert store.capabilities == Capabilities(create_only=False, compare_and_swap=False)
        assert store.create("names/a.json", b"first")
        assert not store.create("names/a.json", b"second")


# ---------------------------------------------------------------- unclear outcomes


@pytest.fixture
def proxied(s3_server: S3Server) -> tuple[Proxy, S3Store]:
    bucket = s3_server.new_bucket().bucket
    proxy = Proxy(s3_server.url)
    store = S3Store(s3_server.settings(bucket, endpoint_url=proxy.url))
    assert store.capabilities.create_only  # probed before any fault
    return proxy, store


@pytest.mark.parametrize(
    "fault", [Fault(lose_reply=True), Fault(fail_after=True), Fault(refuse=True), Fault(fail_before=True)]
)
def test_a_conditional_put_is_settled_by_reading_back(proxied: tuple[Proxy, S3Store], fault: Fault) -> None:
    """The reply to a commit is lost, or comes as a 500: boto3's own retry would answer 412 to our own success."""
    proxy, store = proxied
    proxy.once("PUT", "/names/a.json", fault)
    assert store.create("names/a.json", b"ours")
    etag = store.put("catalog.json", b"first")
    proxy.once("PUT", "/catalog.json", fault)
    newer = store.replace("catalog.json", b"second", etag)
    assert newer is not None
    assert store.find_unless("catalog.json", newer).body == b""  # type: ignore[union-attr]


def test_a_500_on_a_lost_race_is_a_loss(proxied: tuple[Proxy, S3Store]) -> None:
    proxy, store = proxied
    store.put("names/a.json", b"theirs")
    proxy.once("PUT", "/names/a.json", Fault(fail_after=True))
    assert not store.create("names/a.json", b"ours")
    etag = store.put("catalog.json", b"first")
    store.put("catalog.json", b"theirs")
    proxy.once("PUT", "/catalog.json", Fault(fail_after=True))
    assert store.replace("catalog.json", b"second", etag) is None


def test_plain_requests_are_repeated(proxied: tuple[Proxy, S3Store]) -> None:
    proxy, store = proxied
    for method, fault in (
        ("PUT", Fault(fail_before=True)),
        ("GET", Fault(lose_reply=True)),
        ("DELETE", Fault(refuse=True)),
    ):
        proxy.once(method, "/k", fault)
        store.put("k", b"body")
        assert store.find("k").body == b"body"  # type: ignore[union-attr]
        store.delete("k")
        assert store.find("k") is None


def test_a_partition_is_never_a_success(proxied: tuple[Proxy, S3Store]) -> None:
    proxy, store = proxied
    proxy.partitioned = True
    with pytest.raises(StorageUnavailable, match="BUCKET_ENDPOINT_URL"):
        store.create("names/a.json", b"ours")
    with pytest.raises(StorageUnavailable, match="could not be reached"):
        store.put("k", b"")


def test_one_of_many_wins_each_race(gateway: S3Server) -> None:
    """On the real store: moto checks and sets without a lock, so a race there proves nothing."""
    settings = gateway.new_bucket()
    stores = [S3Store(settings, Capabilities(True, True)) for _ in range(6)]
    etag = stores[0].put("catalog.json", b"start")
    for attempt in range(5):
        created, replaced = race(stores, f"names/{attempt}.json", etag)
        assert created.count(True) == 1
        winners = [new for new in replaced if new]
        assert len(winners) == 1
        (etag,) = winners


def race(stores: list[S3Store], key: str, etag: str) -> tuple[list[bool], list[str | None]]:
    """Every store creates `key` and replaces the catalog, all at once."""
    created: list[bool] = []
    replaced: list[str | None] = []
    start = threading.Barrier(len(stores))

    def run(number: int) -> None:
        start.wait()
        created.append(stores[number].create(key, f"{key} by {number}".encode()))
        start.wait()
        replaced.append(stores[number].replace("catalog.json", f"{key} by {number}".encode(), etag))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return created, replaced


# ---------------------------------------------------------------- errors


def test_errors_name_the_bucket_and_the_remedy_never_the_key(gateway: S3Server) -> None:
    good = gateway.new_bucket()
    cases = {
        "create it or correct BUCKET_NAME": gateway.settings("no-such-bucket"),
        "correct BUCKET_ACCESS_KEY_ID": gateway.settings(good.bucket, access_key_id="nobody-knows-me"),
        "correct BUCKET_SECRET_ACCESS_KEY": gateway.settings(good.bucket, secret_access_key="not-the-secret"),
        "check BUCKET_ENDPOINT_URL": gateway.settings(good.bucket, endpoint_url="http://127.0.0.1:9"),
        "BUCKET_CA_BUNDLE": gateway.settings(good.bucket, endpoint_url=gateway.tls_url),
    }
    for remedy, settings in cases.items():
        store = S3Store(settings)
        for attempt in (lambda s: s.find("k"), lambda s: s.put("k", b""), lambda s: list(s.list(""))):
            with pytest.raises(StorageUnavailable) as caught:
                attempt(store)
            message = str(caught.value)
            assert remedy in message
            assert settings.bucket in message
            assert settings.access_key_id not in message
            assert settings.secret_access_key not in message
            assert "\n" not in message


def test_a_folder_store_stays_in_its_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "tree")
    for key in ("../outside", "/etc/passwd", "a/../../b", "a\\b", "a\0b"):
        with pytest.raises(StorageUnavailable, match="leads out"):
            store.put(key, b"")
    assert list(tmp_path.iterdir()) == []

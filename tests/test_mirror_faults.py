"""A spoilt network between a worker and the store, at every step of a registration: nothing is acknowledged that is
not there, nothing that is there is doubted, and what is cached goes on being spoken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mirror_workers import speech
from s3_proxy import Fault, Proxy
from s3_servers import S3Server

from voice_library.errors import NameTaken, StorageUnavailable, VoiceNotFound
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.library import MirroredLibrary
from voice_library.mirror.sweep import Sweep
from voice_library.mirror.verify import Verification
from voice_library.stores.s3 import S3Store
from voice_library.stores.settings import BucketSettings

ALICE, BOB = speech(1), speech(2)
STEPS = ("/names/", "/embeddings/", "/pending/", "/metadata/")


class Setting:
    """One worker behind a proxy, and the bucket as others see it."""

    def __init__(self, proxy: Proxy, bucket: BucketSettings, proxied: BucketSettings, folder: Path) -> None:
        self.proxy, self.bucket = proxy, bucket
        self.library = MirroredLibrary(S3Store(proxied), DiskCache(folder / "a", 100_000_000))
        self.folder = folder
        self.others: list[MirroredLibrary] = []
        self.library.register(speech(9), 24_000, "Earlier")  # probed, and names known to be claimed
        self.library.fold_thread.close()

    def elsewhere(self) -> MirroredLibrary:
        self.others.append(MirroredLibrary(S3Store(self.bucket), DiskCache(self.folder / "b", 100_000_000)))
        return self.others[-1]

    def close(self) -> None:
        self.proxy.rule, self.proxy.partitioned = lambda request: None, False
        for library in (self.library, *self.others):
            library.close()

    def faults(self) -> list[str]:
        return list(Verification(S3Store(self.bucket), has_claims=True).faults())


@pytest.fixture
def setting(gateway: S3Server, tmp_path: Path) -> Iterator[Setting]:
    bucket = gateway.new_bucket()
    with Proxy(gateway.url) as proxy:
        setting = Setting(proxy, bucket, gateway.settings(bucket.bucket, endpoint_url=proxy.url), tmp_path)
        yield setting
        setting.close()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", ["lose_reply", "fail_after", "refuse"])
def test_one_spoilt_exchange_is_made_good(setting: Setting, step: str, fault: str) -> None:
    """The store committed and the reply was lost, or came as a 500, or the request never arrived."""
    setting.proxy.once("PUT", step, Fault(**{fault: True}))
    voice = setting.library.register(ALICE, 24_000, "Alice")
    other = setting.elsewhere()
    assert other.get(voice_name="Alice").voice_id == voice.voice_id
    assert np.array_equal(other.reference_audio(voice), ALICE)
    assert other.count() == 2
    other.fold_thread.ask()
    other.fold_thread.close()
    assert setting.faults() == []


@pytest.mark.parametrize("step", STEPS)
def test_a_partition_in_the_middle_acknowledges_nothing_that_is_not_there(setting: Setting, step: str) -> None:
    """From one step on the store cannot be reached: before it hears of the step, or after it has carried it out."""

    def partition(request: object) -> Fault | None:
        if getattr(request, "method", "") == "PUT" and step in getattr(request, "path", ""):
            setting.proxy.partitioned = True
        return None

    setting.proxy.rule = partition
    with pytest.raises(StorageUnavailable) as caught:
        setting.library.register(ALICE, 24_000, "Alice")
    assert setting.bucket.bucket in str(caught.value)
    is_committed = step == "/metadata/"  # it got through, and nobody could know: not acknowledged, but whole
    if is_committed:
        assert np.array_equal(setting.elsewhere().reference_audio(setting.elsewhere().get(voice_name="Alice")), ALICE)
    else:
        with pytest.raises(VoiceNotFound):
            setting.elsewhere().get(voice_name="Alice")
    setting.proxy.rule, setting.proxy.partitioned = lambda request: None, False
    again = setting.library.register(ALICE, 24_000, "Alice")  # the same request again, as a queue would
    assert setting.elsewhere().get(voice_name="Alice").voice_id == again.voice_id
    assert setting.elsewhere().count() == 2
    setting.library.fold_thread.ask()
    other = setting.elsewhere()
    other.fold_thread.ask()
    other.close()
    assert setting.faults() == []


def test_a_partition_leaves_a_name_that_is_free_again(setting: Setting) -> None:
    """The name of a registration that died is not given away while it may be alive, and not lost for ever."""
    setting.proxy.rule = lambda request: (
        Fault(refuse=True) if request.method == "DELETE" or "/pending/" in request.path else None
    )
    with pytest.raises(StorageUnavailable):
        setting.library.register(ALICE, 24_000, "Alice")
    with pytest.raises(NameTaken, match="at this moment"):
        setting.elsewhere().register(BOB, 24_000, "Alice")
    sweep = Sweep(S3Store(setting.bucket), min_age_s=0)
    sweep.remove(sweep.debris())
    voice = setting.elsewhere().register(BOB, 24_000, "Alice")
    assert setting.elsewhere().get(voice_name="Alice").voice_id == voice.voice_id


@pytest.mark.parametrize("died_at", ["/embeddings/", "/pending/", "/metadata/"])
def test_an_attempt_that_died_is_joined_by_the_same_recording_at_once(setting: Setting, died_at: str) -> None:
    """Also where the id is a longer one, because the first was used by a voice that is deleted."""
    library = setting.library
    deleted = library.register(ALICE, 24_000, "Alice")
    library.delete(deleted)
    setting.proxy.rule = lambda request: (
        Fault(refuse=True) if request.method in ("PUT", "DELETE") and died_at in request.path else None
    )
    give_back = setting.proxy.rule
    setting.proxy.rule = lambda request: (
        give_back(request) or (Fault(refuse=True) if request.method == "DELETE" and "/names/" in request.path else None)
    )
    with pytest.raises(StorageUnavailable):
        library.register(ALICE, 24_000, "Alice")
    voice = setting.elsewhere().register(ALICE, 24_000, "Alice")
    assert voice.voice_id != deleted.voice_id
    assert np.array_equal(setting.elsewhere().reference_audio(voice), ALICE)
    assert setting.elsewhere().get(voice_name="Alice").voice_id == voice.voice_id


def test_cached_voices_are_spoken_during_a_partition(setting: Setting) -> None:
    library = setting.library
    voice = library.register(ALICE, 24_000, "Alice")
    library.get(voice_name="Alice")
    setting.elsewhere().register(BOB, 24_000, "Bob")
    setting.proxy.partitioned = True
    for found in (library.get(voice_id=voice.voice_id), library.get(voice_name="alice")):
        assert np.array_equal(library.reference_audio(found), ALICE)
    restarted = MirroredLibrary(library.store, DiskCache(library.cache.disk.root, 100_000_000))
    assert restarted.get(voice_name="Alice") == voice
    assert library.conditionals(voice).read("base") is None
    for request in (
        lambda: library.get(voice_name="Bob"),
        lambda: library.list_voices(),
        lambda: library.register(BOB, 24_000, "Carol"),
        lambda: library.rename(voice, "Dora"),
        lambda: library.delete(voice),
    ):
        with pytest.raises(StorageUnavailable, match="could not be reached"):
            request()
    assert library.get(voice_id=voice.voice_id).name == "Alice"


def test_a_slow_store_delays_no_answer(setting: Setting) -> None:
    """While the fold waits for the store, registrations and lookups go on."""
    held = []
    setting.proxy.rule = lambda request: (
        held.append(request) or Fault(delay_s=3) if "voice_catalog.json" in request.path else None
    )
    setting.library.fold_thread = type(setting.library.fold_thread)(setting.library.fold.run)
    started = time.monotonic()
    for number in range(12):
        setting.library.register(speech(100 + number), 24_000, f"Voice {number}")
        time.sleep(0.1)
        setting.library.get(voice_name=f"Voice {number}")
    assert time.monotonic() - started < 12 * 0.5
    setting.library.close()
    assert held, "no fold ran meanwhile"
    assert setting.faults() == []

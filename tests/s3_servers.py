"""Real stores for the tests: Ceph RADOS Gateway from Debian packages, and moto as the quick second one.

Each server is a child process of the test session, bound to 127.0.0.1 on free ports, with its data in a temporary
folder, and is ended by its own pid. Nothing here knows of voices. `builder/install_test_packages.sh` installs Ceph.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from voice_library.stores.settings import BucketSettings

CEPH_PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool", "openssl")
ACCESS_KEY_ID, SECRET_ACCESS_KEY = "testaccesskey", "testsecretkey0123456789"
MAX_BYTES = 4 << 30  # of objects; an upper bound, neither memory nor disk is taken beforehand

CEPH_ENTITIES = {  # all in one keyring, which the monitor takes in when it is made
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "client.rgw.a": {"mon": "allow rw", "osd": "allow rwx", "mgr": "allow rw"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *", "mgr": "allow profile osd"},
}
CEPH_CONF = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_v2}/0,v1:127.0.0.1:{mon_v1}/0
mon initial members = a
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {home}/keyring
run dir = {home}
admin socket =
pid file =
log file = {home}/$name.log
log to stderr = false
crash dir = {home}/crash
setuser match path =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
paxos propose interval = 0.05
paxos min wait = 0.01
[mon]
mon data = {home}/mon
[osd]
osd data = {home}/osd
osd objectstore = {objectstore}
memstore device bytes = {max_bytes}
bluestore block size = {max_bytes}
bluestore block create = true
bluestore block wal size = 0
bluestore block db size = 0
bluestore fsck on mount = false
osd class dir = {class_dir}
osd max object name len = 1024
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{http} tcp_nodelay=1 ssl_endpoint={https} ssl_certificate={home}/tls.pem
rgw data = {home}/rgw
rgw thread pool size = 64
rgw enable usage log = false
rgw override bucket index max shards = 1
rgw dynamic resharding = false
debug rgw = 0
"""


def missing_programs() -> list[str]:
    """What the gateway needs and this machine lacks."""
    return [program for program in CEPH_PROGRAMS if shutil.which(program) is None]


@dataclass(frozen=True)
class S3Server:
    """Where a running store answers. `tls_url` and `ca_bundle` are empty where it speaks plain HTTP only."""

    name: str
    url: str
    tls_url: str = ""
    ca_bundle: str = ""

    def settings(self, bucket: str, **changes: object) -> BucketSettings:
        """Settings for `bucket` on this server; changes are fields of BucketSettings."""
        fields = {
            "endpoint_url": self.url,
            "bucket": bucket,
            "access_key_id": ACCESS_KEY_ID,
            "secret_access_key": SECRET_ACCESS_KEY,
        }
        return BucketSettings(**{**fields, **changes})  # type: ignore[arg-type]

    def new_bucket(self, **changes: object) -> BucketSettings:
        """Settings for a new, empty bucket."""
        settings = self.settings(f"b-{uuid.uuid4().hex[:12]}", **changes)
        make_bucket(settings)
        return settings


def make_bucket(settings: BucketSettings) -> None:
    """Create the bucket of these settings."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=settings.endpoint_url,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        region_name="us-east-1",
        verify=settings.ca_bundle or None,
    )
    client.create_bucket(Bucket=settings.bucket)
    client.close()


@contextlib.contextmanager
def running_gateway(home: Path, *, on_disk: bool = False, max_bytes: int = MAX_BYTES) -> Iterator[S3Server]:
    """A whole Ceph in `home`: one monitor, one OSD, one gateway with HTTP and TLS.

    on_disk: keep objects in a sparse file instead of in memory, which starts quicker but takes 70 KB an object.
    """
    mon_v1, mon_v2, http, https = free_ports(4)
    home.mkdir(parents=True, exist_ok=True)
    for folder in ("crash", "rgw", "osd", "mon"):
        (home / folder).mkdir()
    conf = CEPH_CONF.format(
        fsid=uuid.uuid4(), home=home, mon_v1=mon_v1, mon_v2=mon_v2, http=http, https=f"127.0.0.1:{https}",
        max_bytes=max_bytes, objectstore="bluestore" if on_disk else "memstore", class_dir=_rados_classes(),
    )  # fmt: skip
    (home / "ceph.conf").write_text(conf, encoding="utf-8")
    ceph = _Ceph(home)
    try:
        ceph.start(mon_v1, mon_v2)
        url = f"http://127.0.0.1:{http}"
        wait_until(lambda: answers(url), "the gateway answers", timeout_s=20)
        yield S3Server("rgw", url, f"https://127.0.0.1:{https}", str(home / "tls.crt"))
    finally:
        ceph.stop()


class _Ceph:
    """The daemons of one cluster, as children of this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, mon_v1: int, mon_v2: int) -> None:
        home = self.home
        fsid = next(line.split()[-1] for line in (home / "ceph.conf").read_text().splitlines() if "fsid" in line)
        for entity, capabilities in CEPH_ENTITIES.items():
            create = [] if (home / "keyring").exists() else ["--create-keyring"]
            caps = [part for service, what in capabilities.items() for part in ("--cap", service, what)]
            self._run("ceph-authtool", *create, home / "keyring", "--gen-key", "-n", entity, *caps)
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a",
                  f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]", home / "monmap")  # fmt: skip
        self._ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", home / "monmap", "--keyring", home / "keyring")
        self._daemon("ceph-mon", "-i", "a", "--public-addr", f"127.0.0.1:{mon_v1}")
        self._make_certificate()
        osd_uuid = str(uuid.uuid4())
        self._ceph("ceph", "--connect-timeout", "60", "osd", "new", osd_uuid)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_uuid)
        self._daemon("ceph-osd", "-i", "0")
        with ThreadPoolExecutor(1) as beside:  # both make the same pools; together they take as long as one
            user = beside.submit(
                self._ceph, "radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid=tests",
                "--display-name=tests", f"--access-key={ACCESS_KEY_ID}", f"--secret-key={SECRET_ACCESS_KEY}",
            )  # fmt: skip
            self._daemon("radosgw", "-n", "client.rgw.a")
            user.result()

    def stop(self) -> None:
        for child in reversed(self.children):  # memory only: nothing to flush
            child.kill()
            child.wait()

    def _make_certificate(self) -> None:
        key, certificate = self.home / "tls.key", self.home / "tls.crt"
        self._run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                  "-days", "30", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")  # fmt: skip
        (self.home / "tls.pem").write_text(key.read_text() + certificate.read_text())

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run([str(part) for part in command], capture_output=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-2000:]}")

    def _ceph(self, program: str, *arguments: str | Path) -> None:
        self._run(program, "-c", self.home / "ceph.conf", *arguments)

    def _daemon(self, program: str, *arguments: str) -> None:
        with (self.home / f"{program}.out").open("wb") as output:
            command = [program, "-f", "-c", str(self.home / "ceph.conf"), *arguments]
            self.children.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))


def _rados_classes() -> str:
    found = [path for path in Path("/usr/lib").glob("*/rados-classes") if path.is_dir()]
    return str(found[0] if found else "/usr/lib/rados-classes")


@contextlib.contextmanager
def running_moto(home: Path) -> Iterator[S3Server]:
    """The moto server: starts in about 2 s, and answers every conditional request correctly but without a lock."""
    home.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    with (home / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), "moto answers", timeout_s=20)
        yield S3Server("moto", url)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True  # a refusal is an answer
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"after {timeout_s:g} s still not true: {what}")
        time.sleep(0.1)

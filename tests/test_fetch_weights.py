"""Fetching weights: complete, resumed, checked, and not twice. Against a Hub on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import hub_server
import numpy as np
import pytest
from hub_server import HubServer

from synthesis.errors import WeightsNotFound
from synthesis.weights import MODELS, ModelFile, Repository, missing_files
from synthesis.weights_hub import CHECKSUMS, COMMIT, fetch, fetchable

ROOT = Path(__file__).parents[1]
pytest.importorskip("huggingface_hub", reason="the light set fetches no weights")

CONTENT = {
    "large.safetensors": np.random.default_rng(0).bytes(3_000_000),
    "tokenizer.json": b'{"model": {}}',
}
UNPINNED = Repository("owner/model", hub_server.COMMIT, tuple(ModelFile(name) for name in CONTENT))
PINNED = Repository(
    "owner/model",
    hub_server.COMMIT,
    tuple(ModelFile(name, hub_server.sha256(content)) for name, content in CONTENT.items()),
)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer(dict(CONTENT), etags={"tokenizer.json": hub_server.git_sha1(CONTENT["tokenizer.json"])}) as server:
        yield server


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".fetching.lock"}


@pytest.mark.parametrize("wanted", [PINNED, UNPINNED], ids=["pinned", "unpinned"])
def test_fetches_every_file_and_records_checksums(hub: HubServer, tmp_path: Path, wanted: Repository) -> None:
    fetch(wanted, tmp_path, hub.endpoint)
    assert {name: (tmp_path / name).read_bytes() for name in CONTENT} == CONTENT
    assert files_in(tmp_path) == {*CONTENT, CHECKSUMS, COMMIT}
    checked = subprocess.run(["sha256sum", "--check", "--quiet", CHECKSUMS], cwd=tmp_path, check=False)
    assert checked.returncode == 0


@pytest.mark.parametrize("wanted", [PINNED, UNPINNED], ids=["pinned", "unpinned"])
def test_a_second_call_transfers_nothing(hub: HubServer, tmp_path: Path, wanted: Repository) -> None:
    fetch(wanted, tmp_path, hub.endpoint)
    hub.num_bytes_sent.clear()
    fetch(wanted, tmp_path, hub.endpoint)
    assert hub.num_bytes_sent == {}


def test_a_second_call_needs_no_hub(hub: HubServer, tmp_path: Path) -> None:
    fetch(UNPINNED, tmp_path, hub.endpoint)
    fetch(UNPINNED, tmp_path, "http://127.0.0.1:1")  # nothing listens there


def test_only_a_file_that_changed_on_disk_is_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    fetch(UNPINNED, tmp_path, hub.endpoint)
    damaged = bytearray(CONTENT["large.safetensors"])
    damaged[1234] ^= 1
    (tmp_path / "large.safetensors").write_bytes(damaged)
    hub.num_bytes_sent.clear()
    fetch(UNPINNED, tmp_path, hub.endpoint)
    assert hub.num_bytes_sent == {"large.safetensors": 3_000_000}
    assert (tmp_path / "large.safetensors").read_bytes() == CONTENT["large.safetensors"]


def test_a_broken_line_is_resumed_where_it_broke(hub: HubServer, tmp_path: Path) -> None:
    hub.breaks_at["large.safetensors"] = 1_000_000
    fetch(PINNED, tmp_path, hub.endpoint, retry_wait_s=0.01)
    assert (tmp_path / "large.safetensors").read_bytes() == CONTENT["large.safetensors"]
    assert hub.num_bytes_sent["large.safetensors"] == 3_000_000
    assert hub.ranges == ["bytes=0-", "bytes=1000000-", "bytes=0-"]


def test_a_server_that_ignores_ranges_sends_all_of_it_again(hub: HubServer, tmp_path: Path) -> None:
    hub.breaks_at["large.safetensors"], hub.honours_ranges = 1_000_000, False
    fetch(PINNED, tmp_path, hub.endpoint, retry_wait_s=0.01)
    assert (tmp_path / "large.safetensors").read_bytes() == CONTENT["large.safetensors"]


def test_a_busy_server_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    hub.num_busy = 2
    fetch(PINNED, tmp_path, hub.endpoint, retry_wait_s=0.01)
    assert (tmp_path / "large.safetensors").read_bytes() == CONTENT["large.safetensors"]


def test_a_process_that_died_is_continued_by_the_next(hub: HubServer, tmp_path: Path) -> None:
    hub.breaks_at["large.safetensors"], hub.breaks_once = 2_000_000, False
    command = [sys.executable, "-c", "import test_fetch_weights as t; t.fetch_until_killed()"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "HUB_ENDPOINT": hub.endpoint, "HUB_FOLDER": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_for_partial(tmp_path, 2_000_000)
        process.kill()
    hub.breaks_at.clear()
    hub.num_bytes_sent.clear()
    fetch(PINNED, tmp_path, hub.endpoint)
    assert (tmp_path / "large.safetensors").read_bytes() == CONTENT["large.safetensors"]
    assert hub.num_bytes_sent["large.safetensors"] == 1_000_000
    assert files_in(tmp_path) == {*CONTENT, CHECKSUMS, COMMIT}


def fetch_until_killed() -> None:
    """What the process above runs: it waits long between two requests."""
    fetch(PINNED, Path(os.environ["HUB_FOLDER"]), os.environ["HUB_ENDPOINT"], retry_wait_s=300)


def wait_for_partial(folder: Path, num_bytes: int) -> None:
    ticks = threading.Event()
    for _ in range(300):
        if any(path.stat().st_size >= num_bytes for path in folder.glob(".large*.part")):
            return
        ticks.wait(0.1)
    raise AssertionError("the other process fetched nothing")


def test_a_line_that_always_breaks_is_an_error_and_keeps_what_came(hub: HubServer, tmp_path: Path) -> None:
    hub.breaks_at["large.safetensors"], hub.breaks_once = 2_100_000, False
    with pytest.raises(WeightsNotFound, match=r"could not be fetched .* fetch again to resume"):
        fetch(UNPINNED, tmp_path, hub.endpoint, retry_wait_s=0.01)
    assert not (tmp_path / CHECKSUMS).exists()
    assert [path.stat().st_size for path in tmp_path.glob(".large*.part")] == [2_100_000]


@pytest.mark.parametrize("wanted", [PINNED, UNPINNED], ids=["pinned", "unpinned"])
def test_a_file_with_a_wrong_checksum_is_refused_and_deleted(
    hub: HubServer, tmp_path: Path, wanted: Repository
) -> None:
    hub.etags["large.safetensors"] = hub_server.sha256(CONTENT["large.safetensors"])
    hub.files["large.safetensors"] = CONTENT["large.safetensors"][::-1]
    with pytest.raises(WeightsNotFound, match="has the checksum"):
        fetch(wanted, tmp_path, hub.endpoint)
    assert files_in(tmp_path) == set()
    hub.files["large.safetensors"] = CONTENT["large.safetensors"]
    fetch(wanted, tmp_path, hub.endpoint)


def test_a_file_the_hub_lacks_is_named(hub: HubServer, tmp_path: Path) -> None:
    del hub.files["tokenizer.json"]
    with pytest.raises(WeightsNotFound, match=r"tokenizer\.json of owner/model"):
        fetch(PINNED, tmp_path, hub.endpoint)


def test_what_another_commit_left_half_done_is_not_continued(hub: HubServer, tmp_path: Path) -> None:
    older = b"x" * 1000
    (tmp_path / f".large.safetensors.{hub_server.sha256(older)[:16]}.part").write_bytes(older[:500])
    fetch(PINNED, tmp_path, hub.endpoint)
    assert set(hub.ranges) == {"bytes=0-"}


def test_two_at_once_fetch_once(hub: HubServer, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(PINNED, tmp_path, hub.endpoint)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert hub.num_bytes_sent == {name: len(content) for name, content in CONTENT.items()}


def test_fetchable_tells_whether_the_hub_answers(hub: HubServer) -> None:
    assert fetchable(PINNED, hub.endpoint)
    assert not fetchable(PINNED, "http://127.0.0.1:1")


# All that the image has at this step, so that other changes of the code do not fetch the weights again.
NEEDED = ["builder/fetch_weights.py", "synthesis/errors.py", "synthesis/weights.py", "synthesis/weights_hub.py"]


def run_script(folder: Path, *arguments: str, endpoint: str) -> subprocess.CompletedProcess[str]:
    """builder/fetch_weights.py as the image build runs it, into folder/models."""
    for name in NEEDED:
        (folder / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "app" / name)
    return subprocess.run(
        [sys.executable, folder / "app/builder/fetch_weights.py", "--to", folder / "models", *arguments],
        cwd="/",
        env={**os.environ, "HF_ENDPOINT": endpoint, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_refuses_a_hub_that_sends_something_else(tmp_path: Path) -> None:
    pinned = MODELS["base"]
    with HubServer({file.name: b"not it" for file in pinned.files}, repo_id=pinned.repo_id) as hub:
        ran = run_script(tmp_path, "--revision", hub_server.COMMIT, endpoint=hub.endpoint)
        assert ran.returncode == 1
        assert ran.stdout.startswith("weights: ResembleAI/chatterbox at 0123")
        assert "ve.safetensors is damaged" in ran.stdout
    unreachable = run_script(tmp_path, endpoint="http://127.0.0.1:1")
    assert unreachable.returncode == 1
    assert unreachable.stderr.strip().splitlines()[-1].startswith("weights: ve.safetensors of ResembleAI/chatterbox")
    assert "Traceback" not in unreachable.stderr


def test_the_script_fetches_a_complete_set(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save

    torch.save({"t3": {}, "gen": {}}, tmp_path / "conds.pt")
    tensors = save({"weight": torch.arange(1000.0)})
    content = dict.fromkeys(("ve.safetensors", "t3_cfg.safetensors", "s3gen.safetensors"), tensors)
    content |= {"tokenizer.json": b"{}", "conds.pt": (tmp_path / "conds.pt").read_bytes()}
    with HubServer(content, repo_id="ResembleAI/chatterbox") as hub:
        ran = run_script(tmp_path, "--revision", hub_server.COMMIT, endpoint=hub.endpoint)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("complete\n")
    assert missing_files(MODELS["base"], tmp_path / "models") == []

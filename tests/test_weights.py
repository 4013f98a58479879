"""Where weights are found, what makes a set complete, and what they are known by."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

import pytest

from synthesis.errors import InvalidOption, WeightsNotFound
from synthesis.weights import MODELS, download_folder, find_weights, missing_files, weights_revision

BASE = MODELS["base"]
SNAPSHOTS = Path("models--ResembleAI--chatterbox/snapshots")


def safetensors(content: bytes = b"0123") -> bytes:
    header = json.dumps(
        {"weight": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + content


def make_weights(folder: Path, content: bytes = b"0123") -> Path:
    folder.mkdir(parents=True)
    for name in ("ve", "t3_cfg", "s3gen"):
        (folder / f"{name}.safetensors").write_bytes(safetensors(content))
    (folder / "tokenizer.json").write_text("{}")
    with zipfile.ZipFile(folder / "conds.pt", "w") as archive:
        archive.writestr(zipfile.ZipInfo("data"), "voice")  # dated 1980: by name alone it would hold the time of day
    return folder


def make_snapshot(hub: Path, commit: str) -> Path:
    refs = hub / "models--ResembleAI--chatterbox/refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(commit)
    return make_weights(hub / SNAPSHOTS / commit)


def test_the_first_complete_place_wins(tmp_path: Path) -> None:
    volume, hf_home, model_dir = tmp_path / "volume", tmp_path / "hf", tmp_path / "models/chatterbox"
    places = {
        "downloaded earlier": make_weights(download_folder(BASE, hf_home)),
        "Hugging Face cache": make_snapshot(hf_home / "hub", "abc"),
        "network volume": make_weights(volume / "models/chatterbox"),
        "MODEL_DIR": make_weights(model_dir),
        "RunPod's cached model": make_snapshot(volume / "huggingface-cache/hub", "def"),
    }
    for source, folder in reversed(places.items()):
        found = find_weights("base", model_dir=model_dir, hf_home=hf_home, volume=volume)
        assert (found.source, found.directory) == (source, folder)
        (folder / "t3_cfg.safetensors").unlink()
    with pytest.raises(WeightsNotFound):
        find_weights("base", model_dir=model_dir, hf_home=hf_home, volume=volume)


def test_the_pinned_snapshot_goes_before_the_newest(tmp_path: Path) -> None:
    make_snapshot(tmp_path / "hub", "newest")
    pinned = make_weights(tmp_path / "hub" / SNAPSHOTS / BASE.revision)
    assert find_weights("base", hf_home=tmp_path, volume=tmp_path / "none").directory == pinned


def test_links_of_a_hugging_face_cache_are_followed(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "hub", "abc")
    blob = tmp_path / "blob"
    (snapshot / "ve.safetensors").rename(blob)
    (snapshot / "ve.safetensors").symlink_to(blob)
    assert find_weights("base", hf_home=tmp_path, volume=tmp_path / "none").directory == snapshot
    blob.unlink()
    with pytest.raises(WeightsNotFound, match=r"ve\.safetensors is missing"):
        find_weights("base", hf_home=tmp_path, volume=tmp_path / "none")


def test_the_error_names_every_place_and_the_remedy(tmp_path: Path) -> None:
    half = make_weights(tmp_path / "half")
    (half / "ve.safetensors").unlink()
    with pytest.raises(WeightsNotFound) as raised:
        find_weights("base", model_dir=half, hf_home=tmp_path / "hf", volume=tmp_path / "volume")
    message = str(raised.value)
    assert "\n" not in message
    assert f"{half} (MODEL_DIR: ve.safetensors is missing)" in message
    for place in ("volume/huggingface-cache", "volume/models/chatterbox", "hf/hub", "no such folder"):
        assert place in message
    assert "set MODEL_DIR" in message
    assert "python builder/fetch_weights.py --model base --to DIR" in message


def test_a_model_dir_that_is_passed_over_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_snapshot(tmp_path / "hf/hub", "abc")
    with caplog.at_level(logging.WARNING):
        find_weights("base", model_dir=tmp_path / "typo", hf_home=tmp_path / "hf", volume=tmp_path / "none")
    assert "MODEL_DIR cannot be used" in caplog.text
    assert "typo" in caplog.text


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(InvalidOption, match="'giant' is unknown; allowed is base"):
        find_weights("giant")


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("ve.safetensors", safetensors()[:-1], "cut short"),
        ("ve.safetensors", safetensors() + b"x", "too long"),
        ("t3_cfg.safetensors", safetensors()[:20], "is damaged"),
        ("t3_cfg.safetensors", b"", "is damaged"),
        ("s3gen.safetensors", b"version https://git-lfs.github.com/spec/v1\nsize 1056484620\n", "is damaged"),
        ("s3gen.safetensors", (2).to_bytes(8, "little") + b"[]", "is damaged"),
        ("s3gen.safetensors", (9).to_bytes(8, "little") + b'{"a": {}}', "is damaged"),
        ("tokenizer.json", b'{"model": ', "is damaged"),
        ("tokenizer.json", b"\xff\xfe", "is damaged"),
        ("conds.pt", b"PK\x03\x04 and no more", "is damaged"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_whole_is_named(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    folder = make_weights(tmp_path / "weights")
    assert missing_files(BASE, folder) == []
    (folder / name).write_bytes(content)
    [found] = missing_files(BASE, folder)
    assert found.startswith(name)
    assert fault in found


def test_the_built_in_voice_may_be_missing(tmp_path: Path) -> None:
    folder = make_weights(tmp_path / "weights")
    (folder / "conds.pt").unlink()
    assert missing_files(BASE, folder) == []
    (folder / "tokenizer.json").unlink()
    assert missing_files(BASE, folder) == ["tokenizer.json is missing"]


def test_the_revision_is_that_of_the_content(tmp_path: Path) -> None:
    large = bytes(range(256)) * 20_000  # more than is sampled
    one, other = make_weights(tmp_path / "one", large), make_weights(tmp_path / "other", large)
    revision = weights_revision("base", one)
    assert weights_revision("base", other) == revision
    # A fine-tune: the same names, shapes and sizes, other numbers.
    (other / "t3_cfg.safetensors").write_bytes(safetensors(bytes(reversed(large))))
    assert weights_revision("base", other) != revision
    (one / "conds.pt").unlink()
    assert weights_revision("base", one) != revision


def fill(folder: Path, model: str, *, optional: bool = True) -> None:
    """A complete set of any model, of next to nothing."""
    folder.mkdir(parents=True)
    for file in MODELS[model].files:
        path = folder / file.name
        if not file.required and not optional:
            continue
        if path.suffix == ".safetensors":
            path.write_bytes(safetensors())
        elif path.suffix == ".pt":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(zipfile.ZipInfo("data"), "tensors")
        else:
            path.write_text("{}")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optional", [True, False])
def test_every_model_is_found_and_known_by_its_files(tmp_path: Path, model: str, optional: bool) -> None:
    fill(tmp_path / model, model, optional=optional)
    assert find_weights(model, model_dir=tmp_path / model, hf_home=tmp_path, volume=tmp_path / "none").model == model
    known = weights_revision(model, tmp_path / model)
    last = tmp_path / model / MODELS[model].files[1].name
    last.write_bytes(safetensors(b"4567"))
    assert weights_revision(model, tmp_path / model) != known
    for file in MODELS[model].files:
        if file.required:
            (tmp_path / model / file.name).write_bytes(b"")
            assert any(fault.startswith(file.name) for fault in missing_files(MODELS[model], tmp_path / model))


def test_models_of_one_repository_share_its_folder() -> None:
    assert MODELS["multilingual"].folder == BASE.folder != MODELS["turbo"].folder
    assert MODELS["multilingual"].revision == BASE.revision

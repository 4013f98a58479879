"""Where a complete set of model weights lies on this machine.

Knows nothing of torch, engines, downloads (`weights_hub` fetches) or the environment: every root is a parameter.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthesis.errors import InvalidOption, WeightsNotFound

logger = logging.getLogger(__name__)

RUNPOD_VOLUME = Path("/runpod-volume")  # where RunPod mounts its model cache and network volumes


@dataclass(frozen=True)
class ModelFile:
    """A file of a model repository. sha256 None: whatever the Hub says it is."""

    name: str
    sha256: str | None = None
    required: bool = True


@dataclass(frozen=True)
class Repository:
    """A model's files on the Hugging Face Hub, at one commit."""

    repo_id: str
    revision: str
    files: tuple[ModelFile, ...]

    @property
    def folder(self) -> str:
        """Name of the plain folder these weights are kept in."""
        return self.repo_id.rpartition("/")[2].lower()


# The files that `from_local` of chatterbox-tts 0.1.7's three classes read. Commits and checksums as several public
# repositories pin them; a download that differs is refused, so a wrong digit here cannot go unnoticed.
_REPOSITORY, _COMMIT = "ResembleAI/chatterbox", "5bb1f6ee58e50c3b8d408bc82a6d3740c2db6e18"
MODELS = {
    "base": Repository(
        _REPOSITORY,
        _COMMIT,
        (
            ModelFile("ve.safetensors", "f0921cab452fa278bc25cd23ffd59d36f816d7dc5181dd1bef9751a7fb61f63c"),
            ModelFile("t3_cfg.safetensors", "914cb1696f47527fe8852ca8f1fe1fa63cb34f76f9c715e84e067b744dd0da81"),
            ModelFile("s3gen.safetensors", "2b78103c654207393955e4900aac14a12de8ef25f4b09424f1ef91941f161d4e"),
            ModelFile("tokenizer.json", "d71e3a44eabb1784df9a68e9f95b251ecbf1a7af6a9f50835856b2ca9d8c14a5"),
            # The built-in voice; without it every request must name one.
            ModelFile("conds.pt", "6552d70568833628ba019c6b03459e77fe71ca197d5c560cef9411bee9d87f4e", required=False),
        ),
    ),
    "turbo": Repository(
        "ResembleAI/chatterbox-turbo",
        "749d1c1a46eb10492095d68fbcf55691ccf137cd",
        (
            ModelFile("ve.safetensors", "f0921cab452fa278bc25cd23ffd59d36f816d7dc5181dd1bef9751a7fb61f63c"),
            ModelFile("t3_turbo_v1.safetensors", "fcf1f8c1d651bb7e3acd69ee5be269b4ac10c02980b7708213d598bc9f7cdf87"),
            ModelFile("s3gen_meanflow.safetensors", "d65cb687a2ed581ee6cc297e919ffefa63386944f42364ae13b78a594945514f"),
            ModelFile("vocab.json", "f6bd25a65e4e63ca31360e9fb11c7e4f9a391a78385d640acd814092dd6eee4f"),
            ModelFile("merges.txt", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
            ModelFile("tokenizer_config.json", "bca16a2ac1ddbd78b8d6228f0031884cc74b6ea54b967d6f6d2ebae9ccde23e6"),
            # What upstream's own package reads besides, should it be pointed at the folder.
            *(
                ModelFile(name, sha256, required=False)
                for name, sha256 in (
                    ("special_tokens_map.json", "92ba8063bf40aa163eadebbfe0de07c2aebe44cf0d4a9e8726580b0781fd2640"),
                    ("added_tokens.json", "72e4ab6acb0d9309ac3df4b526ae5fd80a2da5bc5ab7bb02d85096a374f69193"),
                )
            ),
            ModelFile("conds.pt", "b1852099306fd6a7814eb9d0bd10186caba7249596cc23868f78a0eefbfa5033", required=False),
        ),
    ),
    "multilingual": Repository(
        _REPOSITORY,
        _COMMIT,
        (
            ModelFile("ve.pt", "4b16d836bc598509860f6fa068165a8bb5e9ac84f05582dfcf278a5a372879f1"),
            ModelFile("t3_mtl23ls_v2.safetensors", "b1237586127ce98e7800a68e49938eb5092846862aabcb6e17b2fda7889a6c75"),
            ModelFile("s3gen.pt", "9b9ff07e60b20c136e2b1b3d7563a24604e8d2c4c267888d1ee929dd0151d2a3"),
            ModelFile(
                "grapheme_mtl_merged_expanded_v1.json",
                "69632f47220a788a52ce2661d096453c5655e9bf25289d89a8d832c46ee07dbf",
            ),
            # Chinese is written with it; without it the other languages are still spoken.
            ModelFile(
                "Cangjie5_TC.json", "7073fd9de919443ae88e0bd2449917a65fe54898a4413ed1edcc4b67f28bce8c", required=False
            ),
            ModelFile("conds.pt", "6552d70568833628ba019c6b03459e77fe71ca197d5c560cef9411bee9d87f4e", required=False),
        ),
    ),
}


def repository(model: str) -> Repository:
    """Where the weights of a model come from; InvalidOption for a model we do not know."""
    if model not in MODELS:
        raise InvalidOption(f"model {model!r} is unknown; allowed is {', '.join(MODELS)}; choose one of these")
    return MODELS[model]


@dataclass(frozen=True)
class Weights:
    """A complete set of weights in a folder. `source` says which kind of place it was found in."""

    model: str
    directory: Path
    source: str


def weights_revision(model: str, directory: Path) -> str:
    """What the weights in a folder are, hex: conditionals of one revision are worth nothing to another.

    SHA-256 over every file's name, size, first bytes (a safetensors header among them) and evenly spaced samples of its
    data: a fine-tune has other values everywhere, so it is told apart without reading 3 GB.
    """
    digest = hashlib.sha256()
    for file in repository(model).files:
        path = directory / file.name
        if path.is_file():
            digest.update(f"{file.name} {path.stat().st_size}\n".encode())
            for sample in _samples(path):
                digest.update(sample)
    return digest.hexdigest()


_SAMPLE_BYTES = 4096  # a page
_NUM_SAMPLES = 256


def _samples(path: Path) -> Iterator[bytes]:
    """The start of a file and evenly spaced pages of the rest; all of a file smaller than the samples together."""
    size = path.stat().st_size
    stride = max(_SAMPLE_BYTES, size // _NUM_SAMPLES)
    with path.open("rb") as file:
        for offset in range(0, size, stride):
            file.seek(offset)
            yield file.read(_SAMPLE_BYTES)


def find_weights(
    model: str = "base",
    *,
    model_dir: Path | None = None,
    hf_home: Path | None = None,
    volume: Path = RUNPOD_VOLUME,
) -> Weights:
    """The first complete set of weights among RunPod's cached model, model_dir (where the image keeps what was baked
    into it), the network volume, the Hugging Face cache, and where we downloaded to earlier.

    hf_home None is the library's default, ~/.cache/huggingface. Raises WeightsNotFound with every place looked at and
    what it lacks, InvalidOption for an unknown model.
    """
    wanted = repository(model)
    looked_at = []
    for source, directory in _places(wanted, model_dir, hf_home or default_hf_home(), volume):
        faults = missing_files(wanted, directory)
        if not faults:
            return Weights(model, directory, source)
        looked_at.append(f"{directory} ({source}: {'; '.join(faults)})")
        if directory == model_dir:  # someone named it; that other weights will speak must not go unseen
            logger.warning("MODEL_DIR cannot be used: %s", looked_at[-1])
    names = ", ".join(file.name for file in wanted.files if file.required)
    raise WeightsNotFound(
        f"no complete weights of model {model}; looked at {', '.join(looked_at)}; set MODEL_DIR to a folder that holds "
        f"{names}, or fetch them: python builder/fetch_weights.py --model {model} --to DIR"
    )


def default_hf_home() -> Path:
    return Path.home() / ".cache" / "huggingface"


def download_folder(wanted: Repository, hf_home: Path) -> Path:
    """Where weights are downloaded to at run time: a plain folder, as RunPod's volume cache drops the symlinks that a
    Hugging Face cache is made of."""
    return hf_home / "worker-chatterbox" / wanted.folder


def _places(wanted: Repository, model_dir: Path | None, hf_home: Path, volume: Path) -> Iterator[tuple[str, Path]]:
    yield "RunPod's cached model", _snapshot(volume / "huggingface-cache" / "hub", wanted)
    if model_dir:
        yield "MODEL_DIR", model_dir
    yield "network volume", volume / "models" / wanted.folder
    yield "Hugging Face cache", _snapshot(hf_home / "hub", wanted)
    yield "downloaded earlier", download_folder(wanted, hf_home)


def _snapshot(hub: Path, wanted: Repository) -> Path:
    """The snapshot of the commit we pin, else the one `main` points to (the cache's layout: huggingface_hub's guide
    "Understand caching")."""
    cached = hub / f"models--{wanted.repo_id.replace('/', '--')}"
    pinned, main = cached / "snapshots" / wanted.revision, cached / "refs" / "main"
    if pinned.is_dir() or not main.is_file():
        return pinned
    return cached / "snapshots" / main.read_text().strip()


def missing_files(wanted: Repository, directory: Path) -> list[str]:
    """What is wrong with a folder of weights, one phrase a file; [] when the set is complete and every file whole."""
    if not directory.is_dir():
        return ["no such folder"]
    faults = ((file.name, _fault(directory / file.name, file.required)) for file in wanted.files)
    return [f"{name} {fault}" for name, fault in faults if fault]


def _fault(path: Path, required: bool) -> str | None:
    if not path.is_file():
        return "is missing" if required else None
    try:
        if path.suffix == ".safetensors":
            return _safetensors_fault(path)
        if path.suffix == ".json":
            return _json_fault(path)
        if path.suffix == ".txt":
            return None if path.stat().st_size else "is empty"
        # torch saves zip archives, whose directory comes last
        return None if zipfile.is_zipfile(path) else "is damaged"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


_MAX_HEADER_BYTES = 100_000_000  # the format's own limit


def _safetensors_fault(path: Path) -> str | None:
    """The format (its README): the header's length as 8 little-endian bytes, the header as JSON, the data."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(size - 8, _MAX_HEADER_BYTES):
            return "is damaged"
        try:
            header = json.loads(file.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return "is damaged"
    return None if size == expected else f"is cut short or too long: {size} of {expected} bytes"


def _json_fault(path: Path) -> str | None:
    try:
        json.loads(path.read_bytes())
    except ValueError:  # also what is not UTF-8
        return "is damaged"
    return None

"""Fetch a model's weights into a folder, resumably and checked; at once when they are there.

    python builder/fetch_weights.py --model base --to /models/chatterbox [--revision COMMIT]

HF_ENDPOINT names a mirror of the Hub. Exits 1 with one line when the weights could not be fetched.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # runs in the image build, where nothing of ours is installed

from synthesis.errors import SynthesisError
from synthesis.weights import MODELS, ModelFile, Repository, missing_files, repository
from synthesis.weights_hub import fetch


def at_revision(pinned: Repository, revision: str) -> Repository:
    """The repository at another commit, whose checksums only the Hub can tell."""
    if revision == pinned.revision:
        return pinned
    files = tuple(ModelFile(file.name, None, file.required) for file in pinned.files)
    return dataclasses.replace(pinned, revision=revision, files=files)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base", choices=MODELS, help="default: %(default)s")
    parser.add_argument("--to", type=Path, required=True, help="folder the files shall lie in")
    parser.add_argument("--revision", help="commit of the repository; default: the one whose checksums we pin")
    options = parser.parse_args(arguments)
    wanted = repository(options.model)
    wanted = at_revision(wanted, options.revision or wanted.revision)
    try:
        fetch(wanted, options.to)
    except (SynthesisError, OSError) as error:
        print(f"weights: {error}", file=sys.stderr)
        return 1
    faults = missing_files(wanted, options.to)
    print(f"weights: {wanted.repo_id} at {wanted.revision} in {options.to}: {'; '.join(faults) or 'complete'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

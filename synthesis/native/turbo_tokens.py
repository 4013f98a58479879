"""Text to the token ids that the turbo model reads: GPT-2's byte-level BPE, with tags such as [laugh] among its tokens.

What upstream has `transformers.AutoTokenizer` make of the same files, without that import.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer  # type: ignore[import-untyped]
from tokenizers.models import BPE  # type: ignore[import-untyped]
from tokenizers.pre_tokenizers import ByteLevel  # type: ignore[import-untyped]

from synthesis.errors import WeightsNotFound
from synthesis.native.text_tokens import TURBO_PUNCTUATION, normalise_punctuation

_MARKS = ("single_word", "lstrip", "rstrip", "normalized", "special")  # how an added token is looked for


class TurboTokenizer:
    def __init__(self, directory: Path) -> None:
        """directory: with vocab.json, merges.txt and tokenizer_config.json. Raises WeightsNotFound."""
        try:
            config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
            tokenizer = Tokenizer(BPE.from_file(str(directory / "vocab.json"), str(directory / "merges.txt")))
            tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=config.get("add_prefix_space", False))
            added = {int(index): _added(token) for index, token in config.get("added_tokens_decoder", {}).items()}
        except Exception as error:  # tokenizers raises nothing more precise
            raise WeightsNotFound(
                f"the tokenizer of the turbo model in {directory} cannot be read ({error}); set MODEL_DIR to a folder "
                "with the model's files, or fetch them: python builder/fetch_weights.py --model turbo --to DIR"
            ) from error
        tokenizer.add_tokens([token for _, token in sorted(added.items())])  # at the end, or where they are already
        self._tokenizer = tokenizer

    def encode(self, text: str, language: str = "en") -> list[int]:  # noqa: ARG002 - it knows one
        return list(self._tokenizer.encode(normalise_punctuation(text, TURBO_PUNCTUATION)).ids)


def _added(token: dict[str, Any]) -> AddedToken:
    return AddedToken(token["content"], **{mark: token[mark] for mark in _MARKS if mark in token})

"""Our text tokens against upstream's."""

from __future__ import annotations

import pytest

pytest.importorskip("tokenizers", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import random_chatterbox
from chatterbox.models.tokenizers import EnTokenizer
from chatterbox.tts import punc_norm
from hypothesis import given
from hypothesis import strategies as st

from synthesis.native.text_tokens import TextTokenizer, normalise_punctuation

TEXTS = st.text("aZé 09.,;:!?-–—…“”‘’\"'\t\n ", min_size=1, max_size=40).filter(str.strip)


@given(TEXTS)
def test_punctuation_is_upstreams(text: str) -> None:
    assert normalise_punctuation(text) == punc_norm(text)


@pytest.mark.parametrize(
    "text", ["hello world", "Wait... what — “really”?", "1, 2; 3: go!", "[laugh] fine", "漢字 and ß", "- "]
)
def test_ids_are_upstreams(text: str) -> None:
    path = random_chatterbox.weights_folder() / "tokenizer.json"
    theirs = EnTokenizer(str(path)).text_to_tokens(punc_norm(text))
    assert TextTokenizer(path).encode(text) == theirs[0].tolist()

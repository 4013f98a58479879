"""Text tokens of the turbo and the multilingual model against upstream's, language by language."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("tokenizers", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import random_chatterbox
from chatterbox import mtl_tts, tts_turbo
from chatterbox.models.tokenizers import tokenizer as upstream_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from synthesis.chatterbox_models import CHATTERBOX_MODELS
from synthesis.chatterbox_segments import MAX_SEGMENT_CHARS, max_segment_chars
from synthesis.errors import InvalidOption, WeightsNotFound
from synthesis.native import scripts
from synthesis.native.multilingual_tokens import MultilingualTokenizer
from synthesis.native.text_tokens import MULTILINGUAL_PUNCTUATION, TURBO_PUNCTUATION, normalise_punctuation
from synthesis.native.turbo_tokens import TurboTokenizer

sys.path.insert(0, str(random_chatterbox.SCRIPT.parent))
import make_random_weights

TEXTS = st.text("aZé 09.,;:!?-–—…“”‘’\"'\t\n 、，。？！", min_size=1, max_size=40).filter(str.strip)
LANGUAGES = CHATTERBOX_MODELS["multilingual"].languages
SAMPLES = {
    "ar": "مرحبا بالعالم", "da": "Hvordan går det?", "de": "Über den Fluß – schön!", "el": "Καλημέρα κόσμε",
    "en": "Hello, it's me...", "es": "¿Cómo estás, señor?", "fi": "Hyvää päivää", "fr": "Ça va — très bien",
    "he": "שלום עולם", "hi": "नमस्ते दुनिया", "it": "Perché no?", "ja": "今日は東京へ行く。ガラスのカメラは東だ",
    "ko": "안녕하세요 세계", "ms": "Selamat pagi", "nl": "Goedemorgen", "no": "Blåbærsyltetøy",
    "pl": "Zażółć gęślą jaźń", "pt": "Coração",
    "ru": "Привет, мир", "sv": "Räksmörgås", "sw": "Habari ya asubuhi", "tr": "İstanbul'da ılık",
    "zh": "今天天氣好，曰日",
}  # fmt: skip


@given(TEXTS)
def test_punctuation_is_upstreams(text: str) -> None:
    assert normalise_punctuation(text, TURBO_PUNCTUATION) == tts_turbo.punc_norm(text)
    assert normalise_punctuation(text, MULTILINGUAL_PUNCTUATION) == mtl_tts.punc_norm(text)


@pytest.fixture(scope="module")
def turbo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("turbo")
    make_random_weights.write_byte_tokenizer(folder)
    return folder


def test_turbo_ids_are_upstreams(turbo_folder: Path) -> None:
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(turbo_folder), TurboTokenizer(turbo_folder)
    texts = [
        "hello world", "The  wizard... “told” the world; then: fell!", "[laugh] Oh,[sigh]no [clear throat] well",
        "[LAUGH] x", "漢字 and ß 🙂", "<|endoftext|> and [unused3]", "a\u0301e\u0301",
    ]  # fmt: skip
    for text in texts:
        assert ours.encode(text, "en") == theirs(tts_turbo.punc_norm(text)).input_ids, text
    assert ours.encode("[laugh]", "en")[0] > 50_256, "one token"


def test_a_damaged_turbo_tokenizer_is_named(turbo_folder: Path, tmp_path: Path) -> None:
    for name in ("vocab.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((turbo_folder / name).read_bytes())
    with pytest.raises(WeightsNotFound, match="--model turbo"):
        TurboTokenizer(tmp_path)


class Segmenter:
    """Cuts after every second character: a stand-in for pkuseg, which fetches 30 MB when it is first made."""

    def cut(self, text: str) -> list[str]:
        return [text[start : start + 2] for start in range(0, len(text), 2)]


@pytest.fixture
def packages() -> Iterator[dict[str, Any]]:
    """Those that may or may not be installed, replaced by what the test puts there; None is "not installed"."""
    scripts._optional.cache_clear()
    scripts._kakasi.cache_clear()
    pkuseg, missing = ModuleType("spacy_pkuseg"), {"dicta_onnx": None, "russian_text_stresser": None}
    pkuseg.pkuseg = Segmenter  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"spacy_pkuseg": pkuseg, **missing}):
        yield sys.modules  # type: ignore[misc]
    scripts._optional.cache_clear()
    scripts._kakasi.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    vocabulary = make_random_weights.multilingual_vocabulary()
    make_random_weights.write_tokenizer(tmp_path / "grapheme_mtl_merged_expanded_v1.json", vocabulary)
    (tmp_path / "Cangjie5_TC.json").write_text(json.dumps(make_random_weights.CANGJIE, ensure_ascii=False))
    return tmp_path


def upstream_of(folder: Path) -> Any:
    with mock.patch.object(upstream_tokenizer, "hf_hub_download", return_value=str(folder / "Cangjie5_TC.json")):
        return upstream_tokenizer.MTLTokenizer(str(folder / "grapheme_mtl_merged_expanded_v1.json"))


def test_ids_of_every_language_are_upstreams(packages: Any, folder: Path) -> None:
    theirs, ours = upstream_of(folder), MultilingualTokenizer(folder)
    assert SAMPLES.keys() == set(LANGUAGES)
    unknown = make_random_weights.SPECIAL_TOKENS["[UNK]"]
    for language, text in SAMPLES.items():
        expected = theirs.text_to_tokens(mtl_tts.punc_norm(text), language_id=language)[0].tolist()
        ids = ours.encode(text, language)
        assert ids == expected, language
        assert ids.count(unknown) < len(ids) / 2, "it tests something"


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=20))
def test_what_a_script_asks_for_is_upstreams_for_any_text(text: str) -> None:
    def decomposed(text: str) -> str:
        return upstream_tokenizer.normalize("NFKD", text.lower())

    prepare = scripts.Scripts(Path("nowhere")).prepare
    assert prepare(text, "fr") == decomposed(text)
    assert prepare(text, "ja") == upstream_tokenizer.hiragana_normalize(decomposed(text))
    if not any("\ud7a4" <= character <= "\ud7af" for character in text):  # no letters, which upstream decomposes
        assert prepare(text, "ko") == upstream_tokenizer.korean_normalize(decomposed(text))


def test_characters_of_one_code_are_told_apart() -> None:
    tokens = scripts.cangjie_tokens([["日", "a"], ["曰", "a"], ["，", "zx"], ["日", "a"]])
    assert tokens == {"日": "[cj_a][cj_.]", "曰": "[cj_a][cj_1][cj_.]"}


def test_what_makes_a_language_sound_better_may_be_missing(
    packages: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As upstream has it; one warning, not one a sentence."""
    packages["spacy_pkuseg"] = None
    theirs, ours = upstream_of(folder), MultilingualTokenizer(folder)
    caplog.set_level(logging.WARNING, scripts.__name__)
    for language in ("zh", "he", "ru") * 2:
        text = mtl_tts.punc_norm(SAMPLES[language])
        assert ours.encode(text, language) == theirs.encode(text, language_id=language)
    warned = [record.getMessage() for record in caplog.records if record.name == scripts.__name__]
    assert [message.partition(":")[0] for message in warned] == ["language 'zh'", "language 'he'", "language 'ru'"]


def test_optional_packages_are_used_where_they_are(packages: Any, folder: Path) -> None:
    class Dicta:
        def add_diacritics(self, text: str) -> str:
            return text.replace("ש", "שׁ")

    class RussianTextStresser:
        def stress_text(self, text: str) -> str:
            return text.replace("и", "и\u0301")

    for name, content in (
        ("dicta_onnx", {"Dicta": Dicta}),
        ("russian_text_stresser", {}),
        ("russian_text_stresser.text_stresser", {"RussianTextStresser": RussianTextStresser}),
    ):
        packages[name] = ModuleType(name)
        vars(packages[name]).update(content)
    theirs, ours = upstream_of(folder), MultilingualTokenizer(folder)
    upstream_tokenizer._dicta = upstream_tokenizer._russian_stresser = None
    for language in ("he", "ru"):
        text = mtl_tts.punc_norm(SAMPLES[language])
        ids = ours.encode(text, language)
        assert ids == theirs.encode(text, language_id=language)
        assert len(ids) > len(text) + 1
    upstream_tokenizer._dicta = upstream_tokenizer._russian_stresser = None


def test_what_a_language_cannot_do_without_is_asked_for(packages: Any, folder: Path) -> None:
    ours = MultilingualTokenizer(folder)
    packages["pykakasi"] = None
    with pytest.raises(InvalidOption, match="install pykakasi"):
        ours.encode(SAMPLES["ja"], "ja")
    (folder / "Cangjie5_TC.json").write_text("[1, 2]")
    with pytest.raises(InvalidOption, match=r"'zh' needs Cangjie5_TC\.json beside the weights"):
        ours.encode(SAMPLES["zh"], "zh")
    assert ours.encode(SAMPLES["de"], "de")


def test_segments_of_syllabic_scripts_are_shorter() -> None:
    assert max_segment_chars("de") == MAX_SEGMENT_CHARS
    assert max_segment_chars("zh") == 138  # 40 s of 3.45 syllables a second
    assert max_segment_chars("ja", 10) == 3

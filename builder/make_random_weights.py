"""Write a complete set of random weights for a model: the real architecture, nothing learnt.

    python builder/make_random_weights.py --to FOLDER [--model base|turbo|multilingual] [--num-layers 30]

Tests and benchmarks run the real package on them (which is why this stands here and not in either). Sizes are wired
into upstream's modules, all but two: T3 takes its number of layers and the width of their MLPs from a table, and each
layer costs up to 67 MB and time. The same versions write the same bytes. What such a model says is noise, and hardly
ever does its speech end by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import nn

# The real models' (chatterbox `llama_configs.py`).
NUM_T3_LAYERS = {"base": 30, "turbo": 24, "multilingual": 30}
MLP_SIZE = 4096
SEED = 0
NUM_TURBO_TEXT_TOKENS = 50_276
NUM_PROMPT_TOKENS = 25  # 1 s of built-in voice; the decoder works through the prompt on every call


def set_num_t3_layers(num_layers: int) -> None:
    """Make every T3 built from now on in this process have so many layers: weights do not say what they are for."""
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS

    LLAMA_CONFIGS["Llama_520M"]["num_hidden_layers"] = num_layers


@contextlib.contextmanager
def t3_sizes(num_layers: int, mlp_size: int = MLP_SIZE) -> Iterator[None]:
    """T3s built within the block have so many layers of such width."""
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS

    llama = {"num_hidden_layers": num_layers, "intermediate_size": mlp_size}
    with (
        mock.patch.dict(LLAMA_CONFIGS["Llama_520M"], llama),
        mock.patch.dict(LLAMA_CONFIGS["GPT2_medium"], {"n_layer": num_layers, "n_inner": mlp_size}),
    ):
        yield


def turbo_t3_config(num_text_tokens: int = NUM_TURBO_TEXT_TOKENS) -> Any:
    """As chatterbox `tts_turbo.py:from_local` sets it up."""
    from chatterbox.models.t3.modules.t3_config import T3Config

    config = T3Config(text_tokens_dict_size=num_text_tokens)
    config.llama_config_name, config.speech_tokens_dict_size, config.input_pos_emb = "GPT2_medium", 6563, None
    config.speech_cond_prompt_len, config.use_perceiver_resampler, config.emotion_adv = 375, False, False
    return config


def make_random_weights(
    folder: Path, model: str = "base", num_layers: int | None = None, mlp_size: int = MLP_SIZE
) -> None:
    """Write the set into `folder`, which appears only when it is complete."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    partial.mkdir(parents=True)
    torch.manual_seed(SEED)
    with t3_sizes(num_layers or NUM_T3_LAYERS[model], mlp_size):
        {"base": write_base, "turbo": write_turbo, "multilingual": write_multilingual}[model](partial)
    try:
        partial.rename(folder)
    except OSError:  # another process was quicker
        shutil.rmtree(partial)


def write_base(folder: Path) -> None:
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.t3 import T3
    from chatterbox.models.voice_encoder import VoiceEncoder

    for name, module in (("ve", VoiceEncoder), ("t3_cfg", T3), ("s3gen", S3Gen)):
        save_module(module(), folder / f"{name}.safetensors")
    write_tokenizer(folder / "tokenizer.json", SMALL_VOCABULARY)
    write_builtin_voice(folder / "conds.pt")


def write_turbo(folder: Path) -> None:
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.t3 import T3
    from chatterbox.models.voice_encoder import VoiceEncoder

    save_module(VoiceEncoder(), folder / "ve.safetensors")
    save_module(T3(turbo_t3_config()), folder / "t3_turbo_v1.safetensors")
    save_module(S3Gen(meanflow=True), folder / "s3gen_meanflow.safetensors")
    write_byte_tokenizer(folder)
    write_builtin_voice(folder / "conds.pt", num_t3_tokens=375)


def write_multilingual(folder: Path) -> None:
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.t3 import T3
    from chatterbox.models.t3.modules.t3_config import T3Config
    from chatterbox.models.voice_encoder import VoiceEncoder

    torch.save(VoiceEncoder().state_dict(), folder / "ve.pt")
    save_module(T3(T3Config.multilingual()), folder / "t3_mtl23ls_v2.safetensors")
    torch.save(S3Gen().state_dict(), folder / "s3gen.pt")
    write_tokenizer(folder / "grapheme_mtl_merged_expanded_v1.json", multilingual_vocabulary())
    (folder / "Cangjie5_TC.json").write_text(json.dumps(CANGJIE, ensure_ascii=False), encoding="utf-8")
    write_builtin_voice(folder / "conds.pt")


def save_module(module: nn.Module, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)


def _vocabulary() -> dict[str, int]:
    """One token a character, with the special tokens where T3 expects them (`t3_config.py`: start 255, stop 0)."""
    tokens = [*string.ascii_letters, *string.digits, *string.punctuation]
    tokens += [f"[unused{index}]" for index in range(255 - 3 - len(tokens))]
    return SPECIAL_TOKENS | {token: index for index, token in enumerate(tokens, start=3)}


SPECIAL_TOKENS = {"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2, "[START]": 255}
SMALL_VOCABULARY = _vocabulary()

# A few lines of the table that Chinese is written with: a character, its code. Two have the same.
CANGJIE = ["日\ta", "曰\ta", "今\toin", "天\tmk", "好\tvnd", "你\tonf", "我\thqi", "公\tci", "去\tgi", "們\toan"]


LANGUAGES = (
    "ar", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "it", "ja", "ko", "ms", "nl", "no", "pl", "pt", "ru",
    "sv", "sw", "tr", "zh",
)  # fmt: skip


def multilingual_vocabulary() -> dict[str, int]:
    """The same, with languages, codes of Chinese characters and the letters of a few scripts."""
    tokens = [f"[{language}]" for language in LANGUAGES]
    tokens += [f"[cj_{letter}]" for letter in (*string.ascii_lowercase, *string.digits, ".")]
    scripts = ((0x300, 0x370), (0x370, 0x400), (0x400, 0x460), (0x5D0, 0x5EB), (0x621, 0x64B), (0x900, 0x970),
               (0x1100, 0x1200), (0x3040, 0x3100))  # fmt: skip
    tokens += [chr(code) for first, last in scripts for code in range(first, last)]
    return SMALL_VOCABULARY | {token: index for index, token in enumerate(tokens, start=256)}


def write_tokenizer(path: Path, vocabulary: dict[str, int]) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    tokenizer = Tokenizer(BPE(vocabulary, [], unk_token="[UNK]"))  # noqa: S106 - no password
    tagged = [token for token in vocabulary if token.startswith("[") and token[1:3] != "un" and len(token) > 1]
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS) + [token for token in tagged if token not in SPECIAL_TOKENS])
    tokenizer.save(str(path))


TAGS = ("[clear throat]", "[sigh]", "[shush]", "[cough]", "[groan]", "[sniff]", "[gasp]", "[chuckle]", "[laugh]")


def write_byte_tokenizer(folder: Path) -> None:
    """GPT-2's kind: one token a byte and a few pairs, with as many tokens as the model has, and tags at the end."""
    from tokenizers.pre_tokenizers import ByteLevel

    pairs = [("h", "e"), ("l", "l"), ("Ġ", "w"), ("Ġ", "t"), ("Ġt", "he"), ("o", "r"), ("Ġw", "or")]
    tokens = [*sorted(ByteLevel.alphabet()), *("".join(pair) for pair in pairs)]
    end = NUM_TURBO_TEXT_TOKENS - 20  # 50256, as in GPT-2
    tokens += [f"unused{index}" for index in range(end - len(tokens))]
    tags = [*TAGS, *(f"[unused{index}]" for index in range(19 - len(TAGS)))]
    vocabulary = {token: index for index, token in enumerate([*tokens, "<|endoftext|>"])}
    added = {token: index for index, token in enumerate(["<|endoftext|>", *tags], start=end)}
    plain = {"single_word": False, "lstrip": False, "rstrip": False}
    config = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "model_max_length": 1024,
        "added_tokens_decoder": {
            str(index): {"content": token, "normalized": token not in TAGS, "special": index == end, **plain}
            for token, index in added.items()
        },
        **{f"{name}_token": "<|endoftext|>" for name in ("bos", "eos", "unk")},
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    merges = "".join(f"{first} {second}\n" for first, second in pairs)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "added_tokens.json").write_text(json.dumps({tag: added[tag] for tag in tags}), encoding="utf-8")


def write_builtin_voice(path: Path, num_t3_tokens: int = 150) -> None:
    """conds.pt as upstream's `Conditionals.save` writes it, of random values."""
    from chatterbox.models.s3tokenizer import SPEECH_VOCAB_SIZE

    t3 = {
        "speaker_emb": torch.randn(1, 256),
        "clap_emb": None,
        "cond_prompt_speech_tokens": torch.randint(SPEECH_VOCAB_SIZE, (1, num_t3_tokens)),
        "cond_prompt_speech_emb": None,
        "emotion_adv": torch.full((1, 1, 1), 0.5),
    }
    gen = {
        "prompt_token": torch.randint(SPEECH_VOCAB_SIZE, (1, NUM_PROMPT_TOKENS)),
        "prompt_token_len": torch.tensor([NUM_PROMPT_TOKENS]),
        "prompt_feat": torch.randn(1, 2 * NUM_PROMPT_TOKENS, 80),  # two mel frames a token
        "prompt_feat_len": None,
        "embedding": torch.randn(1, 192),
    }
    torch.save({"t3": t3, "gen": gen}, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--model", choices=NUM_T3_LAYERS, default="base", help="default: %(default)s")
    parser.add_argument("--num-layers", type=int, help="layers of T3; default: as many as the real model has")
    parser.add_argument("--mlp-size", type=int, default=MLP_SIZE, help="width of their MLPs; default: %(default)s")
    options = parser.parse_args()
    if not options.to.exists():
        make_random_weights(options.to, options.model, options.num_layers, options.mlp_size)
    return 0


if __name__ == "__main__":
    sys.exit(main())

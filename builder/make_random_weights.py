"""Write a complete set of random weights for the base model: the real architecture, nothing learnt.

    python builder/make_random_weights.py --to FOLDER [--num-layers 30]

Tests and benchmarks run the real package on them (which is why this stands here and not in either). Sizes are wired
into upstream's modules, all but one: T3 takes its number of layers from a table, and each one costs 67 MB and time. The
same versions write the same bytes. What such a model says is noise, and hardly ever does its speech end by itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import string
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

NUM_T3_LAYERS = 30  # the real model's (chatterbox `llama_configs.py:LLAMA_520M_CONFIG_DICT`)
SEED = 0
NUM_PROMPT_TOKENS = 25  # 1 s of built-in voice; the decoder works through the prompt on every call


def set_num_t3_layers(num_layers: int) -> None:
    """Make every T3 built from now on in this process have so many layers: weights do not say what they are for."""
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS

    LLAMA_CONFIGS["Llama_520M"]["num_hidden_layers"] = num_layers


def make_random_weights(folder: Path, num_layers: int = NUM_T3_LAYERS) -> None:
    """Write the set into `folder`, which appears only when it is complete."""
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.t3 import T3
    from chatterbox.models.voice_encoder import VoiceEncoder

    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    partial.mkdir(parents=True)
    set_num_t3_layers(num_layers)
    torch.manual_seed(SEED)
    for name, module in (("ve", VoiceEncoder), ("t3_cfg", T3), ("s3gen", S3Gen)):
        save_module(module(), partial / f"{name}.safetensors")
    write_tokenizer(partial / "tokenizer.json")
    write_builtin_voice(partial / "conds.pt")
    try:
        partial.rename(folder)
    except OSError:  # another process was quicker
        shutil.rmtree(partial)


def save_module(module: nn.Module, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)


def write_tokenizer(path: Path) -> None:
    """One token a character, with the special tokens where T3 expects them (`t3_config.py`: start 255, stop 0)."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    special = {"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2, "[START]": 255}
    tokens = [*string.ascii_letters, *string.digits, *string.punctuation]
    tokens += [f"[unused{index}]" for index in range(255 - 3 - len(tokens))]
    vocabulary = special | {token: index for index, token in enumerate(tokens, start=3)}
    tokenizer = Tokenizer(BPE(vocabulary, [], unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.add_special_tokens(list(special))
    tokenizer.save(str(path))


def write_builtin_voice(path: Path) -> None:
    """conds.pt as upstream's `Conditionals.save` writes it, of random values."""
    from chatterbox.models.s3tokenizer import SPEECH_VOCAB_SIZE

    t3 = {
        "speaker_emb": torch.randn(1, 256),
        "clap_emb": None,
        "cond_prompt_speech_tokens": torch.randint(SPEECH_VOCAB_SIZE, (1, 150)),
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
    parser.add_argument("--num-layers", type=int, default=NUM_T3_LAYERS, help="layers of T3; default: %(default)s")
    options = parser.parse_args()
    if not options.to.exists():
        make_random_weights(options.to, options.num_layers)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""T3, the base model: embeddings of text and speech tokens to the logits of the next speech token.

A Llama of 30 layers whose input embeddings are made here: conditioning, text, speech. Works on rows of a KV cache with
a position each; knows nothing of requests, guidance, sampling or when speech ends. The arithmetic is that of upstream
(chatterbox `t3.py`, transformers `modeling_llama.py`), operation by operation, so that fp32 gives the same tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.checkpoint import read_tensors
from synthesis.native.conditioning import ConditioningEncoder
from synthesis.native.kv_cache import KVCache
from synthesis.native.vocabulary import START_SPEECH_TOKEN, START_TEXT_TOKEN, STOP_TEXT_TOKEN

# chatterbox `llama_configs.py:LLAMA_520M_CONFIG_DICT`
HEAD_SIZE = 64
NORM_EPSILON = 1e-5
ROPE_BASE = 500_000.0
ROPE_FACTOR, ROPE_LOW_FREQUENCY, ROPE_HIGH_FREQUENCY, ROPE_ORIGINAL_LENGTH = 8.0, 1.0, 4.0, 8192

_USED = ("tfmr.layers.", "tfmr.norm.", "cond_enc.", "text_emb.", "text_pos_emb.", "speech_emb.", "speech_pos_emb.",
         "speech_head.")  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """Weights of one transformer layer. qkv and gate_up: one matrix each, or, on the CPU, where joining them would copy
    what is mapped from the file, the parts."""

    input_norm: Tensor  # (C,)
    qkv: tuple[Tensor, ...]  # together (3 C, C)
    output: Tensor  # (C, C)
    mlp_norm: Tensor  # (C,)
    gate_up: tuple[Tensor, ...]  # together (2 * 4 C, C)
    down: Tensor  # (C, 4 C)


class T3:
    """Shapes below: R rows, n positions, C channels, V vocabulary of speech."""

    def __init__(self, tensors: dict[str, Tensor], *, dtype: torch.dtype, max_length: int) -> None:
        """max_length: positions a row can have. WeightsNotFound is raised by `load`; a KeyError here is a programming
        error or the weights of another model."""
        self.conditioning = ConditioningEncoder(tensors)
        weights = {name: tensor.to(dtype) for name, tensor in tensors.items() if not name.startswith("cond_enc.")}
        self._speech, self._speech_positions = weights["speech_emb.weight"], weights["speech_pos_emb.emb.weight"]
        self._text, self._text_positions = weights["text_emb.weight"], weights["text_pos_emb.emb.weight"]
        self._head, self._norm = weights["speech_head.weight"], weights["tfmr.norm.weight"]
        num_layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("tfmr.layers."))
        self._layers = [_layer(weights, f"tfmr.layers.{index}.") for index in range(num_layers)]
        self.dtype, self.device = dtype, self._speech.device.type
        self.vocabulary, self.channels = self._speech.shape
        self.max_length = max_length
        self._cos, self._sin = _rotations(max_length, dtype, self.device)  # (max_length, HEAD_SIZE)
        self._positions = torch.arange(max_length, device=self.device)

    @classmethod
    def load(cls, path: Path, *, device: str, dtype: torch.dtype, max_length: int) -> T3:
        """T3 from its safetensors file. Raises WeightsNotFound."""
        return cls(read_tensors(path, device=device, prefixes=_USED), dtype=dtype, max_length=max_length)

    @property
    def row_bytes(self) -> int:
        """What a row of the cache takes: a key and a value of C channels, every position of every layer."""
        return 2 * len(self._layers) * self.max_length * self.channels * self.dtype.itemsize

    def new_cache(self, num_rows: int) -> KVCache:
        return KVCache(
            layers=len(self._layers), rows=num_rows, heads=self.channels // HEAD_SIZE, length=self.max_length,
            head_size=HEAD_SIZE, dtype=self.dtype, device=self.device,
        )  # fmt: skip

    def embed_prompt(self, conditioning: Tensor, text_tokens: list[int], *, guided: bool) -> Tensor:
        """(2 if guided else 1, n, C): conditioning (m, C), text with its start and stop, the start of speech twice.

        The second row, for guidance, keeps the positions of the text and loses the text. Upstream feeds the start of
        speech twice, both times at speech position 0 (`t3.py:inference`).
        """
        tokens = torch.tensor([START_TEXT_TOKEN, *text_tokens, STOP_TEXT_TOKEN], device=self.device)
        positions = self._text_positions[: len(tokens)]
        start = (self._speech[START_SPEECH_TOKEN] + self._speech_positions[0])[None]  # (1, C)
        texts = [self._text[tokens] + positions, positions][: 2 if guided else 1]
        return torch.stack([torch.cat((conditioning.to(self.dtype), text, start, start)) for text in texts])

    def embed_tokens(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(B, C) of speech tokens (B,) at speech positions (B,)."""
        return self._speech[tokens] + self._speech_positions[positions]

    def prefill(self, embeddings: Tensor, lengths: Tensor, cache: KVCache, first_row: int) -> Tensor:
        """Logits (R, V) float32 after prompts (R, n, C), padded on the right to n; their lengths: (R,).

        Fills the R rows of the cache from first_row on. What padding leaves there lies beyond the row's position: it is
        masked until a token overwrites it.
        """
        num_positions = embeddings.shape[1]
        cos, sin = self._cos[:num_positions], self._sin[:num_positions]
        x = embeddings
        for index, layer in enumerate(self._layers):
            query, key, value = self._attention_inputs(layer, x, cos, sin)
            cache.write_prompts(index, first_row, key, value)
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = _finish_layer(layer, x, attended)
        last = x[torch.arange(len(lengths), device=x.device), lengths - 1]  # (R, C)
        return self._logits(last)

    def decode(self, embeddings: Tensor, positions: Tensor, cache: KVCache, length: int) -> Tensor:
        """Logits (R, V) float32 after one more token a row: embeddings (R, C), row r at positions[r] < length.

        Shapes depend on R and length alone, and nothing here waits for the device: a step can be captured.
        """
        num_rows = embeddings.shape[0]
        cos, sin = self._cos[positions][:, None, None], self._sin[positions][:, None, None]  # (R, 1, 1, HEAD_SIZE)
        mask = (self._positions[:length] <= positions[:, None])[:, None, None]  # (R, 1, 1, length)
        x = embeddings[:, None]  # (R, 1, C)
        for index, layer in enumerate(self._layers):
            query, key, value = self._attention_inputs(layer, x, cos, sin)
            cache.write_tokens(index, positions, key, value)
            keys, values = cache.view(index, num_rows, length)
            attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
            x = _finish_layer(layer, x, attended)
        return self._logits(x[:, 0])

    def _attention_inputs(self, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key, value, each (R, heads, n, HEAD_SIZE), of x (R, n, C)."""
        rows, num_positions, _ = x.shape
        normed = _rms_norm(x, layer.input_norm)
        joined = torch.cat([F.linear(normed, weight) for weight in layer.qkv], dim=-1)  # (R, n, 3 C)
        query, key, value = joined.view(rows, num_positions, 3, -1, HEAD_SIZE).permute(2, 0, 3, 1, 4)
        return _rotate(query, cos, sin), _rotate(key, cos, sin), value

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(_rms_norm(x, self._norm), self._head).float()


def _finish_layer(layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
    """x (R, n, C) after the layer's output projection and MLP; attended: (R, heads, n, HEAD_SIZE)."""
    x = x + F.linear(attended.transpose(1, 2).reshape(x.shape), layer.output)
    normed = _rms_norm(x, layer.mlp_norm)
    projected = [F.linear(normed, weight) for weight in layer.gate_up]
    gate, up = projected if len(projected) == 2 else projected[0].chunk(2, dim=-1)
    return x + F.linear(F.silu(gate) * up, layer.down)


def _rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, NORM_EPSILON)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding: the two halves of a head are the parts of complex numbers."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _rotations(length: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """cos and sin of every position's angles, (length, HEAD_SIZE): Llama 3's frequencies (transformers
    `modeling_rope_utils.py:_compute_llama3_parameters`)."""
    exponents = torch.arange(0, HEAD_SIZE, 2, dtype=torch.int64).float() / HEAD_SIZE
    frequencies = 1.0 / ROPE_BASE**exponents  # (HEAD_SIZE / 2,) rad per position
    wavelengths = 2 * math.pi / frequencies
    longest, shortest = ROPE_ORIGINAL_LENGTH / ROPE_LOW_FREQUENCY, ROPE_ORIGINAL_LENGTH / ROPE_HIGH_FREQUENCY
    smooth = (ROPE_ORIGINAL_LENGTH / wavelengths - ROPE_LOW_FREQUENCY) / (ROPE_HIGH_FREQUENCY - ROPE_LOW_FREQUENCY)
    blended = (1 - smooth) * frequencies / ROPE_FACTOR + smooth * frequencies
    scaled = torch.where(wavelengths > longest, frequencies / ROPE_FACTOR, frequencies)
    scaled = torch.where((wavelengths >= shortest) & (wavelengths <= longest), blended, scaled)
    angles = torch.arange(length).float()[:, None] * scaled  # (length, HEAD_SIZE / 2)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(device, dtype), angles.sin().to(device, dtype)


def _layer(weights: dict[str, Tensor], prefix: str) -> Layer:
    attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."
    qkv = tuple(weights[f"{attention}{name}_proj.weight"] for name in "qkv")
    gate_up = tuple(weights[f"{mlp}{name}_proj.weight"] for name in ("gate", "up"))
    if qkv[0].device.type != "cpu":
        qkv, gate_up = (torch.cat(qkv),), (torch.cat(gate_up),)
    return Layer(
        input_norm=weights[f"{prefix}input_layernorm.weight"],
        qkv=qkv,
        output=weights[f"{attention}o_proj.weight"],
        mlp_norm=weights[f"{prefix}post_attention_layernorm.weight"],
        gate_up=gate_up,
        down=weights[f"{mlp}down_proj.weight"],
    )

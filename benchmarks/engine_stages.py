"""The stages of the fast engine one by one: T3's tokens a second, the same tokens as upstream's, S3Gen's seconds, and
what this machine could do at most.

Where two engines are compared in one process they take turns, so that whatever disturbs the machine disturbs both.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engine_parts import (
    Numbers,
    best_of,
    both_t3,
    chosen_device,
    new_decoder,
    new_request,
    our_t3,
    prepare_torch,
    random_voice,
    timed,
    upstream_tokens,
)

SQUARE = 4096  # of the matrices that show what a device multiplies at most
PARAMETERS: tuple[dict[str, float], ...] = (
    {},
    {"temperature": 1.0, "cfg_weight": 0.3},
    {"repetition_penalty": 2.0, "min_p": 0.02, "top_p": 0.9},
    {"cfg_weight": 0.0, "temperature": 0.6, "top_p": 0.8},
)


def decoding(weights: Path, num_steps: int) -> Numbers:
    """T3's tokens a second at several batch sizes, prompts not counted. Upstream knows only a batch of one."""
    import torch

    upstream, model = both_t3(weights)
    half = our_t3(weights, torch.bfloat16)
    batches = (1, 2, 4, 8) if model.device == "cpu" else (1, 2, 4, 8, 16, 32)
    decoders = {f"ours {batch}": _decoding(model, batch) for batch in batches}
    decoders |= {f"ours {batch} bf16": _decoding(half, batch) for batch in (1, 8)}
    seconds: dict[str, list[float]] = {name: [] for name in ("upstream", *decoders)}
    for _ in range(3):
        seconds["upstream"] += _upstream_step_seconds(upstream, num_steps)
        for name, decoder in decoders.items():
            seconds[name] += _our_step_seconds(decoder, num_steps)
    rates = {name: (int(name.split()[1]) if " " in name else 1) / median(each) for name, each in seconds.items()}
    spread = {name: (max(each) - min(each)) / median(each) for name, each in seconds.items()}
    return {"tokens_per_s": rates, "spread": spread}


def equality(weights: Path, num_steps: int, seed: int) -> Numbers:
    """Whether T3 samples upstream's tokens with a seed: all sets of parameters, ours in one batch."""
    upstream, model = both_t3(weights)
    requests = [new_request(seed, parameters, num_steps) for parameters in PARAMETERS]
    decoder = new_decoder(model, 2 * len(requests))
    decoded = [decoder.admit(requests), decoder.decode(num_steps - 1)]
    ours = {request: [token for part in decoded for token in dict(part)[request]] for request in requests}
    equal = []
    for request, tokens in ours.items():
        theirs = upstream_tokens(upstream, request)  # ends where the model does
        equal.append(tokens[: len(theirs)] == theirs)
    return {"tokens_equal": all(equal), "num_compared": len(equal), "num_steps": num_steps}


def graphs(weights: Path, num_steps: int) -> Numbers:
    """Whether what is captured gives what the eager way gives: T3's tokens, S3Gen's samples. Only on CUDA are
    there two ways."""
    import torch

    from synthesis.native.checkpoint import read_tensors
    from synthesis.native.decoder import Decoder
    from synthesis.native.s3gen import TENSOR_PREFIXES, S3Gen, Utterance

    model = our_t3(weights, torch.bfloat16)
    tokens = []
    for decoder in (Decoder(model, num_rows=8), new_decoder(model, 8)):
        requests = [new_request(7, parameters, num_steps) for parameters in PARAMETERS]
        first, rest = dict(decoder.admit(requests)), dict(decoder.decode(num_steps - 1))
        tokens.append([first[request] + rest[request] for request in requests])
    device = chosen_device()
    tensors = read_tensors(weights / "s3gen.safetensors", device=device, prefixes=TENSOR_PREFIXES)
    s3gen, voice = S3Gen(tensors, torch.bfloat16), random_voice(1, num_prompt_tokens=250)

    def spoken() -> torch.Tensor:
        said = torch.randint(6561, (100,), generator=torch.Generator().manual_seed(1)).to(device)
        return s3gen.decode([Utterance(voice, said, torch.Generator(device).manual_seed(1))])[0].cpu()

    eager = spoken()
    while s3gen.warm_up():
        pass
    return {"graphs_equal": tokens[0] == tokens[1] and torch.equal(spoken(), eager)}


def speaking(weights: Path, *seconds: int) -> Numbers:
    """S3Gen and vocoder, seconds of work for so many seconds of audio, with the same random numbers for both."""
    import torch
    from chatterbox.models.s3gen import S3Gen as Upstream
    from safetensors.torch import load_file

    from synthesis.native.checkpoint import read_tensors
    from synthesis.native.s3gen import TENSOR_PREFIXES, S3Gen, Utterance

    prepare_torch()
    device, file = chosen_device(), weights / "s3gen.safetensors"
    upstream = Upstream().eval()
    upstream.load_state_dict(load_file(file), strict=False)
    upstream.to(device)
    ours = S3Gen(read_tensors(file, device=device, prefixes=TENSOR_PREFIXES))
    voice, results, difference = random_voice(1, num_prompt_tokens=250), {}, 0.0
    for duration in seconds:
        tokens = torch.randint(6561, (25 * duration,), generator=torch.Generator().manual_seed(duration)).to(device)
        torch.manual_seed(duration)
        names = ("prompt_token", "prompt_token_len", "prompt_feat", "embedding")
        gen = {name: getattr(voice, name) for name in names} | {"prompt_feat_len": None}  # upstream writes into it
        with torch.inference_mode():
            theirs_s, wave = timed(lambda t=tokens, g=gen: upstream.inference(speech_tokens=t, ref_dict=g)[0][0].cpu())
        utterance = Utterance(voice, tokens, torch.Generator(device).manual_seed(duration))
        ours_s, samples = timed(lambda u=utterance: ours.decode([u])[0].cpu())
        difference = max(difference, float((samples - wave).abs().max()))
        results[f"{duration} s"] = {"upstream_s": theirs_s, "ours_s": ours_s}
    return {"speech": results, "audio_max_diff": difference}


def limits(weights: Path, *seconds: int) -> Numbers:
    """What this machine can do at most, measured: bytes a second out of memory, multiplications and additions a second;
    and what a step of T3 and so many seconds of S3Gen need of it (`engine_limits`)."""
    import torch

    from synthesis.native.checkpoint import read_tensors
    from synthesis.native.s3gen import TENSOR_PREFIXES, S3Gen, Utterance

    device = chosen_device()
    block = torch.ones(2**28, device=device)  # 1 GiB
    square = torch.ones(SQUARE, SQUARE, device=device)
    halves = square.bfloat16()
    step_bytes = sum(
        tensor.nbytes for name, tensor in read_tensors(weights / "t3_cfg.safetensors").items()
        if name.startswith(("tfmr.layers", "speech_head"))
    )  # fmt: skip
    s3gen = S3Gen(read_tensors(weights / "s3gen.safetensors", device=device, prefixes=TENSOR_PREFIXES))
    voice, flops = random_voice(1, num_prompt_tokens=250), {}
    for duration in seconds:
        tokens = torch.zeros(25 * duration, dtype=torch.int64, device=device)
        utterance = Utterance(voice, tokens, torch.Generator(device).manual_seed(1))
        with _flop_counter() as counter:
            s3gen.decode([utterance])
        flops[str(duration)] = counter.get_total_flops()
    return {
        "read_bytes_per_s": block.nbytes / best_of(lambda: block.sum()),
        "fp32_flops_per_s": 2 * SQUARE**3 / best_of(lambda: square @ square),
        "bf16_flops_per_s": 2 * SQUARE**3 / best_of(lambda: halves @ halves),
        "t3_step_bytes": step_bytes,
        "s3gen_flops": flops,
    }  # fmt: skip


def _flop_counter() -> Any:
    """Counts what torch's own does not know of: attention on a CPU, a third of S3Gen."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={on_cpu: attention})


def _decoding(model: Any, batch: int) -> Any:
    """A decoder in the middle of so many requests."""
    decoder = new_decoder(model, 2 * batch)
    decoder.admit([new_request(1, {}, 1) for _ in range(batch)])
    decoder.decode(1)
    return decoder


def _our_step_seconds(decoder: Any, num_steps: int) -> list[float]:
    """Of every step on the CPU; on CUDA, where a look waits for the device, of a block as the engine decodes them."""
    if chosen_device() == "cpu":
        return [timed(lambda: decoder.decode(1))[0] for _ in range(num_steps)]
    return [timed(lambda: decoder.decode(num_steps))[0] / num_steps]


def _upstream_step_seconds(upstream: Any, num_steps: int) -> list[float]:
    """Of every step after the prompt: upstream's progress bar, which it goes on at every step, takes the time."""
    from chatterbox.models.t3 import t3

    times: list[float] = []

    def steps(numbers: range, **_: Any) -> Iterator[int]:
        for number in numbers:
            times.append(time.perf_counter())
            yield number

    t3.tqdm = steps
    upstream_tokens(upstream, new_request(1, {}, 1 + num_steps))
    return [after - before for before, after in itertools.pairwise(times)]

"""What the measurements of the fast engine share: the device, the models on it, a voice, a request, the clock.

Imports stand in the functions: what is imported when is part of what is measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Numbers = dict[str, Any]

NUM_THREADS = 2  # on the CPU
STARTED_AT = "BENCH_STARTED_AT"  # in the environment: `time.monotonic()` when the measurement's process was started


def chosen_device() -> str:
    from synthesis.chatterbox_device import choose_device

    prepare_torch()
    return choose_device()


def prepare_torch() -> None:
    import torch

    torch.set_num_threads(NUM_THREADS)


def since_process_start() -> float:
    """Seconds. What the system says of a process's start is up to a second off: it counts from a rounded boot time."""
    return time.monotonic() - float(os.environ[STARTED_AT])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def best_of(work: Callable[[], Any], times: int = 5) -> float:
    import torch

    def finished() -> None:
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return min(timed(finished)[0] for _ in range(times))


def peak() -> Numbers:
    """Memory of this process at its most, and what torch took of the card."""
    import resource

    import torch

    numbers: Numbers = {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if torch.cuda.is_available():
        numbers["peak_gpu_mb"] = torch.cuda.max_memory_reserved() / 2**20
    return numbers


def both_t3(weights: Path) -> tuple[Any, Any]:
    import torch
    from chatterbox.models.t3 import T3, t3
    from safetensors.torch import load_file

    prepare_torch()
    t3.tqdm = lambda steps, **_: steps
    upstream = T3().eval()
    upstream.load_state_dict(load_file(weights / "t3_cfg.safetensors"))
    return upstream.to(chosen_device()), our_t3(weights, torch.float32)


def our_t3(weights: Path, dtype: Any) -> Any:
    from synthesis.native.t3_base import BaseT3

    return BaseT3.load(weights / "t3_cfg.safetensors", device=chosen_device(), dtype=dtype, max_length=512)


def new_decoder(model: Any, num_rows: int) -> Any:
    from synthesis.native.decoder import Decoder

    decoder = Decoder(model, num_rows=num_rows, use_graphs=model.device == "cuda")
    while model.device == "cuda" and decoder.warm_up():
        pass
    return decoder


def random_voice(seed: int, num_prompt_tokens: int) -> Any:
    import torch

    from synthesis.conditionals import ChatterboxConditionals

    random, device = torch.Generator().manual_seed(seed), chosen_device()
    tensors = {
        "speaker_emb": torch.randn(1, 256, generator=random),
        "cond_prompt_speech_tokens": torch.randint(6561, (1, 150), generator=random),
        "prompt_token": torch.randint(6561, (1, num_prompt_tokens), generator=random),
        "prompt_token_len": torch.tensor([num_prompt_tokens]),
        "prompt_feat": torch.randn(1, 2 * num_prompt_tokens, 80, generator=random),
        "embedding": torch.randn(1, 192, generator=random),
    }
    return ChatterboxConditionals(**{name: tensor.to(device) for name, tensor in tensors.items()})


def new_request(seed: int, parameters: dict[str, float], max_tokens: int) -> Any:
    from synthesis.native.request import Request, SamplingParameters

    text = [3 + (7 * seed * place) % 200 for place in range(10 * seed)]
    sampling = SamplingParameters(**parameters, seed=seed)  # type: ignore[arg-type]
    return Request(text, random_voice(seed, num_prompt_tokens=25), 0.5, sampling, max_tokens)


def upstream_tokens(upstream: Any, request: Any) -> list[int]:
    import torch
    from chatterbox.models.t3.modules.cond_enc import T3Cond

    voice, sampling = request.voice, request.sampling
    torch.manual_seed(sampling.seed)
    tokens = upstream.inference(
        t3_cond=T3Cond(
            speaker_emb=voice.speaker_emb,
            cond_prompt_speech_tokens=voice.cond_prompt_speech_tokens,
            emotion_adv=torch.full((1, 1, 1), request.exaggeration, device=upstream.device),
        ),
        text_tokens=torch.tensor([[255, *request.text_tokens, 0]] * 2),
        max_new_tokens=request.max_tokens,
        temperature=sampling.temperature,
        cfg_weight=sampling.cfg_weight,
        repetition_penalty=sampling.repetition_penalty,
        min_p=sampling.min_p,
        top_p=sampling.top_p,
    )
    return list(tokens[0].tolist())

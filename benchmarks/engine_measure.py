"""What is measured of the fast engine and of upstream: `python -m benchmarks.engine_measure NAME WEIGHTS ...`.

Every measurement runs in a process of its own, so that nothing is warm or counted twice, and prints one line of JSON:
seconds, bytes, counts. Where two engines are compared in one process they take turns, so that whatever disturbs the
machine disturbs both. Imports stand in the functions: what is imported when is part of what is measured.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import psutil

Numbers = dict[str, Any]

TEXT = "The birch canoe slid on the smooth planks, and the boy was there when the sun rose."
NUM_THREADS = 2  # on the CPU
PARAMETERS: tuple[dict[str, float], ...] = (
    {},
    {"temperature": 1.0, "cfg_weight": 0.3},
    {"repetition_penalty": 2.0, "min_p": 0.02, "top_p": 0.9},
    {"cfg_weight": 0.0, "temperature": 0.6, "top_p": 0.8},
)
SEEDS = (1, 2, 3)


def start_ours(weights: Path, num_tokens: int, voice_file: Path) -> Numbers:
    """From process start to ready, and on to speech of num_tokens in a voice whose conditionals were saved before."""
    from synthesis.native.loading import load_native_engine

    engine = load_native_engine(weights, device=_device(), max_speech_tokens=num_tokens)
    ready_s = _since_process_start()
    from synthesis import SynthesisOptions
    from synthesis.conditionals import ChatterboxConditionals

    known_s, voice = _timed(lambda: ChatterboxConditionals.from_bytes(voice_file.read_bytes(), "", "", engine.device))
    engine.synthesize(TEXT, voice, SynthesisOptions())
    return {"ready_s": ready_s, "known_voice_s": known_s, "first_audio_s": _since_process_start(), **_peak()}


def start_upstream(weights: Path, num_tokens: int, voice_file: Path) -> Numbers:
    """The same with the package as it comes, which computes a voice anew for every request. Leaves the conditionals in
    voice_file for `start_ours`."""
    from chatterbox.tts import ChatterboxTTS

    engine = ChatterboxTTS.from_local(weights, _device())
    ready_s = _since_process_start()
    clip = voice_file.with_suffix(".wav")
    prepare = [_timed(lambda: engine.prepare_conditionals(clip))[0]]
    inference = engine.t3.inference
    engine.t3.inference = lambda **arguments: inference(**{**arguments, "max_new_tokens": num_tokens})
    engine.generate(TEXT)
    first_audio_s = _since_process_start()
    prepare += [_timed(lambda: engine.prepare_conditionals(clip))[0] for _ in range(2)]
    from synthesis.chatterbox_model import ChatterboxModel

    voice_file.write_bytes(ChatterboxModel(engine)._as_value(engine.conds.t3, engine.conds.gen).to_bytes("", ""))
    return {"ready_s": ready_s, "known_voice_s": min(prepare), "first_audio_s": first_audio_s, **_peak()}


def decoding(weights: Path, num_steps: int) -> Numbers:
    """T3's tokens a second at several batch sizes, prompts not counted. Upstream knows only a batch of one."""
    import torch

    upstream, model = _both_t3(weights)
    half = _our_t3(weights, torch.bfloat16)
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


def equality(weights: Path, num_steps: int) -> Numbers:
    """Whether T3 samples upstream's tokens: seeds times sets of parameters, all of ours in one batch."""
    upstream, model = _both_t3(weights)
    requests = [_request(seed, parameters, num_steps) for seed in SEEDS for parameters in PARAMETERS]
    decoder = _decoder(model, 2 * len(requests))
    decoded = [decoder.admit(requests), decoder.decode(num_steps - 1)]
    ours = {request: [token for part in decoded for token in dict(part)[request]] for request in requests}
    equal = []
    for request, tokens in ours.items():
        theirs = _upstream_tokens(upstream, request)  # ends where the model does
        equal.append(tokens[: len(theirs)] == theirs)
    return {"tokens_equal": all(equal), "num_compared": len(equal), "num_steps": num_steps}


def speaking(weights: Path, *seconds: int) -> Numbers:
    """S3Gen and vocoder, seconds of work for so many seconds of audio, with the same random numbers for both."""
    import torch
    from chatterbox.models.s3gen import S3Gen as Upstream
    from safetensors.torch import load_file

    from synthesis.native.checkpoint import read_tensors
    from synthesis.native.s3gen import TENSOR_PREFIXES, S3Gen, Utterance

    _prepare_torch()
    device, file = _device(), weights / "s3gen.safetensors"
    upstream = Upstream().eval()
    upstream.load_state_dict(load_file(file), strict=False)
    upstream.to(device)
    ours = S3Gen(read_tensors(file, device=device, prefixes=TENSOR_PREFIXES))
    voice, results, difference = _voice(1, num_prompt_tokens=250), {}, 0.0
    for duration in seconds:
        tokens = torch.randint(6561, (25 * duration,), generator=torch.Generator().manual_seed(duration)).to(device)
        torch.manual_seed(duration)
        names = ("prompt_token", "prompt_token_len", "prompt_feat", "embedding")
        gen = {name: getattr(voice, name) for name in names} | {"prompt_feat_len": None}  # upstream writes into it
        with torch.inference_mode():
            theirs_s, (wave, _) = _timed(lambda t=tokens, g=gen: upstream.inference(speech_tokens=t, ref_dict=g))
        utterance = Utterance(voice, tokens, torch.Generator(device).manual_seed(duration))
        ours_s, [samples] = _timed(lambda u=utterance: ours.decode([u]))
        difference = max(difference, float((torch.from_numpy(samples) - wave[0].cpu()).abs().max()))
        results[f"{duration} s"] = {"upstream_s": theirs_s, "ours_s": ours_s}
    return {"speech": results, "audio_max_diff": difference}


def _device() -> str:
    from synthesis.chatterbox_device import choose_device

    _prepare_torch()
    return choose_device()


def _prepare_torch() -> None:
    import torch

    torch.set_num_threads(NUM_THREADS)


def _since_process_start() -> float:
    return time.time() - psutil.Process().create_time()


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _peak() -> Numbers:
    import resource

    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _both_t3(weights: Path) -> tuple[Any, Any]:
    import torch
    from chatterbox.models.t3 import T3, t3
    from safetensors.torch import load_file

    _prepare_torch()
    t3.tqdm = lambda steps, **_: steps
    upstream = T3().eval()
    upstream.load_state_dict(load_file(weights / "t3_cfg.safetensors"))
    return upstream.to(_device()), _our_t3(weights, torch.float32)


def _our_t3(weights: Path, dtype: Any) -> Any:
    from synthesis.native.t3 import T3

    return T3.load(weights / "t3_cfg.safetensors", device=_device(), dtype=dtype, max_length=512)


def _decoder(model: Any, num_rows: int) -> Any:
    from synthesis.native.decoder import Decoder

    decoder = Decoder(model, num_rows=num_rows, use_graphs=model.device == "cuda")
    while model.device == "cuda" and decoder.warm_up():
        pass
    return decoder


def _voice(seed: int, num_prompt_tokens: int) -> Any:
    import torch

    from synthesis.conditionals import ChatterboxConditionals

    random, device = torch.Generator().manual_seed(seed), _device()
    tensors = {
        "speaker_emb": torch.randn(1, 256, generator=random),
        "cond_prompt_speech_tokens": torch.randint(6561, (1, 150), generator=random),
        "prompt_token": torch.randint(6561, (1, num_prompt_tokens), generator=random),
        "prompt_token_len": torch.tensor([num_prompt_tokens]),
        "prompt_feat": torch.randn(1, 2 * num_prompt_tokens, 80, generator=random),
        "embedding": torch.randn(1, 192, generator=random),
    }
    return ChatterboxConditionals(**{name: tensor.to(device) for name, tensor in tensors.items()})


def _request(seed: int, parameters: dict[str, float], max_tokens: int) -> Any:
    from synthesis.native.request import Request, SamplingParameters

    text = [3 + (7 * seed * place) % 200 for place in range(10 * seed)]
    sampling = SamplingParameters(**parameters, seed=seed)  # type: ignore[arg-type]
    return Request(text, _voice(seed, num_prompt_tokens=25), 0.5, sampling, max_tokens)


def _upstream_tokens(upstream: Any, request: Any) -> list[int]:
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


def _decoding(model: Any, batch: int) -> Any:
    """A decoder in the middle of so many requests."""
    decoder = _decoder(model, 2 * batch)
    decoder.admit([_request(1, {}, 1) for _ in range(batch)])
    decoder.decode(1)
    return decoder


def _our_step_seconds(decoder: Any, num_steps: int) -> list[float]:
    """Of every step on the CPU; on CUDA, where a look waits for the device, of a block as the engine decodes them."""
    if _device() == "cpu":
        return [_timed(lambda: decoder.decode(1))[0] for _ in range(num_steps)]
    return [_timed(lambda: decoder.decode(num_steps))[0] / num_steps]


def _upstream_step_seconds(upstream: Any, num_steps: int) -> list[float]:
    """Of every step after the prompt: upstream's progress bar, which it goes on at every step, takes the time."""
    from chatterbox.models.t3 import t3

    times: list[float] = []

    def steps(numbers: range, **_: Any) -> Iterator[int]:
        for number in numbers:
            times.append(time.perf_counter())
            yield number

    t3.tqdm = steps
    _upstream_tokens(upstream, _request(1, {}, 1 + num_steps))
    return [after - before for before, after in itertools.pairwise(times)]


MEASUREMENTS: dict[str, Callable[..., Numbers]] = {
    "start_ours": lambda weights, tokens, voice: start_ours(weights, int(tokens), Path(voice)),
    "start_upstream": lambda weights, tokens, voice: start_upstream(weights, int(tokens), Path(voice)),
    "decoding": lambda weights, steps: decoding(weights, int(steps)),
    "equality": lambda weights, steps: equality(weights, int(steps)),
    "speaking": lambda weights, *seconds: speaking(weights, *map(int, seconds)),
}


def main() -> None:
    name, weights, *arguments = sys.argv[1:]
    print(json.dumps(MEASUREMENTS[name](Path(weights), *arguments)))


if __name__ == "__main__":
    main()

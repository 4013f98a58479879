"""A folder of weights to a running engine: what is read when, in which dtype, how much of the device is taken.

Only what speaks is read here; what listens to new voices is read when the first one comes (`reference.LazyListener`).
"""

from __future__ import annotations

from pathlib import Path

import torch

from synthesis.chatterbox_device import choose_device, translated_errors
from synthesis.chatterbox_voices import Voices, read_builtin_voice
from synthesis.errors import WeightsNotFound
from synthesis.native.checkpoint import decoder_dtype, read_tensors
from synthesis.native.decoder import Decoder
from synthesis.native.engine import MAX_STEPS_PER_LOOK, NativeEngine
from synthesis.native.reference import LazyListener, LazySpeaker, Listener, SpeakerListener
from synthesis.native.renderer import Renderer
from synthesis.native.runner import Runner
from synthesis.native.s3gen import TENSOR_PREFIXES, S3Gen
from synthesis.native.t3 import T3
from synthesis.native.variants import VARIANTS
from synthesis.native.watermark import Watermarker
from synthesis.weights import repository, weights_revision

_FORMAT = "native-1"  # changes when the same weights and seed give other samples than before

_REQUESTS_ON_THE_CPU = 8  # more decode no faster together
_MAX_ROWS_ON_CUDA = 64
_SHARE_FOR_ROWS = 0.5  # of the memory that weights leave; S3Gen works in the rest
_SPOKEN_TOGETHER_ON_CUDA = 8


def load_native_engine(
    directory: Path,
    *,
    model: str = "base",
    device: str | None = None,
    dtype: torch.dtype | None = None,
    max_speech_tokens: int | None = None,
) -> NativeEngine:
    """A model in directory, on the device asked for or the best one there is.

    dtype: what the heavy parts compute in; None is bfloat16 on CUDA, float32 elsewhere. Raises EngineUnavailable when
    the device or the watermark is missing, WeightsNotFound when the weights do not fit, OutOfDeviceMemory, and
    InvalidOption for a model we do not know.
    """
    repository(model)
    variant = VARIANTS[model]
    device = choose_device(device)
    dtype = dtype or decoder_dtype(device)
    with translated_errors():
        try:
            t3 = variant.t3.load(directory / variant.t3_file, device=device, dtype=dtype, max_length=variant.max_length)
            s3gen = S3Gen(read_tensors(directory / variant.s3gen_file, device=device, prefixes=TENSOR_PREFIXES), dtype)
        except KeyError as error:
            raise WeightsNotFound(
                f"the weights in {directory} lack {error}; set MODEL_DIR to a folder with those of chatterbox's "
                f"{model} model, or fetch it: python builder/fetch_weights.py --model {model} --to DIR"
            ) from error
        runner = _start(t3, s3gen, device)
    listener = LazyListener(
        lambda: Listener.load(directory / variant.s3gen_file, directory / variant.voice_file, device, variant.listening)
    )
    speaker = LazySpeaker(lambda: SpeakerListener.load(directory / variant.voice_file, device, variant.listening))
    revision = weights_revision(model, directory)
    return NativeEngine(
        runner=runner,
        tokenizer=variant.new_tokenizer(directory),
        voices=Voices(
            listener.conditionals,
            model=model,
            revision=revision,
            device=device,
            min_reference_s=variant.model.min_reference_s,
        ),
        builtin=read_builtin_voice(directory / "conds.pt", device),
        watermarker=Watermarker.load(),
        speaker=speaker.speaker,
        variant=variant,
        device=device,
        revision=f"{revision[:16]}-{_FORMAT}-{str(dtype).removeprefix('torch.')}",
        max_speech_tokens=max_speech_tokens,
    )


def _start(t3: T3, s3gen: S3Gen, device: str) -> Runner:
    on_cuda = device == "cuda"
    return Runner(
        lambda num_rows: Decoder(t3, num_rows=num_rows, use_graphs=on_cuda),
        Renderer(s3gen, device),
        num_rows=_rows_that_fit(t3) if on_cuda else _REQUESTS_ON_THE_CPU * (2 if t3.is_guided else 1),
        # Looking costs the CPU nothing, and a generator that never drew too much goes on to S3Gen as upstream's does.
        steps_per_look=MAX_STEPS_PER_LOOK if on_cuda else 1,
        max_spoken=_SPOKEN_TOGETHER_ON_CUDA if on_cuda else 1,
    )


def _rows_that_fit(t3: T3) -> int:
    free, _ = torch.cuda.mem_get_info()
    return max(2, min(_MAX_ROWS_ON_CUDA, int(free * _SHARE_FOR_ROWS) // t3.row_bytes))

"""The parts of the real chatterbox package, called with values: reference audio to conditionals, text and conditionals
to speech tokens, tokens to a waveform, and the watermark.

The one module that knows upstream (chatterbox-tts 0.1.7), its faults among them. It does what upstream's
`tts.py:ChatterboxTTS` does, with the same numbers, but keeps nothing between calls: upstream's `generate` works on the
voice that was stored on the model last. Knows nothing of requests, locks or caches; its callers see to it that one
thread at a time is in here (`watermark` aside) and that torch's global generators are the request's.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from safetensors import SafetensorError
from torch import Tensor

from synthesis.chatterbox_device import translated_errors
from synthesis.conditionals import SPEECH_VOCABULARY, ChatterboxConditionals, ConditionalsError
from synthesis.engine import SAMPLE_RATE_HZ, Samples
from synthesis.errors import Cancelled, EngineUnavailable, WeightsNotFound
from synthesis.options import SynthesisOptions

if TYPE_CHECKING:
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.tts import ChatterboxTTS

logger = logging.getLogger(__name__)


class ChatterboxModel:
    """The base model on one device."""

    def __init__(self, upstream: ChatterboxTTS) -> None:
        self._upstream = upstream
        self.builtin = self._builtin()  # the voice that came with the weights, if one did

    @classmethod
    def load(cls, directory: Path, device: str) -> ChatterboxModel:
        """Raises EngineUnavailable where the package or its watermarker is missing, WeightsNotFound for weights that
        are not the base model's, OutOfDeviceMemory."""
        chatterbox_tts = _import_upstream()
        try:
            with translated_errors():
                return cls(chatterbox_tts.from_local(directory, device))
        except (RuntimeError, LookupError, TypeError, OSError, SafetensorError, UnpicklingError) as error:
            if isinstance(error, RuntimeError) and "state_dict" not in str(error):
                raise  # the device's, not the weights'
            raise WeightsNotFound(
                f"the weights in {directory} are not those of chatterbox's base model; set MODEL_DIR to a folder that "
                "holds them, or fetch them: python builder/fetch_weights.py --model base --to DIR"
            ) from error

    def _builtin(self) -> ChatterboxConditionals | None:
        conds = self._upstream.conds  # of conds.pt, which upstream reads with weights_only
        try:
            return None if conds is None else self._as_value(conds.t3, conds.gen)
        except ConditionalsError as error:
            logger.warning("the built-in voice, conds.pt, cannot be used: %s", error)
            return None

    @torch.inference_mode()
    def conditionals(self, samples: Samples) -> ChatterboxConditionals:
        """Of reference audio, (n,) float32 at 24 kHz: upstream's `prepare_conditionals`, without its file."""
        import librosa
        from chatterbox.models.s3tokenizer import S3_SR
        from chatterbox.models.t3.modules.cond_enc import T3Cond

        model = self._upstream
        samples_16k = librosa.resample(samples, orig_sr=SAMPLE_RATE_HZ, target_sr=S3_SR)
        gen = model.s3gen.embed_ref(samples[: model.DEC_COND_LEN], SAMPLE_RATE_HZ, device=model.device)
        tokens, _ = model.s3gen.tokenizer.forward(
            [samples_16k[: model.ENC_COND_LEN]], max_len=model.t3.hp.speech_cond_prompt_len
        )
        t3 = T3Cond(speaker_emb=self._speaker(samples_16k), cond_prompt_speech_tokens=tokens)
        return self._as_value(t3, gen)

    @torch.inference_mode()
    def speaker(self, samples: Samples) -> Tensor:
        """Who speaks, as T3 is told: (n,) float32 at 24 kHz to (1, 256) of length 1."""
        import librosa
        from chatterbox.models.s3tokenizer import S3_SR

        return self._speaker(librosa.resample(samples, orig_sr=SAMPLE_RATE_HZ, target_sr=S3_SR)).to(
            self._upstream.device
        )

    def _speaker(self, samples_16k: Samples) -> Tensor:
        embeddings = self._upstream.ve.embeds_from_wavs([samples_16k], sample_rate=16_000)
        return torch.from_numpy(embeddings).mean(dim=0, keepdim=True)

    def _as_value(self, t3: T3Cond, gen: Mapping[str, Tensor]) -> ChatterboxConditionals:
        return ChatterboxConditionals.of({**vars(t3), **gen}, self._upstream.device)

    @contextmanager
    def interruptible(self, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Within the block `speech_tokens` and `waveform` ask `cancelled` at every token and every flow-matching step,
        and raise Cancelled once it is true. Upstream's loops have no such place; hooks on what they call are one."""

        def ask(*_: object) -> None:
            if cancelled():
                raise Cancelled

        asked = (self._upstream.t3.tfmr, self._upstream.s3gen.flow.decoder.estimator.time_mlp)
        hooks = [module.register_forward_pre_hook(ask) for module in asked]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.inference_mode()
    def speech_tokens(
        self, text: str, conditionals: ChatterboxConditionals, options: SynthesisOptions, max_tokens: int
    ) -> tuple[Tensor, bool]:
        """T3: the speech tokens of a text, (n,) int64, and whether the model ended them itself.

        Draws from torch's global generators, one sample a token.
        """
        t3 = self._upstream.t3
        predicted = t3.inference(
            t3_cond=self._t3_cond(conditionals, options.exaggeration),
            text_tokens=self._text_tokens(text),
            max_new_tokens=max_tokens,
            temperature=options.temperature,
            cfg_weight=options.cfg_weight,
            repetition_penalty=options.repetition_penalty,
            min_p=options.min_p,
            top_p=options.top_p,
        )[0]
        ended = bool(predicted[-1] == t3.hp.stop_speech_token)
        # What lies above the vocabulary stands for no sound, and S3Gen has no embedding for it. (Upstream's own
        # `drop_invalid_tokens` also drops what was said before a start token, should the model sample one.)
        return predicted[predicted < SPEECH_VOCABULARY], ended

    def _text_tokens(self, text: str) -> Tensor:
        """(2, n) int32: the same text twice, the second row for guidance.

        Upstream passes one row when cfg_weight is 0, and fails: its decoder appends two rows. With both rows and weight
        0 the logits are those of the first, exactly (`t3.py:inference`, "CFG combine").
        """
        from chatterbox.tts import punc_norm

        hp = self._upstream.t3.hp
        tokens = self._upstream.tokenizer.text_to_tokens(punc_norm(text)).to(self._upstream.device)
        tokens = F.pad(F.pad(tokens, (1, 0), value=hp.start_text_token), (0, 1), value=hp.stop_text_token)
        return torch.cat([tokens, tokens])

    def _t3_cond(self, conditionals: ChatterboxConditionals, exaggeration: float) -> T3Cond:
        """Made anew for every call: T3 writes what it computes from it into it (`t3.py:prepare_conditioning`)."""
        from chatterbox.models.t3.modules.cond_enc import T3Cond

        return T3Cond(
            speaker_emb=conditionals.speaker_emb,
            cond_prompt_speech_tokens=conditionals.cond_prompt_speech_tokens,
            emotion_adv=(exaggeration * torch.ones(1, 1, 1)).to(self._upstream.device),
        )

    @torch.inference_mode()
    def waveform(
        self, speech_tokens: Tensor, conditionals: ChatterboxConditionals, cfm_steps: int | None = None
    ) -> Samples:
        """S3Gen: (n,) speech tokens, n > 0, to (960 n,) float32 at 24 kHz. Draws from torch's global generators."""
        # A dict of its own: S3Gen replaces what is in it (`s3gen.py:S3Token2Mel.forward` makes prompt_token float32).
        gen = {
            "prompt_token": conditionals.prompt_token,
            "prompt_token_len": conditionals.prompt_token_len,
            "prompt_feat": conditionals.prompt_feat,
            "prompt_feat_len": None,
            "embedding": conditionals.embedding,
        }
        samples, _ = self._upstream.s3gen.inference(
            speech_tokens=speech_tokens, ref_dict=gen, n_cfm_timesteps=cfm_steps
        )
        return np.asarray(samples.squeeze(0).cpu().numpy(), dtype=np.float32)

    @torch.inference_mode()  # without it users trace 0.5 to 1 GB of host memory a call to the watermark
    def watermark(self, samples: Samples) -> Samples:
        """The same speech, marked as synthetic. Works on the CPU, draws nothing and keeps nothing: any thread may."""
        marked = self._upstream.watermarker.apply_watermark(samples, sample_rate=SAMPLE_RATE_HZ)
        return np.asarray(marked, dtype=np.float32)


def _import_upstream() -> type[ChatterboxTTS]:
    for deprecated in ("pkg_resources", "`LoRACompatibleLinear`", r"`torch\.backends\.cuda\.sdp_kernel\(\)`"):
        warnings.filterwarnings("ignore", message=f"{deprecated} is deprecated")
    try:
        import perth
        from chatterbox.tts import ChatterboxTTS
    except ImportError as error:
        raise EngineUnavailable(
            f"the chatterbox package does not import ({error}); install the full requirement set: make setup-full"
        ) from error
    if perth.PerthImplicitWatermarker is None:  # what perth makes of an import that failed inside it
        raise EngineUnavailable(
            "perth has no watermarker, as it does not find pkg_resources; install 'setuptools<81' and start again"
        )
    _quieten_upstream()
    return cast("type[ChatterboxTTS]", ChatterboxTTS)


@functools.cache
def _quieten_upstream() -> None:
    """Keep upstream's noise out of a worker's output: a progress bar for every segment, a line on stdout where results
    belong, and what is logged on the root logger, which configures logging for the whole process as it goes."""
    from chatterbox.models.s3gen import flow, s3gen
    from chatterbox.models.t3 import t3
    from perth.perth_net.perth_net_implicit.model import perth_net

    t3.tqdm = functools.partial(t3.tqdm, disable=True)
    perth_net.print = logger.debug
    for module in (flow, s3gen):
        module.logging = logging.getLogger(module.__name__)
    # They warn that the tokens of a clip that is no multiple of 40 ms were cut to its frames, which is as it should be,
    # and of attention weights that T3 asks for and nobody looks at.
    for name in (s3gen.__name__, "transformers.integrations.sdpa_attention"):
        logging.getLogger(name).setLevel(logging.ERROR)

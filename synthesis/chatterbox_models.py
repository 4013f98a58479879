"""What a caller must know of Chatterbox's models: which languages they speak, what they sound best with, and how much
of a voice they need. Knows no weights, no networks and no files; imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from synthesis.errors import InvalidOption

MIN_REFERENCE_S = 1.0  # what enrolment asks for too; shorter clips hold too little of a voice

_LANGUAGES = (
    "ar", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "it", "ja", "ko", "ms", "nl", "no", "pl", "pt", "ru",
    "sv", "sw", "tr", "zh",
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """One of them. default_options: where upstream's defaults differ from those of `SynthesisOptions`."""

    name: str
    languages: tuple[str, ...] = ("en",)
    default_options: Mapping[str, float] = field(default_factory=dict)
    is_guided: bool = True  # whether it honours cfg_weight, exaggeration and min_p; else they change nothing
    min_reference_s: float = MIN_REFERENCE_S

    def check_language(self, language: str) -> str:
        """The language's code as the model knows it. Raises InvalidOption for one it does not speak."""
        code = language.lower()
        if code not in self.languages:
            raise InvalidOption(
                f"language is {language!r}; the {self.name} model speaks only {', '.join(map(repr, self.languages))}; "
                "leave language out or choose one of them"
            )
        return code


CHATTERBOX_MODELS = {
    model.name: model
    for model in (
        Model("base"),
        # chatterbox `tts_turbo.py`: `generate`, which warns of what it ignores; `prepare_conditionals`
        Model("turbo", default_options={"top_p": 0.95}, is_guided=False, min_reference_s=5.0),
        Model("multilingual", languages=_LANGUAGES, default_options={"repetition_penalty": 2.0}),  # `mtl_tts.py`
    )
}

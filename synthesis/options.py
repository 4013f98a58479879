"""What a caller may ask of one utterance: frozen, with ranges written down once.

Knows nothing of jobs, voices or engines. The job parser reads the ranges from the field metadata here, so that no
bound stands in two places.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from synthesis.errors import InvalidOption

MAX_SEED = 2**32 - 1


def _option(default: Any, description: str, ge: float | None = None, le: float | None = None) -> Any:
    bounds = {name: bound for name, bound in (("ge", ge), ("le", le)) if bound is not None}
    return field(default=default, metadata={"description": description, **bounds})


@dataclass(frozen=True)
class SynthesisOptions:
    """Options of one utterance; defaults are upstream's (chatterbox `tts.py:generate`). cfm_steps None: the model's own
    number, 10, or 2 for a distilled model.

    Raises InvalidOption when a value is outside its range.
    """

    seed: int = _option(0, "of the request's own random generator; the same seed is the same speech", 0, MAX_SEED)
    exaggeration: float = _option(0.5, "emotion intensity; 0.5 is neutral", 0.0, 2.0)
    cfg_weight: float = _option(0.5, "how strongly text and pacing are enforced; 0 turns guidance off", 0.0, 1.0)
    temperature: float = _option(0.8, "randomness of the speech tokens", 0.05, 5.0)
    top_p: float = _option(1.0, "nucleus: smallest set of tokens with this probability", 0.01, 1.0)
    min_p: float = _option(0.05, "tokens less likely than this share of the best one are dropped", 0.0, 1.0)
    repetition_penalty: float = _option(1.2, "above 1, tokens already spoken become less likely", 1.0, 2.0)
    cfm_steps: int | None = _option(None, "steps of flow matching; fewer are faster and rougher", 1, 50)
    language: str = _option("en", "language of the text, an ISO 639-1 code")
    pronunciation: tuple[tuple[str, str], ...] = _option((), "words, and what to say for them")

    def __post_init__(self) -> None:
        for option in fields(self):
            value, bounds = getattr(self, option.name), option.metadata
            if value is not None and "ge" in bounds and not bounds["ge"] <= value <= bounds["le"]:
                allowed = f"{bounds['ge']:g} to {bounds['le']:g}"
                raise InvalidOption(f"{option.name} is {value}; allowed is {allowed}; choose a value in that range")

"""Where in its text speech has arrived, and whether it must not end yet or must end now: upstream's checks on it.

Chatterbox `alignment_stream_analyzer.py:AlignmentStreamAnalyzer`, which looks at every token's attention on the host;
here the same state is kept on the device, for all sequences at once: nothing waits, and a step can be captured. The
matrix of all attention is not needed for it, only sums over its rows since the text was through. Upstream's marks of a
false start and its raw timestamps decide nothing and are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from synthesis.native.vocabulary import STOP_SPEECH_TOKEN

_NEVER, _CERTAIN = -(2.0**15), 2.0**15  # logits
_FURTHEST_BACK, _FURTHEST_AHEAD = 4, 7  # text tokens that speech may move in one step; else it is a glitch
_TAIL = 3  # text tokens at the end: punctuation and the stop, which is hardly ever attended to
_LONGEST_TAIL = 5.0  # frames' worth of attention on one of them, 200 ms
_NOT_REPEATED = 5  # text tokens at the end that do not count as said again
_LONGEST_REPETITION = 5.0
_SHORTEST_TEXT = 5  # text tokens; a shorter text may end at any time
_REPEATED_FROM = 2  # which token, counted from the start of speech, may be the first repetition


class Alignment:
    """State of S slots; slot by slot as in `slots.Slots`. Text tokens are counted with their start and stop."""

    def __init__(self, num_slots: int, vocabulary: int, text_start: int, device: str) -> None:
        """vocabulary: of speech, V. text_start: position of the first text token in every prompt."""

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self._text_start = text_start
        self._is_stop = torch.arange(vocabulary, device=device)[None] == STOP_SPEECH_TOKEN  # (1, V)
        self._only_stop = torch.where(self._is_stop, _CERTAIN, _NEVER)
        self.text_length = zeros(num_slots)
        self.reached = zeros(num_slots)  # text token that is being said
        self.complete = zeros(num_slots, dtype=torch.bool)  # all of the text has been
        self.previous = zeros(num_slots)  # speech token
        self.tail = zeros(num_slots, _TAIL, dtype=torch.float32)  # attention on the last tokens since it was complete
        self.repetition = zeros(num_slots, dtype=torch.float32)  # highest attention on earlier ones, added up since

    def fill(self, slot: int, text_length: int, start_token: int) -> None:
        """Begin with a text of so many tokens."""
        self.text_length[slot], self.reached[slot], self.previous[slot] = text_length, 0, start_token
        self.complete[slot], self.tail[slot], self.repetition[slot] = False, 0.0, 0.0

    def move(self, source: int, target: int) -> None:
        for tensor in (self.text_length, self.reached, self.complete, self.previous, self.tail, self.repetition):
            tensor[target] = tensor[source]

    def begin(self, logits: Tensor, slots: slice) -> Tensor:
        """`check` of the first token: the prompt has only looked at the start of the text."""
        return self._not_yet(logits, self.reached[slots], slots)

    def check(self, logits: Tensor, attention: Tensor, tokens: Tensor, num_sampled: Tensor, slots: slice) -> Tensor:
        """Logits (B, V), with the stop made impossible or certain where it must be.

        attention: (B, n) over positions, while the last tokens (B,) were read; num_sampled: (B,), them included.
        """
        length = self.text_length[slots, None]
        index = torch.arange(attention.shape[1], device=attention.device)[None] - self._text_start  # of a text token
        # No further than one text token a step: what lies ahead is not looked at.
        in_text = (index >= 0) & (index < length) & (index <= num_sampled[:, None])
        looked_at = torch.where(in_text, attention, -1.0)
        at = (looked_at.argmax(dim=-1) - self._text_start).clamp(min=0)  # (B,)
        moved = at - self.reached[slots]
        steady = (moved > -_FURTHEST_BACK) & (moved < _FURTHEST_AHEAD)
        self.reached[slots] = torch.where(steady, at, self.reached[slots])
        self._add_up(torch.where(in_text, attention, 0.0), index, length, slots)
        self.complete[slots] |= self.reached[slots] >= self.text_length[slots] - _TAIL
        overdue = (self.tail[slots].amax(dim=-1) >= _LONGEST_TAIL) | (self.repetition[slots] > _LONGEST_REPETITION)
        stuck = (tokens == self.previous[slots]) & (num_sampled >= _REPEATED_FROM)
        self.previous[slots] = tokens
        stops = (self.complete[slots] & overdue) | stuck
        return torch.where(stops[:, None], self._only_stop, self._not_yet(logits, at, slots))

    def _add_up(self, attention: Tensor, index: Tensor, length: Tensor, slots: slice) -> None:
        """Count a frame that comes after the text was complete; attention (B, n), 0 outside the text."""
        after = self.complete[slots, None].float()
        last = self._text_start + length - _TAIL + torch.arange(_TAIL, device=attention.device)  # (B, 3) positions
        self.tail[slots] += after * attention.gather(1, last.clamp(0, attention.shape[1] - 1))
        earlier = torch.where(index < length - _NOT_REPEATED, attention, 0.0)
        self.repetition[slots] += after[:, 0] * earlier.amax(dim=-1)

    def _not_yet(self, logits: Tensor, at: Tensor, slots: slice) -> Tensor:
        length = self.text_length[slots]
        early = (at < length - _TAIL) & (length > _SHORTEST_TEXT)
        return logits.masked_fill(early[:, None] & self._is_stop, _NEVER)

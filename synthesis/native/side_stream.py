"""Work that a device does beside its other work, and its results on their way to the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from synthesis.engine import Samples


class Launched:
    """Results that come when the device is done; until then whoever holds this holds what the work reads."""

    def __init__(self, tensors: list[Tensor], event: Any = None) -> None:
        """tensors: on the host. event: of CUDA, after the last of them is written; None where they are there."""
        self._tensors, self._event = tensors, event

    def is_done(self) -> bool:
        return self._event is None or bool(self._event.query())

    def arrays(self) -> list[Samples]:
        """Waits for them."""
        if self._event is not None:
            self._event.synchronize()
        return [tensor.numpy() for tensor in self._tensors]


class SideStream:
    """One thread at a time. Off CUDA work is done when it is launched."""

    def __init__(self, device: str) -> None:
        self._stream: Any = torch.cuda.Stream() if device == "cuda" else None  # type: ignore[no-untyped-call]

    def launch(self, work: Callable[[], list[Tensor]]) -> Launched:
        """work: its tensors are float32. What it reads must live until the results are there."""
        if self._stream is None:
            return Launched([tensor.cpu() for tensor in work()])
        self._stream.wait_stream(torch.cuda.current_stream())  # for voices that others have just made there
        with torch.cuda.stream(self._stream):
            copies = [_to_host(tensor) for tensor in work()]
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()  # type: ignore[no-untyped-call]
        return Launched(copies, done)


def _to_host(tensor: Tensor) -> Tensor:
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)

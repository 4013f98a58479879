"""The device chatterbox computes on: which one, its random generators, and its memory running out.

Knows nothing of models or speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from synthesis.errors import EngineUnavailable, OutOfDeviceMemory

DEVICES = ("cuda", "mps", "cpu")  # best first


def choose_device(asked: str | None = None) -> str:
    """The device asked for, else the best one of this machine. EngineUnavailable when it is not there."""
    present = [device for device in DEVICES if _is_present(device)]
    if not asked:
        return present[0]
    if asked not in present:
        raise EngineUnavailable(
            f"device {asked!r} is not on this machine; allowed is {', '.join(present)}; set DEVICE to that or unset it"
        )
    return asked


def _is_present(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_available()
    return device == "cpu" or torch.backends.mps.is_available()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raises OutOfDeviceMemory for every way in which torch says that memory has run out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not _is_out_of_memory(error):
            raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # the next request may need it in other pieces
        raise OutOfDeviceMemory(
            "the device ran out of memory; allowed is what its memory holds; send a shorter text or use a larger device"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    # The CPU's allocator and MPS raise plain RuntimeErrors.
    plain = ("can't allocate memory", "MPS backend out of memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in str(error) for text in plain)


class RequestRandom:
    """A request's own random numbers, from code that can only draw from torch's global generators.

    Holds the state those generators would have after `torch.manual_seed(seed)` and what the request has drawn so far.
    """

    def __init__(self, seed: int, device: str) -> None:
        self._device = device
        self._states = [torch.Generator(name).manual_seed(seed).get_state() for name in self._generators()]

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Within the block the global generators are the request's; after it they are what they were before.

        The generators are the process's: whoever enters must hold a lock that everyone who draws holds.
        """
        outside = self._exchange(self._states)
        try:
            yield
        finally:
            self._states = self._exchange(outside)

    def _generators(self) -> tuple[str, ...]:
        """Upstream draws on the device and, for one phase vector, on the CPU (`hifigan.py:SineGen.forward`)."""
        return ("cpu",) if self._device == "cpu" else ("cpu", self._device)

    def _exchange(self, states: list[Tensor]) -> list[Tensor]:
        modules = [torch.random if name == "cpu" else torch.get_device_module(name) for name in self._generators()]
        before = [module.get_rng_state() for module in modules]
        for module, state in zip(modules, states, strict=True):
            module.set_rng_state(state)
        return before

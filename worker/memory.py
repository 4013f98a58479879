"""Memory that jobs have freed, given back to the system: resident memory follows what is held, not the busiest moment.

glibc keeps freed memory in up to eight arenas a core, one for every few threads, and hardly ever returns it; with 32
threads encoding audio that is tens of megabytes which grow for hours. Here there are two arenas, trimmed now and then
(a trim takes milliseconds, outside the interpreter's lock). Other C libraries have neither, and nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading

M_ARENA_MAX = -8  # glibc `malloc.h`
ARENAS = 2
TRIM_EVERY_S = 15.0


def keep_trimmed() -> None:
    """From now on, for as long as the process lives. To be called before its threads start."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, ARENAS)
        threading.Thread(target=_trim_again_and_again, args=(libc.malloc_trim,), name="trim", daemon=True).start()


def _trim_again_and_again(trim: ctypes._NamedFuncPointer) -> None:
    never = threading.Event()
    while not never.wait(TRIM_EVERY_S):
        trim(0)

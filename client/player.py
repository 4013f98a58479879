"""Play a stream while it comes: piped into a program that plays audio from its standard input."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterable, Iterable, Sequence

from client.errors import VoiceClientError

PLAYERS = (
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet", "-i", "-"),
    ("mpv", "--no-terminal", "-"),
    ("play", "-q", "-t", "wav", "-"),
    ("aplay", "-q", "-"),
)


class PlayerFailed(VoiceClientError):
    """There is no player, or it gave up."""


def play(pieces: Iterable[bytes], command: Sequence[str] | None = None) -> None:
    """Until the last piece is played. command: None takes the first of PLAYERS that is there. Raises PlayerFailed."""
    program = list(command) if command else _found()
    with subprocess.Popen(program, stdin=subprocess.PIPE) as process:  # noqa: S603 - the caller's own choice
        assert process.stdin is not None
        try:
            for piece in pieces:
                process.stdin.write(piece)
                process.stdin.flush()
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended: its status says why
        except BaseException:
            process.kill()
            raise
    _check(process.returncode, program)


async def play_async(pieces: AsyncIterable[bytes], command: Sequence[str] | None = None) -> None:
    """The same for a stream of an event loop."""
    program = list(command) if command else _found()
    process = await asyncio.create_subprocess_exec(*program, stdin=asyncio.subprocess.PIPE)
    assert process.stdin is not None
    try:
        async for piece in pieces:
            process.stdin.write(piece)
            await process.stdin.drain()
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has ended: its status says why
    except BaseException:
        process.kill()
        raise
    finally:
        status = await process.wait()
    _check(status, program)


def _check(status: int, program: Sequence[str]) -> None:
    if status != 0:
        raise PlayerFailed(f"{program[0]} exited with status {status}; try another player")


def _found() -> list[str]:
    for command in PLAYERS:
        if shutil.which(command[0]):
            return list(command)
    names = ", ".join(command[0] for command in PLAYERS)
    raise PlayerFailed(f"no player is installed; one of {names} is needed; install one, or stream to a file")

"""The main job in one command: register a voice, let it speak, write a file to listen to.

    python -m worker.demo [REFERENCE] [--name Demo] [--text "..."] [--out out/hello.wav]

Goes through `handler(job)` like any caller. Without a recording of your own, the reference is eSpeak NG in a voice
higher than its built-in one: enough to hear that what speaks is the voice that was registered.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
from pathlib import Path
from typing import Any

from handler import handler

TEXT = "Hello! I was registered a moment ago, and now I can say anything you type."
REFERENCE_TEXT = "This short recording is all that the worker hears before it speaks in this voice."
REFERENCE_F0_HZ = 205.0


class DemoFailed(Exception):
    """A job answered with an error; the message is the worker's."""


def _ask(**job_input: Any) -> dict[str, Any]:
    answer = handler({"id": f"demo-{job_input['type']}", "input": job_input})
    if "error" in answer:
        raise DemoFailed(answer["error"])
    return answer


def _recording() -> bytes:
    """A WAV file to register when the user brings none."""
    from synthesis import SAMPLE_RATE_HZ, SynthesisOptions, encode
    from synthesis.espeak import EspeakEngine, EspeakVoice

    engine = EspeakEngine()
    speech = engine.synthesize(REFERENCE_TEXT, EspeakVoice.from_f0(REFERENCE_F0_HZ), SynthesisOptions())
    return encode(speech, SAMPLE_RATE_HZ, "wav")


def run(reference: Path | None, name: str, text: str, out: Path) -> str:
    """Register, speak, write `out`; returns the line to show. Raises DemoFailed or OSError."""
    recording = reference.read_bytes() if reference else _recording()
    voice = _ask(
        type="register_voice",
        voice_name=name,
        reference_audio=base64.b64encode(recording).decode("ascii"),
        on_conflict="replace",
    )
    speech = _ask(type="synthesize", text=text, voice_id=voice["voice_id"], format=out.suffix.lstrip(".") or "wav")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(base64.b64decode(speech["audio"]))
    return f"{out}  {speech['duration']:.1f} s  voice={name} ({voice['voice_id']})  engine={speech['engine']}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.demo", description="Register a voice and let it speak.")
    parser.add_argument("reference", nargs="?", type=Path, help="a recording of the voice, 1 s to 10 min")
    parser.add_argument("--name", default="Demo", help="the voice's name (default: %(default)s)")
    parser.add_argument("--text", default=TEXT, help="what to say")
    parser.add_argument("--out", default=Path("out/hello.wav"), type=Path, help="where to write (default: %(default)s)")
    given = parser.parse_args(arguments)
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")
    try:
        print(run(given.reference, given.name, given.text, given.out))
    except (DemoFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

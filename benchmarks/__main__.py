"""Run benchmark parts one after the other: `python -m benchmarks [part ...]`, all of them where none is named.

A part is a module here with `main() -> None`; it keeps its table, chart and JSON in benchmarks/results.
"""

from __future__ import annotations

import argparse
import importlib

PARTS = {
    "defects": "what the checks of speech find, and what they cost (half a minute)",
    "engine": "the fast engine against upstream's package: start, tokens a second, speech, equality (about 20 minutes)",
    "library": "voices in a bucket: registrations, lookups, cold start, memory (10 to 25 minutes)",
    "server": "the HTTP server: up to 200 requests at a time, memory, overhead (about 5 minutes)",
    "worker": "jobs through RunPod's loop: throughput, overhead, streaming, memory (about 8 minutes)",
}


def main() -> None:
    listed = "".join(f"\n  {name}: {about}" for name, about in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=f"parts:{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    for part in parser.parse_args().parts or PARTS:
        print(f"# {part}")
        importlib.import_module(f"benchmarks.{part}").main()


if __name__ == "__main__":
    main()

"""The mirrored library with few and with very many voices in the bucket, on a real store (Ceph RGW on loopback),
against the naive "read the catalog, add a voice, write it back" in the same run.

Writes benchmarks/results/library.md, .png and .json; prints the table and, as its last line, the JSON.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.library_measure import (
    cold_start,
    in_fresh_process,
    lookups,
    memory,
    naive_registrations,
    registrations,
)
from benchmarks.many_voices import fill
from tests.s3_servers import S3Server, missing_programs, running_gateway
from voice_library.stores.settings import BucketSettings

FEW, MANY = 10, int(os.environ.get("BENCH_MANY_VOICES", "100000"))
ROUNDS, PER_ROUND, NAIVE_COUNT = 4, 60, 8
STORE_BYTES = 16 << 30  # a sparse file; 100,000 voices are 300,000 objects and take about 3 GB of it
RESULTS = Path(__file__).parent / "results"
Row = tuple[str, str, str, str]  # what, with few, with many, target


def main() -> None:
    if missing := missing_programs():
        sys.exit(f"the library's benchmark needs {', '.join(missing)}: builder/install_test_packages.sh installs them")
    with tempfile.TemporaryDirectory() as home, _gateway(Path(home)) as server:
        buckets = {count: _filled(server, count) for count in (FEW, MANY)}
        measured = {count: _measure(bucket, count) for count, bucket in buckets.items()}
        for round_number in range(ROUNDS):  # alternating: what disturbs the machine disturbs both
            for count, bucket in buckets.items():
                first = 10_000 * (round_number + 1)
                measured[count]["rounds"].append(in_fresh_process(registrations, bucket, PER_ROUND, first))
        for count, bucket in buckets.items():  # last, for it overwrites the snapshots
            measured[count]["naive"] = in_fresh_process(naive_registrations, bucket, NAIVE_COUNT, 0)["seconds"]
    summary = {str(count): _summary(result) for count, result in measured.items()}
    _report(summary)


def _gateway(home: Path) -> AbstractContextManager[S3Server]:
    return running_gateway(home / "ceph", on_disk=True, max_bytes=STORE_BYTES)


def _filled(server: S3Server, count: int) -> BucketSettings:
    bucket, started = server.new_bucket(), time.monotonic()
    fill(bucket, count)
    print(f"{count} voices written in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return bucket


def _measure(bucket: BucketSettings, count: int) -> dict[str, Any]:
    return {
        "cold_name": in_fresh_process(cold_start, bucket, count // 2, "name"),
        "cold_id": in_fresh_process(cold_start, bucket, count // 3, "id"),
        "lookups": in_fresh_process(lookups, bucket, count),
        "memory": in_fresh_process(memory, bucket, 1),
        "rounds": [],
    }


def _summary(measured: dict[str, Any]) -> dict[str, Any]:
    seconds = [second for part in measured["rounds"] for second in part["seconds"]]
    return {
        "register_p50_ms": _ms(np.percentile(seconds, 50)),
        "register_p95_ms": _ms(np.percentile(seconds, 95)),
        "register_p50_ms_by_round": [_ms(np.median(part["seconds"])) for part in measured["rounds"]],
        "registrations_per_s": round(len(seconds) / sum(part["wall_s"] for part in measured["rounds"]), 1),
        "requests_per_register": round(sum(part["requests"] for part in measured["rounds"]) / len(seconds), 2),
        "naive_p50_ms": _ms(np.percentile(measured["naive"], 50)),
        "naive_p95_ms": _ms(np.percentile(measured["naive"], 95)),
        "cold_start_by_name_ms": _ms(measured["cold_name"]["seconds"]),
        "cold_start_by_name_requests": measured["cold_name"]["requests"],
        "cold_start_by_id_ms": _ms(measured["cold_id"]["seconds"]),
        "cold_start_by_id_requests": measured["cold_id"]["requests"],
        "cold_start_lists": measured["cold_name"]["lists"] + measured["cold_id"]["lists"],
        **{f"{name[:-2]}_us": round(value * 1e6, 1) for name, value in measured["lookups"].items()},
        "first_list_ms": _ms(measured["memory"]["first_list_s"]),
        "resident_mb": round(measured["memory"]["resident"] / 1e6, 1),
        "peak_mb": round(measured["memory"]["peak"] / 1e6, 1),
    }


def _ms(seconds: float) -> float:
    return round(float(seconds) * 1e3, 2)


def _report(summary: dict[str, dict[str, Any]]) -> None:
    few, many = summary[str(FEW)], summary[str(MANY)]
    growth_mb = round(many["resident_mb"] - few["resident_mb"], 1)
    cold_requests = max(part[f"cold_start_by_{by}_requests"] for part in (few, many) for by in ("name", "id"))
    targets = {
        "register_p50_ratio": _target(round(many["register_p50_ms"] / few["register_p50_ms"], 2), 1.3),
        "cold_start_requests": _target(cold_requests, 5),
        "cold_start_lists": _target(few["cold_start_lists"] + many["cold_start_lists"], 0),
        "hot_lookup_us": _target(max(few["hot_id_us"], many["hot_id_us"]), 50),
        "resident_growth_mb": _target(growth_mb, 150),
    }
    table = _table(few, many, targets)
    result = {"benchmark": "library", "machine": _machine(), "voices": summary, "targets": targets}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "library.md").write_text(table, encoding="utf-8")
    (RESULTS / "library.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _chart(few, many)
    print(table)
    print(json.dumps(result))


def _target(value: float, limit: float) -> dict[str, Any]:
    return {"value": value, "target": limit, "met": value <= limit}


def _table(few: dict[str, Any], many: dict[str, Any], targets: dict[str, dict[str, Any]]) -> str:
    rows = [
        (label, f"{few[key]:,} {unit}", f"{many[key]:,} {unit}")
        for label, key, unit in (
            ("register, p50", "register_p50_ms", "ms"),
            ("register, p95", "register_p95_ms", "ms"),
            ("registrations of one worker", "registrations_per_s", "/s"),
            ("requests per register, folds included", "requests_per_register", ""),
            ("naive read-modify-write, p50", "naive_p50_ms", "ms"),
            ("naive read-modify-write, p95", "naive_p95_ms", "ms"),
            ("cold start to first voice, by name", "cold_start_by_name_ms", "ms"),
            ("- its requests", "cold_start_by_name_requests", ""),
            ("cold start to first voice, by id", "cold_start_by_id_ms", "ms"),
            ("- its requests", "cold_start_by_id_requests", ""),
            ("lookup by id, hot", "hot_id_us", "µs"),
            ("lookup by id, cold", "cold_id_us", "µs"),
            ("lookup by name, hot (one 304)", "hot_name_us", "µs"),
            ("lookup by name, cold", "cold_name_us", "µs"),
            ("first list_voices of a process", "first_list_ms", "ms"),
            ("resident after list, register and fold", "resident_mb", "MB"),
            ("peak", "peak_mb", "MB"),
        )
    ]
    body = "\n".join(f"| {what} | {one.strip()} | {other.strip()} |" for what, one, other in rows)
    met = "\n".join(
        f"| {name} | {each['value']} | {each['target']} | {'yes' if each['met'] else 'NO'} |"
        for name, each in targets.items()
    )
    machine = "\n".join(f"- {name}: {value}" for name, value in _machine().items())
    return (
        f"# The library in a bucket\n\n`make bench`, part `library`: {ROUNDS} rounds of {PER_ROUND} registrations, "
        f"alternating; naive: {NAIVE_COUNT}.\n\n| | {FEW:,} voices | {MANY:,} voices |\n|---|---|---|\n{body}\n\n"
        f"| target | value | at most | met |\n|---|---|---|---|\n{met}\n\n{machine}\n\n![chart](library.png)\n"
    )


def _machine() -> dict[str, str]:
    ceph = subprocess.run(["radosgw", "--version"], capture_output=True, text=True, check=False).stdout.split()
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())  # fmt: skip
    return {
        "store": f"Ceph RGW {ceph[2] if len(ceph) > 2 else '?'}, BlueStore on a file, loopback HTTP",
        "processor": f"{model}, {os.cpu_count()} cores, shared by the store and the workers",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "load of the machine, 1 and 15 min": "{0:.1f}, {2:.1f}".format(*os.getloadavg()),
        "versions": f"Python {platform.python_version()}, boto3 {version('boto3')}, numpy {version('numpy')}",
    }


def _chart(few: dict[str, Any], many: dict[str, Any]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    panels = (
        ("Register a voice", {"this library, p50": "register_p50_ms", "this library, p95": "register_p95_ms",
                              "naive, p50": "naive_p50_ms"}, 1.0),
        ("Find a voice", {"id, hot": "hot_id_us", "id, cold": "cold_id_us", "name, hot": "hot_name_us",
                          "name, cold": "cold_name_us"}, 1e-3),
    )  # fmt: skip
    for axis, (title, bars, to_ms) in zip(axes, panels, strict=True):
        for offset, (label, part) in enumerate(((f"{FEW:,} voices", few), (f"{MANY:,} voices", many))):
            heights = [part[key] * to_ms for key in bars.values()]
            drawn = axis.bar(np.arange(len(bars)) + 0.4 * offset, heights, 0.38, label=label)
            axis.bar_label(drawn, [f"{height:.3g}" for height in heights], fontsize=8)
        axis.set_xticks(np.arange(len(bars)) + 0.2, list(bars))
        axis.set_yscale("log")
        axis.set_ylabel("milliseconds")
        axis.set_title(title)
        axis.legend()
    figure.savefig(RESULTS / "library.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()

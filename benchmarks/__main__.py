"""`make bench`: every benchmark, or those named; prints tables and writes all figures as JSON."""

import argparse
import json
import os
import platform
import sqlite3
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

BENCHMARKS = (
    "hooks",
    "rest",
    "lists",
    "start",
    "api_audit",
    "vault",
    "capture",
    "redact",
    "warnings",
    "recall",
    "crowd",
)
DEFAULT_OUT = Path("build/benchmarks.json")


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "sqlite": sqlite3.sqlite_version,
    }


def main() -> int:
    """Run the benchmarks; 1 when one of them says that a floor does not hold."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[[], *BENCHMARKS], help="which (all)")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help=f"where the JSON goes ({DEFAULT_OUT})")
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine()}
    for name in options.only or BENCHMARKS:
        benchmark = import_module(f"benchmarks.{name}")
        print(f"\n{name}", flush=True)
        figures[name] = benchmark.run()
        print(benchmark.table(figures[name]), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\nWritten to {options.out}.")
    return 0 if all(found.get("holds", True) for found in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

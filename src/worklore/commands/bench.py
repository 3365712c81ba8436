"""``worklore bench``: measure recall and compression on a data set."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from worklore.kernel.settings import load


def add(commands: Any) -> None:
    """What the command takes."""
    bench = commands.add_parser("bench", help="measure recall and compression on a data set").add_subparsers(
        required=True, metavar="WHAT"
    )
    measured = bench.add_parser("recall", help="evidence recall of a data set's folder, beside plain searches")
    measured.add_argument("folder", type=Path)
    measured.add_argument("--json", action="store_true")
    measured.add_argument("--database-url", help="measure beside this one (WORKLORE_DATABASE_URL)")
    measured.set_defaults(run=run)
    named = bench.add_parser("identifiers", help="names asked for otherwise than they are written, a set made up anew")
    named.add_argument("--names", type=int, default=300, help="how many (%(default)s)")
    named.add_argument("--seed", type=int, default=0, help="of the set (%(default)s)")
    named.add_argument("--json", action="store_true")
    named.add_argument("--database-url", help="measure beside this one (WORKLORE_DATABASE_URL)")
    named.set_defaults(run=run_identifiers)
    tuned = bench.add_parser("tune", help="what each signal is worth, and better weights; changes nothing")
    tuned.add_argument("folder", type=Path, help="a development part; one kept for testing is refused")
    tuned.add_argument("--words", action="store_true", help="the weights for words alone")
    tuned.add_argument(
        "--rounds", type=int, default=3, help="most times all weights are tried; 0 tries none (%(default)s)"
    )
    tuned.add_argument("--seed", type=int, default=0, help="of the intervals (%(default)s)")
    tuned.add_argument("--keep", type=Path, help="a file that keeps the vectors for the next time")
    tuned.add_argument("--json", action="store_true")
    tuned.set_defaults(run=run_tune)
    compressed = bench.add_parser("compress", help="tokens saved and evidence kept, beside plain truncation")
    compressed.add_argument("folder", type=Path)
    compressed.add_argument("--json", action="store_true")
    compressed.set_defaults(run=run_compress)


def run(options: argparse.Namespace) -> int:
    """Measure, and print the figures."""
    from worklore.memory.bench import table  # noqa: PLC0415 - one command needs it
    from worklore.ops.bench import bench_recall  # noqa: PLC0415 - one command needs it

    result = bench_recall(options.folder, options.database_url or load().url)
    print(json.dumps(result, indent=2) if options.json else table(result))  # noqa: T201 - a command's answer
    return 0


def run_identifiers(options: argparse.Namespace) -> int:
    """Measure how names are found, and print the figures."""
    from worklore.memory.bench import table  # noqa: PLC0415 - one command needs it
    from worklore.ops.bench import bench_identifiers  # noqa: PLC0415 - one command needs it

    url = options.database_url or load().url
    result = bench_identifiers(url, names=options.names, seed=options.seed)
    print(json.dumps(result, indent=2) if options.json else table(result))  # noqa: T201 - a command's answer
    return 0


def run_tune(options: argparse.Namespace) -> int:
    """Search for better weights, say each step on standard error, and print what was found."""
    from worklore.memory.tune import table  # noqa: PLC0415 - one command needs it
    from worklore.ops.bench import bench_tune  # noqa: PLC0415 - one command needs it

    result = bench_tune(
        options.folder,
        words=options.words,
        rounds=options.rounds,
        seed=options.seed,
        keep=options.keep,
        progress=lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201 - it takes minutes
    )
    print(json.dumps(result, indent=2) if options.json else table(result))  # noqa: T201 - a command's answer
    return 0


def run_compress(options: argparse.Namespace) -> int:
    """Measure the conversation compressor, and print the figures."""
    from worklore.kernel.errors import InvalidError  # noqa: PLC0415 - one command needs it
    from worklore.memory.bench import DatasetError  # noqa: PLC0415 - one command needs it
    from worklore.memory.compress.bench import run as measure  # noqa: PLC0415 - one command needs it
    from worklore.memory.compress.bench import table as shown  # noqa: PLC0415 - one command needs it

    try:
        result = measure(options.folder)
    except DatasetError as error:
        hint = "Name a folder with meta.json, documents.jsonl, queries.jsonl."
        raise InvalidError(f"{error}.", hint=hint) from error
    print(json.dumps(result, indent=2) if options.json else shown(result))  # noqa: T201 - a command's answer
    return 0

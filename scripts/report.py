#!/usr/bin/env python
"""Writes the results of a test run as a page: for each area and database what passed, failed and was left out.

Usage: scripts/report.py RESULTS.xml PAGE.html, where RESULTS.xml is what `pytest --junitxml` wrote; `make report` calls
it after a run of all tests.
"""

import platform
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from xml.etree import ElementTree as ET

DATABASES = ("sqlite", "mariadb", "postgresql", "no database of its own")
SLOWEST = 15
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .3rem .8rem; border-bottom: 1px solid #ccc }
th { text-align: left } td.n { text-align: right; font-variant-numeric: tabular-nums }
.bad { color: #b00020; font-weight: 600 } pre { background: #f4f4f4; padding: .8rem; overflow-x: auto }
"""


@dataclass(frozen=True)
class Result:
    """One test on one database."""

    name: str
    area: str
    database: str
    outcome: str
    seconds: float
    text: str


def read(path: Path) -> list[Result]:
    """The results in a file of JUnit's form."""
    found: list[Result] = []
    for case in ET.parse(path).getroot().iter("testcase"):  # noqa: S314 - our own test run wrote it
        name, place = case.get("name", ""), case.get("classname", "")
        told = next((child for child in case if child.tag in {"failure", "error", "skipped"}), None)
        outcome = "passed" if told is None else "left out" if told.tag == "skipped" else "failed"
        parameters = re.split(r"[-\[\]]", name.partition("[")[2])
        database = next((known for known in DATABASES if known in parameters), DATABASES[-1])
        area = place.removeprefix("tests.").partition(".")[0]
        text = "" if told is None else told.text or told.get("message", "")
        found.append(Result(f"{place}::{name}", area, database, outcome, float(case.get("time", 0)), text))
    return found


def table(head: list[str], rows: list[list[str | int]]) -> str:
    """A table; numbers stand to the right."""
    lines = ["<table><tr>", *(f"<th>{escape(name)}</th>" for name in head), "</tr>"]
    for row in rows:
        cells = (f'<td class="n">{cell}</td>' if isinstance(cell, int) else f"<td>{cell}</td>" for cell in row)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table>"])


def page(results: list[Result]) -> str:
    """The whole page."""
    counted: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for result in results:
        counted[result.area, result.database][result.outcome] += 1
        counted["", result.database][result.outcome] += 1
    failed = [result for result in results if result.outcome == "failed"]
    totals = [
        [database, counted["", database]["passed"], counted["", database]["failed"], counted["", database]["left out"]]
        for database in DATABASES
    ]
    areas = [
        [escape(area), *(told(counted[area, database]) for database in DATABASES)]
        for area in sorted({result.area for result in results})
    ]
    slow = sorted(results, key=lambda result: -result.seconds)[:SLOWEST]
    verdict = f'<span class="bad">{len(failed)} failed</span>' if failed else "all passed"
    machine = f"Python {platform.python_version()}, {escape(platform.system())}"
    parts = [
        f"<p>{len(results)} tests on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}: {verdict}.</p>",
        "<h2>By database</h2>",
        table(["database", "passed", "failed", "left out"], totals),
        "<h2>By area</h2>",
        table(["area", *DATABASES], areas),
        "<h2>The slowest</h2>",
        table(["test", "seconds"], [[escape(result.name), f"{result.seconds:.1f}"] for result in slow]),
    ]
    if failed:
        parts.append("<h2>Failed</h2>")
        parts += [f"<h3>{escape(result.name)}</h3><pre>{escape(result.text)}</pre>" for result in failed]
    head = f'<meta charset="utf-8"><title>Test results</title><style>{STYLE}</style>'
    return (
        f"<!doctype html><html lang='en'><head>{head}</head><body><h1>Test results</h1>{''.join(parts)}</body></html>\n"
    )


def told(counts: Counter[str]) -> str:
    """What became of an area's tests on one database, in a cell."""
    if not counts:
        return "-"
    bad = f' <span class="bad">{counts["failed"]} failed</span>' if counts["failed"] else ""
    out = f", {counts['left out']} left out" if counts["left out"] else ""
    return f"{counts['passed']} passed{out}{bad}"


def main() -> int:
    """Write the page; 1 when a test failed or there was none."""
    if len(sys.argv) != len(("program", "results", "page")):
        sys.exit(__doc__)
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    results = read(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(results), encoding="utf-8")
    print(f"Written to {target}.")  # noqa: T201 - a command's answer
    return 0 if results and all(result.outcome != "failed" for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""One campaign: schemathesis against a hub that listens, and what it found."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PHASES = "coverage,fuzzing,stateful"


@dataclass(frozen=True)
class Findings:
    """The figures of a campaign, and schemathesis' own words on each failure."""

    operations: int
    cases: int
    failures: int
    complete: bool
    output: str


def campaign(url: str, token: str, report: Path, *options: str, phases: str = PHASES, seconds: int = 600) -> Findings:
    """Ask a hub, in the name of ``token``, for at most ``seconds``; ``options`` are schemathesis' own."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    command += [f"{url}/api/openapi.json", "--header", f"Authorization: Bearer {token}", "--phases", phases]
    command += ["--max-time", str(seconds), "--continue-on-failure", "--generation-database", "none", "--no-color"]
    # The hub makes its description when it is first asked for, and schemathesis waits ten seconds for it.
    httpx2.get(f"{url}/api/openapi.json", timeout=120).raise_for_status()
    ran = subprocess.run(
        [*command, "--report-json-path", str(report), *options],
        cwd=report.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 120,
    )
    if not report.exists():
        raise RuntimeError(f"schemathesis did not run: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(report.read_text())
    if told["operations"] is None:
        raise RuntimeError(f"schemathesis asked nothing: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    cases = told["test_cases"]
    wrong = cases["unique_failures"] + cases["errored"] + len(told["errors"])
    return Findings(told["operations"]["tested"], cases["generated"], wrong, ran.returncode == 0, ran.stdout)


def only(tags: Sequence[str]) -> list[str]:
    """Options that restrict a campaign to the operations of these tags."""
    return [word for tag in tags for word in ("--include-tag", tag)]

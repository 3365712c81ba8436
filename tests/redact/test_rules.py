"""The rules themselves: well formed, bounded, and each knows what it says it knows."""

import re
import subprocess
import sys
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from worklore_redact.rules import Rule, parse, rules

LONGEST_REPEAT = 8_000


def repeats(pattern: Any) -> list[int]:
    """The upper bounds of all repetitions of a parsed pattern."""
    found: list[int] = []
    for code, argument in pattern:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            found += [argument[1], *repeats(argument[2])]
        elif code is codes.SUBPATTERN:
            found += repeats(argument[3])
        elif code is codes.BRANCH:
            for branch in argument[1]:
                found += repeats(branch)
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            found += repeats(argument[1])
        elif code is codes.ATOMIC_GROUP:
            found += repeats(argument)
    return found


@pytest.mark.parametrize("rule", rules().all, ids=lambda rule: f"{rule.name}-{(rule.anchors or ('scan',))[0]}")
def test_nothing_in_a_pattern_repeats_without_a_bound(rule: Rule) -> None:
    if rule.written is not None:
        assert max(repeats(parser.parse(rule.written)), default=0) <= LONGEST_REPEAT
        assert rule.pattern
    assert re.fullmatch(r"[a-z0-9-]{1,40}", rule.name)


def test_a_rule_that_is_none_is_refused() -> None:
    for text in ('[[rule]]\nname = "x"\nanchors = ["ABC"]\npattern = "a"', '[[rule]]\nname = "x"\npattern = "a"'):
        with pytest.raises(ValueError, match="anchors"):
            list(parse(text))


def test_every_vendor_format_names_its_source() -> None:
    text = (rules.__wrapped__.__globals__["FOLDER"] / "vendors.toml").read_text()
    assert text.count("[[rule]]") == text.count("\nsource = ")


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if name.startswith("worklore_redact")}


def test_the_exact_scrubber_needs_no_rules() -> None:
    assert modules_after("import worklore_redact.exact") == {"worklore_redact", "worklore_redact.exact"}


def test_the_hooks_import_none_of_it() -> None:
    assert not modules_after("import worklore_client.hook, worklore_client.ask, worklore_client.events")

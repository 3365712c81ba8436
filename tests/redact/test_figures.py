"""The figures that are promised, over a corpus that was made without the rules."""

from collections import Counter

from worklore_redact.engine import redact

from .corpus import clean, left_of, planted

PLANTED = 2_400
CLEAN = 10_000


def test_planted_secrets_are_found() -> None:
    missed: Counter[str] = Counter()
    secrets = 0
    for each in planted(20, PLANTED):
        left = redact(each.text).text
        secrets += len(each.secrets)
        missed.update(each.kind for secret in each.secrets if left_of(secret, left))
    assert secrets >= 2_000
    assert 1 - missed.total() / secrets >= 0.95, missed.most_common(10)


def test_clean_lines_stay_as_they_are() -> None:
    changed = [line for line in clean(20, CLEAN) if redact(line).text != line]
    assert len(changed) / CLEAN <= 0.005, changed[:10]

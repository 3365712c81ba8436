"""The filled checklist answers every requirement of its chapters once, and names files that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKLIST = (ROOT / "docs/security/asvs.md").read_text()
REQUIREMENTS = {
    6: (3, 12, 8, 6, 8, 4, 2, 4),
    7: (3, 4, 2, 5, 3, 2),
    8: (4, 4, 3, 2),
    9: (3, 4),
    10: (2, 3, 5, 16, 5, 2, 3),
    11: (4, 5, 5, 4, 2, 2, 2),
    16: (1, 5, 4, 3, 4),
}
"""How many each section of a chapter has in version 5.0.0."""

ANSWERS = {"yes", "partly", "no", "not applicable"}


def rows() -> list[list[str]]:
    lines = re.findall(r"^\| (\d+\.\d+\.\d+.*) \|$", CHECKLIST, re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def meant(cell: str) -> list[tuple[int, int, int]]:
    """The requirements of a cell such as ``10.1.2, 10.2.1 to 10.2.3``."""
    found: list[tuple[int, int, int]] = []
    for part in cell.split(", "):
        ends = [tuple(map(int, number.split("."))) for number in part.split(" to ")]
        (chapter, section, first), (_, _, last) = ends[0], ends[-1]
        found += [(chapter, section, number) for number in range(first, last + 1)]
    return found


def test_every_requirement_is_answered_once() -> None:
    answered = [number for row in rows() for number in meant(row[0])]
    wanted = [
        (chapter, section, number)
        for chapter, counts in REQUIREMENTS.items()
        for section, count in enumerate(counts, 1)
        for number in range(1, count + 1)
    ]
    assert sorted(answered) == wanted


def test_every_answer_is_one_of_four_and_says_how_or_why() -> None:
    for number, levels, asked, answer, how in rows():
        assert answer in ANSWERS, number
        assert re.fullmatch(r"[123](?:(?:, | to )[123])?", levels), number
        assert asked, number
        assert how, number


def test_files_and_targets_that_it_names_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for code in re.findall(r"`([^`]+)`", CHECKLIST):
        if code.startswith("make "):
            assert code.split()[1] in targets, code
        elif code.endswith(".py"):
            places = [ROOT / "src/worklore" / code, ROOT / "tests" / code, ROOT / "tests/conformance" / code]
            assert any(place.exists() for place in places), code

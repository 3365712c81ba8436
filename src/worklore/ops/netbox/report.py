"""What became of each object of a dump: taken, mapped into another record, or left, and why."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Fate:
    """What became of the objects of one model.

    Attributes:
        count: how many the dump has.
        taken: those that are records of their own here, by noun.
        mapped: those that went into other records, by what they became there.
        left: those that were not taken, by the reason.
    """

    count: int = 0
    taken: Counter[str] = field(default_factory=Counter[str])
    mapped: Counter[str] = field(default_factory=Counter[str])
    left: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True, slots=True)
class Problem:
    """One object, and what was wrong with it."""

    model: str
    pk: str
    what: str

    def line(self) -> str:
        """The problem as it is printed."""
        return f"{self.model} {self.pk}: {self.what}"


@dataclass(slots=True)
class Report:
    """Everything there is to say about an import."""

    models: dict[str, Fate] = field(default_factory=dict[str, Fate])
    problems: list[Problem] = field(default_factory=list[Problem])
    created: Counter[str] = field(default_factory=Counter[str])
    changed: Counter[str] = field(default_factory=Counter[str])
    unchanged: Counter[str] = field(default_factory=Counter[str])
    dry_run: bool = False
    seconds: float = 0.0

    def of(self, model: str) -> Fate:
        """The fate of a model's objects."""
        return self.models.setdefault(model, Fate())

    def problem(self, model: str, pk: object, what: str) -> None:
        """Note what was wrong with an object."""
        self.problems.append(Problem(model, str(pk), what))

    def facts(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 2),
            "created": dict(self.created),
            "changed": dict(self.changed),
            "unchanged": dict(self.unchanged),
            "models": {
                model: {
                    "count": fate.count,
                    "taken": dict(fate.taken),
                    "mapped": dict(fate.mapped),
                    "left": dict(fate.left),
                }
                for model, fate in sorted(self.models.items())
            },
            "problems": [{"model": problem.model, "pk": problem.pk, "what": problem.what} for problem in self.problems],
        }

    def lines(self) -> list[str]:
        """The report as it is read: what came of the records, then each model, then what was wrong."""
        would = "would be " if self.dry_run else ""
        nouns = dict.fromkeys([*self.created, *self.changed, *self.unchanged])
        lines = [
            f"{noun}: {self.created[noun]} {would}created, {self.changed[noun]} {would}changed, "
            f"{self.unchanged[noun]} unchanged"
            for noun in nouns
        ]
        lines.append("")
        for model, fate in sorted(self.models.items()):
            lines.append(f"{model}: {fate.count}")
            lines += [f"    {count} taken as {noun}" for noun, count in fate.taken.items()]
            lines += [f"    {count} mapped: {what}" for what, count in fate.mapped.items()]
            lines += [f"    {count} left: {why}" for why, count in fate.left.items()]
        if self.problems:
            lines += ["", f"{len(self.problems)} problems", *(problem.line() for problem in self.problems)]
        return lines

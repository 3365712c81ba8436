"""Searching for better weights: one weight after another, on development data, and what each signal is worth.

Nothing is changed by it: a person reads the report and decides. What is looked for is one figure, the mean of recall
among ten, of the evidence inside a tenth and of that inside a twentieth of the history. Few questions are easily
learned by heart, so a step is taken only where it gains at least `WORTH`, weights stay on a coarse grid, and each gain
stands beside its interval and beside what it is in each scope by itself.

The interval is a percentile bootstrap of two stages, scopes and then their questions, since questions about one talk
resemble each other; where there is one scope, of its questions alone.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worklore.memory import tokens
from worklore.memory.bench import RESAMPLES, SHARES, Dataset, DatasetError, Query, shows
from worklore.memory.corpus import Corpus
from worklore.memory.rank import MEANING_WEIGHTS, WEIGHTS, Weights

Values = NDArray[np.float64]

TOP: Final = 10
WORTH: Final = 0.001
"""The least gain for which a weight is moved."""
ROUNDS: Final = 3
"""Most times that all weights are tried."""
NUDGE: Final = 0.1
"""What a weight of nothing is tried with."""
FACTORS: Final = (0.5, 0.75, 1.25, 1.5)
_HITS: Final = 400
_FIGURES: Final = (f"r@{TOP}", *SHARES)


@dataclass(frozen=True, slots=True)
class Scores:
    """A value for each question of a figure, in the order of the data set."""

    figures: Mapping[str, Values]

    @property
    def aim(self) -> Values:
        """What is to be made as large as possible, for each question."""
        mean: Values = np.mean([self.figures[name] for name in _FIGURES], axis=0)
        return mean


class Tuning:
    """A development data set, loaded once and asked with many weights.

    Raises:
        DatasetError: it is a part kept for testing, which nothing may be fitted to.
    """

    def __init__(self, dataset: Dataset, corpus: Corpus) -> None:
        if dataset.part != "development":
            raise DatasetError(f"{dataset.name} is kept for testing: weights are fitted to development parts alone")
        self.dataset = dataset
        self._corpus = corpus
        corpus.load(dataset.documents)
        self._documents = {document.id: document for document in dataset.documents}
        self._history: dict[str, int] = defaultdict(int)
        for document in dataset.documents:
            self._history[document.scope] += tokens.count(document.text)
        self._scopes = np.unique([query.scope for query in dataset.queries], return_inverse=True)[1]

    def ask(self, weights: Weights) -> Scores:
        """All questions with some weights."""
        self._corpus.weights = weights
        rows = [self._row(query) for query in self.dataset.queries]
        return Scores(
            {name: np.asarray(values) for name, values in zip(_FIGURES, zip(*rows, strict=True), strict=True)}
        )

    def _row(self, query: Query) -> list[float]:
        hits = self._corpus.hits(query, _HITS)
        ranked = list(dict.fromkeys(self._corpus.document(hit) for hit in hits))
        row = [self._found(ranked[:TOP], query)]
        for share in SHARES.values():
            told = self._corpus.packed(hits, int(share * self._history[query.scope]))
            whole = [held for held in told.documents if shows(told.text, self._documents[held].text)]
            row.append(self._found(whole, query))
        return row

    def _found(self, documents: Sequence[str], query: Query) -> float:
        named = {held if self.dataset.evidence == "document" else self._documents[held].session for held in documents}
        return len(query.evidence & named) / len(query.evidence)

    def by_scope(self, values: Values) -> list[float]:
        """The mean in each scope."""
        return [float(values[self._scopes == scope].mean()) for scope in range(int(self._scopes.max()) + 1)]

    def interval(self, values: Values, seed: int) -> tuple[float, float]:
        """The 95 % interval of a mean over questions."""
        return interval(values, self._scopes, seed)


def interval(values: Values, scopes: NDArray[np.int64], seed: int) -> tuple[float, float]:
    """The 95 % interval of a mean over questions, by resampling scopes, then the questions of each."""
    random = np.random.default_rng(seed)
    held = [values[scopes == scope] for scope in range(int(scopes.max()) + 1)]
    means = np.empty(RESAMPLES)
    for place in range(RESAMPLES):
        chosen: list[int] = random.integers(0, len(held), len(held)).tolist()
        some = [held[scope] for scope in chosen]
        picked = np.concatenate([each[random.integers(0, len(each), len(each))] for each in some])
        means[place] = picked.mean()
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def tune(
    tuning: Tuning,
    *,
    meaning: bool,
    rounds: int = ROUNDS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """What each signal is worth, and the best weights found from those in use; shares are fractions.

    Args:
        tuning: the data set.
        meaning: whether its corpus has a model; else the weights for words alone are searched.
        rounds: most times that all weights are tried; 0 only takes each signal away.
        seed: of the bootstrap.
        progress: told one line for each step.
    """
    start = MEANING_WEIGHTS if meaning else WEIGHTS
    begun = tuning.ask(start)
    progress(f"in use: {_line(begun)}")
    best, scores = start, begun
    for number in range(1, rounds + 1):
        best, scores, moved = _round(tuning, best, scores, number, progress)
        if not moved:
            break
    gain = scores.aim - begun.aim
    return {
        "dataset": tuning.dataset.name,
        "queries": len(tuning.dataset.queries),
        "meaning": meaning,
        "in_use": _figures(begun),
        "ablation": _ablation(tuning, start, begun, seed, progress),
        "best": {"weights": _changed(start, best), **_figures(scores)},
        "gain": {
            "mean": round(float(gain.mean()), 4),
            "interval": _rounded(tuning.interval(gain, seed)),
            "scopes": _rounded(tuning.by_scope(gain)),
        },
    }


def _round(
    tuning: Tuning, best: Weights, scores: Scores, number: int, progress: Callable[[str], None]
) -> tuple[Weights, Scores, bool]:
    moved = False
    for name in asdict(best):
        for value in tried(getattr(best, name)):
            other = replace(best, **{name: value})
            found = tuning.ask(other)
            if found.aim.mean() >= scores.aim.mean() + WORTH:
                best, scores, moved = other, found, True
                progress(f"round {number}: {name} {value:g}: {_line(scores)}")
    return best, scores, moved


def tried(weight: float) -> list[float]:
    """The values a weight is tried with, on a grid that gets coarser as weights grow."""
    if weight == 0:
        return [NUDGE, -NUDGE]
    grid = 0.05 if abs(weight) < 1 else 0.1 if abs(weight) < 2 else 0.5  # noqa: PLR2004 - the grid is said here
    values = dict.fromkeys(round(round(weight * factor / grid) * grid, 2) for factor in FACTORS)
    return [value for value in values if value != weight]


def _ablation(
    tuning: Tuning, weights: Weights, whole: Scores, seed: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Of each signal what is lost without it."""
    lost: dict[str, Any] = {}
    for name, weight in asdict(weights).items():
        if not weight:
            continue
        without = tuning.ask(replace(weights, **{name: 0.0}))
        values = without.aim - whole.aim
        lost[name] = {
            **{key: round(float((without.figures[key] - whole.figures[key]).mean()), 4) for key in _FIGURES},
            "mean": round(float(values.mean()), 4),
            "interval": _rounded(tuning.interval(values, seed)),
        }
        progress(f"without {name}: {100 * values.mean():+.2f}")
    return lost


def _changed(start: Weights, best: Weights) -> dict[str, float]:
    before = asdict(start)
    return {name: value for name, value in asdict(best).items() if value != before[name]}


def _figures(scores: Scores) -> dict[str, float]:
    return {name: round(float(values.mean()), 4) for name, values in scores.figures.items()}


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _line(scores: Scores) -> str:
    return ", ".join(f"{name} {100 * value:.2f}" for name, value in _figures(scores).items())


def table(result: Mapping[str, Any]) -> str:
    """A result of `tune` as lines for people, in percent."""
    kind = "by meaning and words" if result["meaning"] else "by words alone"
    lines = [f"{result['dataset']}: {result['queries']} queries, {kind}"]
    lines.append("".join(["".ljust(16), *(name.rjust(8) for name in (*_FIGURES, "mean")), "  95 % of the mean"]))
    for label, held in (("in use", result["in_use"]), ("best found", result["best"])):
        mean = sum(held[name] for name in _FIGURES) / len(_FIGURES)
        lines.append(label.ljust(16) + "".join(f"{100 * v:8.2f}" for v in (*(held[n] for n in _FIGURES), mean)))
    for name, held in result["ablation"].items():
        low, high = held["interval"]
        cells = "".join(f"{100 * held[key]:+8.2f}" for key in (*_FIGURES, "mean"))
        lines.append(f"- {name}".ljust(16) + cells + f"  {100 * low:+.2f} to {100 * high:+.2f}")
    gain, (low, high) = result["gain"]["mean"], result["gain"]["interval"]
    scopes = ", ".join(f"{100 * value:+.2f}" for value in result["gain"]["scopes"])
    changed = ", ".join(f"{name} {value:g}" for name, value in result["best"]["weights"].items()) or "nothing"
    lines.append(f"to change: {changed}")
    lines.append(f"gain {100 * gain:+.2f} (95 % {100 * low:+.2f} to {100 * high:+.2f}); by scope {scopes}")
    return "\n".join(lines)

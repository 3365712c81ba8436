"""Learn the projection of `worklore.memory.embed` anew and write it into the package.

It takes the principal components of what the model says of each token of this project's own documents and code, and of
the words it knows, put into lines by twenty. Run it when the model changes: `python scripts/projection.py`.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np

from worklore.memory.embed import DIMENSIONS, FULL, Embedder
from worklore.memory.units import passages

ROOT = Path(__file__).resolve().parents[1]
LINES = 4_000
WORDS = 20
LETTERS = 3


def texts(model: Any) -> list[str]:
    """What the projection is learned from: passages of documents and code, and lines of words."""
    files = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("src/**/*.py")])
    said = [passage.text for file in files for passage in passages(file.read_text())]
    words = sorted(word for word in model._tokenizer.get_vocab() if word.isalpha() and len(word) >= LETTERS)  # noqa: SLF001
    random.seed(1)
    random.shuffle(said)
    lines = [" ".join(random.sample(words, WORDS)) for _ in range(LINES)]
    return said[:LINES] + lines


def main() -> None:
    """Learn and write."""
    model = Embedder()
    size = len(texts(model))
    spread = np.zeros((FULL, FULL))
    every = texts(model)
    for start in range(0, size, 256):
        for _, tokens, _ in model.full(every[start : start + 256]):
            unit = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
            spread += unit.T @ unit
    values, vectors = np.linalg.eigh(spread)
    kept = vectors[:, ::-1][:, :DIMENSIONS]
    np.save(ROOT / "src/worklore/memory/projection.npy", kept.astype(np.float16))
    print(f"{size} texts; {DIMENSIONS} of {FULL} dimensions hold {values[::-1][:DIMENSIONS].sum() / values.sum():.1%}")  # noqa: T201


if __name__ == "__main__":
    main()

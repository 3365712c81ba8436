"""What a text costs an agent."""

import importlib
import importlib.util

ESTIMATE = "an estimate of 4 characters a token"


def count_tokens(text: str) -> tuple[int, str]:
    """(tokens, how they were counted): by cl100k_base where the hub is installed beside us, else an estimate."""
    if importlib.util.find_spec("rs_bpe") is None:
        return -(-len(text) // 4), ESTIMATE
    tokens: int = importlib.import_module("rs_bpe.bpe").openai.cl100k_base().count(text)
    return tokens, "cl100k_base"

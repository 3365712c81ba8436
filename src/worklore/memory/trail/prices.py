"""What models cost: data with the day it was true, which an operator may replace by a file of their own.

A model that no price names costs nothing that anybody knows: its tokens are told without a cost. Prices are worked out
when somebody asks, never stored.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from worklore.kernel.context import ReadContext
from worklore.kernel.errors import UnavailableError

PRICES: Final = "prices"
"""Where a session holds the prices that the operator gave."""

MILLION: Final = Decimal(1_000_000)
CENT_PART: Final = Decimal("0.000001")

Amount = Annotated[Decimal, Field(ge=0, le=100_000)]


class Price(BaseModel):
    """Prices per million tokens of the models whose names begin alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1, max_length=100)]
    input: Amount
    output: Amount
    cache_read: Amount = Decimal(0)
    cache_write: Amount = Decimal(0)
    cache_write_long: Amount = Decimal(0)
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    true_on: date


def _anthropic(model: str, read: str, written: str) -> Price:
    """Its cache costs a tenth to read, a quarter more than plain input to write, and twice as much for an hour."""
    one = Decimal(read)
    return Price(
        model=model,
        input=one,
        output=Decimal(written),
        cache_read=one / 10,
        cache_write=one * 5 / 4,
        cache_write_long=one * 2,
        true_on=date(2025, 12, 1),
    )


def _openai(model: str, read: str, written: str) -> Price:
    """Its cache costs a tenth to read and nothing to write."""
    one = Decimal(read)
    return Price(
        model=model, input=one, output=Decimal(written), cache_read=one / 10, cache_write=one, true_on=date(2025, 12, 1)
    )


KNOWN: Final = (
    _anthropic("claude-opus-4-5", "5", "25"),
    _anthropic("claude-opus-4", "15", "75"),
    _anthropic("claude-sonnet-4", "3", "15"),
    _anthropic("claude-haiku-4-5", "1", "5"),
    _anthropic("claude-3-7-sonnet", "3", "15"),
    _anthropic("claude-3-5-sonnet", "3", "15"),
    _anthropic("claude-3-5-haiku", "0.8", "4"),
    _anthropic("claude-3-opus", "15", "75"),
    _openai("gpt-5-mini", "0.25", "2"),
    _openai("gpt-5-nano", "0.05", "0.4"),
    _openai("gpt-5-codex", "1.25", "10"),
    _openai("gpt-5.1-codex-mini", "0.25", "2"),
    _openai("gpt-5.1", "1.25", "10"),
)
"""List prices as their makers published them; a rebate or another contract is for the operator's own file."""

_FILE: Final = TypeAdapter(list[Price])


@dataclass(frozen=True, slots=True)
class Tokens:
    """A number of tokens of one model. `cache_write` includes `cache_write_long`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_long: int = 0


def price_of(model: str, prices: Iterable[Price]) -> Price | None:
    """The price whose name is the longest that the model's name begins with, up to a dash, a dot or its end."""
    named = model.rpartition("/")[2].lower()
    fitting = [price for price in prices if _begins(named, price.model.lower())]
    return max(fitting, key=lambda price: len(price.model), default=None)


def _begins(name: str, beginning: str) -> bool:
    """`gpt-5.1` is not what `gpt-5` names, `claude-opus-4-20250514` is what `claude-opus-4` names."""
    rest = name.removeprefix(beginning)
    return rest == "" or (rest != name and rest[0] in "-@:")


def cost(tokens: Tokens, price: Price) -> Decimal:
    """What they cost, in the price's currency, to a millionth of its unit."""
    short = tokens.cache_write - tokens.cache_write_long
    whole = (
        tokens.input * price.input
        + tokens.output * price.output
        + tokens.cache_read * price.cache_read
        + short * price.cache_write
        + tokens.cache_write_long * price.cache_write_long
    )
    return (whole / MILLION).quantize(CENT_PART, ROUND_HALF_EVEN)


def load(path: Path) -> tuple[Price, ...]:
    """The prices of an operator's file, before those known here: a JSON array of objects like `Price`.

    Raises:
        UnavailableError: the file cannot be read or is none.
    """
    try:
        own = _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise UnavailableError(
            f"The file of prices cannot be read ({error.strerror}).", hint=f"Look at {path}, or unset WORKLORE_PRICES."
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnavailableError(
            f"The file of prices is not as it should be: {where}: {first['msg']}.",
            hint="It is a JSON array; each object has model, input, output and true_on.",
        ) from error
    named = {price.model for price in own}
    return (*own, *(price for price in KNOWN if price.model not in named))


def prices(ctx: ReadContext) -> tuple[Price, ...]:
    """The prices that hold on this hub."""
    given: tuple[Price, ...] | None = ctx.session.info.get(PRICES)
    return KNOWN if given is None else given

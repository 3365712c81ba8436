"""What a person or a spreadsheet writes, and the JSON values it stands for."""

import json
import math
import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from worklore_cli.catalog import TEXTUAL, Field

TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")


def parse(field: Field, text: str) -> Any:
    """The JSON value of `text` for a field; nothing at all is null where the field may be empty.

    Raises ValueError, with what the field takes as its text, when it cannot be one.
    """
    if not text and field.null:
        return None
    if field.choices and text not in field.choices:
        raise ValueError(f"takes one of {', '.join(field.choices)}")
    match field.type:
        case "boolean":
            return _truth(text)
        case "integer":
            return _whole(text)
        case "number":
            return _number(text)
        case "list" if not text.startswith("["):
            return [part.strip() for part in text.split(",") if part.strip()]
        case "list" | "object" | "json":
            return _json(field.type, text)
        case _:
            if not text and field.type not in TEXTUAL:
                raise ValueError("takes a value")
            return text


def _truth(text: str) -> bool:
    if text.lower() not in TRUTH:
        raise ValueError("takes true or false")
    return TRUTH[text.lower()]


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("takes a whole number")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("takes a number") from None
    if not math.isfinite(value):
        raise ValueError("takes a finite number")
    return value


def _json(kind: str, text: str) -> Any:
    try:
        value: Any = json.loads(text)
    except ValueError:
        raise ValueError("takes JSON") from None
    if kind == "object" and not isinstance(value, dict):
        raise ValueError("takes a JSON object, such as {}")
    return cast("Any", value)


def write(field: Field, value: Any) -> str:
    """The text that :func:`parse` reads as `value`: an empty one for null, JSON for what JSON holds."""
    if value is None:
        return ""
    if field.type in {"list", "object", "json"}:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def same(field: Field, given: Any, present: Any) -> bool:
    """True when the two are one value to the hub: 1.5 and "1.50" of a decimal, one moment in two time zones."""
    if given is None or present is None:
        return given is present
    equal: bool = given == present
    try:
        match field.type:
            case "decimal":
                return Decimal(str(given)) == Decimal(str(present))
            case "time":
                return datetime.fromisoformat(given) == datetime.fromisoformat(present)
            case "id":
                return str(given).lower() == str(present)
            case _:
                return equal
    except (InvalidOperation, ValueError, TypeError):
        return False

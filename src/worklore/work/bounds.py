"""The range of a number, told with the field, its value and the rule."""

from worklore.kernel.errors import InvalidError


def within(record: object, field: str, low: float, high: float | None = None) -> None:
    """Refuse a number below ``low`` or above ``high``; an empty field passes, its default comes when it is stored.

    Raises:
        InvalidError: the number lies outside.
    """
    value: float | None = getattr(record, field)
    if value is None or (value >= low and (high is None or value <= high)):
        return
    rule = f"at least {low}" if high is None else f"between {low} and {high}"
    raise InvalidError(f"{field} ({value}) must be {rule}.", field=field)

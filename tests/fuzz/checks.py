"""What schemathesis checks beyond its own: that what the description allows is taken, but for what none can tell."""

from typing import Any, Final

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, Response

UNTOLD: Final = {
    "reference-missing": "a key may name a record that is not there",
    "check-failed": "a rule of the table between fields",
    "duplicate": "a value that no two records share",
    "parameter-value": "parameters that exclude each other, or a cursor of another list",
    "parameter-repeated": "a field named twice in a list of names",
    "filter-value": "a comma-separated list of values of a field, or a cursor",
    "cursor-invalid": "a cursor is one that the hub has given",
    "etag-invalid": "schemathesis makes values of its own for a header whose pattern holds quotes",
    "idempotency-key-reused": "a key stands for one request",
    "form": "a text of a form that no pattern describes, such as an address or a cron expression",
    "value_error": "text that no database keeps",
    "decimal_max_digits": "ten digits, two of them after the point: `multipleOf` is not exact for binary fractions",
    "decimal_max_places": "the same",
    "decimal_whole_digits": "the same",
}
"""Codes of refusals that an OpenAPI document cannot tell of beforehand, and why."""

UNTOLD_OF_PUT: Final = {
    "missing": "a record that is not there yet needs fields that one which is there has",
    "extra_forbidden": "which fields may be set depends on whether the record is there",
}
"""Further ones where a PUT makes a record or changes it."""


@schemathesis.check
def what_the_description_allows_is_taken(ctx: CheckContext, response: Response, case: Case) -> None:
    """In place of `positive_data_acceptance`, which takes no reason.

    A refusal stands when it names a rule between fields, or a code above.
    """
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if response.status_code not in {400, 422}:
        return
    told: dict[str, Any] = response.json()
    errors = [error["code"] for error in told.get("errors", ())] or [told["code"]]
    a_nouns_rule = not told.get("errors") and "field" in told
    untold = UNTOLD.keys() | (UNTOLD_OF_PUT.keys() if case.method == "PUT" else ())
    if not a_nouns_rule and not set(errors) <= untold:
        raise AssertionError(f"{case.method} {case.path}: refused though described: {response.text[:400]}")

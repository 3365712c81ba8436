"""The shapes of the JSON columns of project tracking, and the rule of a commit's hash."""

from typing import Annotated, Final, Self

from pydantic import Field, StringConstraints, model_validator

from worklore.work.item_metadata import Metadata

CommitHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Count = Annotated[int, Field(ge=0)]
HEX: Final = "0123456789abcdef"


class FormatSupport(Metadata):
    """The document formats an extractor reads."""

    excel: bool
    csv: bool
    pdf: bool
    ocr: bool


class SuiteResults(Metadata):
    """What the last run of an extractor's tests gave."""

    passing: Count
    total: Count
    skipped: Count

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if self.passing + self.skipped > self.total:
            raise ValueError("passing and skipped tests together are at most the total")
        return self


class VendorMetadata(Metadata):
    """What is known of a vendor's extractor."""

    format_support: FormatSupport
    test_results: SuiteResults
    extractor_version: Annotated[str, Field(min_length=1, max_length=50)]
    manifest_compliant: bool


class DeploymentMetadata(Metadata):
    """What is known of a merged pull request that was deployed."""

    pr_number: Annotated[int, Field(ge=1)]
    pr_title: Annotated[str, Field(min_length=1, max_length=200)]
    commit_hash: CommitHash
    test_summary: dict[str, Count]
    constitutional_compliance: bool


def only(expression: str, characters: str) -> str:
    """SQL that is true when a text consists of these characters, in words that all three databases know."""
    for character in characters:
        expression = f"REPLACE({expression}, '{character}', '')"
    return f"LENGTH({expression}) = 0"


def commit_rule(column: str) -> str:
    """SQL that is true for a full commit hash: 40 lower-case hexadecimal digits."""
    return f"LENGTH({column}) = 40 AND {only(column, HEX)}"

"""What the metadata of a work item of each type looks like. Fields of other names are kept as they are."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worklore.kernel.errors import InvalidError

Hours = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class Metadata(BaseModel):
    """The manner of every shape: JSON types are taken as they are, other fields pass."""

    model_config = ConfigDict(extra="allow", strict=True)


class ProjectMetadata(Metadata):
    """Of an item that is a project."""

    description: str | None = Field(default=None, max_length=1000)
    target_quarter: str | None = Field(default=None, pattern="^[0-9]{4}-Q[1-4]$")
    constitutional_principles: list[str] | None = None


class FrontMatter(Metadata):
    """The head of a session's note."""

    schema_version: str | int | float


class SessionMetadata(Metadata):
    """Of an item that is a session."""

    token_budget: int | None = Field(default=None, ge=1_000, le=1_000_000)
    prompts_count: int | None = Field(default=None, ge=0)
    yaml_frontmatter: FrontMatter | None = None


class TaskMetadata(Metadata):
    """Of an item that is a task."""

    estimated_hours: Hours | None = None
    actual_hours: Hours | None = None
    blocked_reason: str | None = Field(default=None, max_length=500)


class ResearchMetadata(Metadata):
    """Of an item that is research."""

    research_questions: list[str] | None = None
    findings_summary: str | None = Field(default=None, max_length=2000)
    references: list[Any] | None = None


def check_metadata(shape: type[Metadata], value: dict[str, Any]) -> None:
    """Refuse metadata that does not have the shape.

    Raises:
        InvalidError: it names the first field that is wrong, and the rule.
    """
    try:
        shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(["metadata", *(str(part) for part in first["loc"])])
        raise InvalidError(f"{where} ({first['input']!r:.80}): {first['msg']}.", field="metadata") from error

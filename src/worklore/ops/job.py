"""Background jobs, for people to see, repeat and cancel."""

from typing import Final

from worklore.kernel.access import installation
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.jobs import Job, JobState
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.wire import WireModel

JOBS: Final = Resource(
    model=Job,
    name="job",
    plural="jobs",
    visible=installation,
    filters=(Job.kind, Job.state, Job.run_after),
    columns=(Job.kind, Job.state, Job.run_after, Job.attempt),
    verbs=READ_ONLY,
)


class JobStanding(WireModel):
    """Where a job stands now."""

    state: JobState
    attempt: int


def retry_job(ctx: Context, job: Job) -> JobStanding:
    """Run a job that has ended once more, as soon as a worker is free."""
    if job.state in {JobState.pending, JobState.running}:
        raise ConflictError(f"The job is {job.state} already.")
    job.state, job.attempt, job.run_after, job.error = JobState.pending, 0, ctx.now(), None
    ctx.session.flush()
    return JobStanding(state=job.state, attempt=job.attempt)


def cancel_job(ctx: Context, job: Job) -> JobStanding:
    """Take back a job that waits. One that runs is left to end."""
    if job.state is not JobState.pending:
        raise ConflictError(f"The job is {job.state}; only waiting jobs can be cancelled.")
    job.state, job.ended_at = JobState.cancelled, ctx.now()
    ctx.session.flush()
    return JobStanding(state=job.state, attempt=job.attempt)


RETRY_JOB: Final = Action(run=retry_job, name="retry", on="job", scope="job:write", risk=Risk.write)
CANCEL_JOB: Final = Action(run=cancel_job, name="cancel", on="job", scope="job:write", risk=Risk.write)

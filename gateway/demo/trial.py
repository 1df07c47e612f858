"""Samples sent through the gateway, and what became of them against what they promise."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from domain.applications import Application, Sample, applications
from domain.applications.application import samples
from domain.errors import SightlineError
from domain.jobs import JobState
from gateway.client import Client
from storage.jobs import JobView, ResultView

AT_ONCE = 8
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Trial:
    """A sample and what became of it."""

    application: Application[Any, Any]
    sample: Sample
    job: JobView | None = None
    result: ResultView | None = None
    pictures: tuple[bytes, ...] = ()
    """annotated, as PNG"""
    differences: tuple[str, ...] = ()
    """where it is not as the sample says, a sentence each"""

    @property
    def expected(self) -> bool:
        """Whether all is as the sample says."""
        return not self.differences

    @property
    def ended(self) -> str:
        """In which state it ended."""
        return self.job.state.value if self.job else "refused"

    @property
    def headline(self) -> str:
        """The verdict, or why there is none."""
        if self.job is None:
            return "not accepted"
        return f"{self.job.error.code}: {self.job.error.message}" if self.job.error else self.job.headline or "-"

    @property
    def milliseconds(self) -> float | None:
        """From acceptance to the end."""
        if self.job is None or self.job.ended_at is None:
            return None
        return (self.job.ended_at - self.job.created_at).total_seconds() * 1000


def all_samples() -> list[Trial]:
    """Return every sample of every application, not yet tried."""
    return [Trial(each, sample) for each in applications().values() for sample in samples(each)]


def attempt(client: Client, trials: Sequence[Trial], on_end: Callable[[Trial], None]) -> list[Trial]:
    """Send all samples at once and see each to its end."""

    def one(trial: Trial) -> Trial:
        done = _attempted(client, trial)
        on_end(done)
        return done

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, trials))


def _attempted(client: Client, trial: Trial) -> Trial:
    expect = dict(trial.sample.expect)
    state, error = expect.pop("state", JobState.SUCCEEDED.value), expect.pop("error", None)
    try:
        accepted = client.submit(trial.application.name, trial.sample.images, trial.sample.parameters)
        job = client.wait(accepted.id, PATIENCE_S)
        result = client.result(job.id) if job.state is JobState.SUCCEEDED else None
        count = len(trial.sample.images) if result else 0
        pictures = tuple(client.overlay(job.id, index) for index in range(count))
    except (SightlineError, TimeoutError) as refusal:
        return Trial(trial.application, trial.sample, differences=(str(refusal),))
    differences = _differences(trial.application, job, result, state, error, expect)
    return Trial(trial.application, trial.sample, job, result, pictures, tuple(differences))


def _differences(
    wanted: Application[Any, Any],
    job: JobView,
    result: ResultView | None,
    state: str,
    error: str | None,
    expect: dict[str, Any],
) -> list[str]:
    found = []
    code = job.error.code if job.error else None
    if job.state.value != state:
        said = f" ({job.error.code}: {job.error.message})" if job.error else ""
        found.append(f"the job is {job.state}, expected {state}{said}")
    if error is not None and code != error:
        found.append(f"the error is {code}, expected {error}")
    if result is not None and expect:
        found += wanted.mismatches(wanted.result.model_validate(result.body), expect)
    return found

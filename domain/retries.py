"""Whether a run that ended in an error is tried again, and when."""

from dataclasses import dataclass
from random import Random

from domain.errors import SightlineError, StatementGivenUp, StorageUnavailable

OUTAGE_FACTOR = 10.0
LONGEST_OUTAGE_DELAY_S = 30.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently."""

    max_attempts: int = 5
    first_delay_s: float = 1.0
    factor: float = 3.0
    longest_delay_s: float = 300.0
    jitter: float = 0.5
    """the share of the delay that is left to chance, so that jobs that failed together do not return together"""

    @property
    def outage_delay_s(self) -> float:
        """How long a job waits for a storage that is away.

        It does not grow, since nothing is counted: long enough that a backlog does not spin, short enough that it goes
        on soon once the storage is back.
        """
        return min(max(OUTAGE_FACTOR * self.first_delay_s, 1.0), LONGEST_OUTAGE_DELAY_S)


@dataclass(frozen=True)
class RetryDecision:
    """What happens next, and why."""

    retry: bool
    delay_s: float
    reason: str
    costs_attempt: bool = True


def decide(error: SightlineError, attempt: int, policy: RetryPolicy, random: Random) -> RetryDecision:
    """Decide on the run number `attempt` (from 1) that ended in `error`.

    The delay is `first_delay_s * factor ** (attempt - 1)`, bounded, less up to `jitter` of itself ("equal jitter" of
    Brooker, Exponential Backoff And Jitter, 2015, with a settable share).

    A storage that does not answer is no fault of the job's: it is tried again for as long as that lasts and uses up no
    attempt. Were it otherwise, an image store that is away for a minute would end the whole backlog.
    """
    if isinstance(error, StorageUnavailable) and not isinstance(error, StatementGivenUp):
        reason = f"{error.code} uses up no attempt"
        return RetryDecision(True, _shortened(policy.outage_delay_s, policy, random), reason, costs_attempt=False)
    if not error.retryable:
        return RetryDecision(False, 0.0, f"{error.code} is permanent")
    if attempt >= policy.max_attempts:
        return RetryDecision(False, 0.0, f"{error.code} on attempt {attempt} of {policy.max_attempts}")
    full = min(policy.first_delay_s * policy.factor ** (attempt - 1), policy.longest_delay_s)
    reason = f"{error.code} on attempt {attempt} of {policy.max_attempts}"
    return RetryDecision(True, _shortened(full, policy, random), reason)


def _shortened(delay_s: float, policy: RetryPolicy, random: Random) -> float:
    return delay_s * (1 - policy.jitter * random.random())

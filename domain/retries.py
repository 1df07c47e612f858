"""Whether a run that ended in an error is tried again, and when."""

from dataclasses import dataclass
from random import Random

from domain.errors import SightlineError


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently."""

    max_attempts: int = 5
    first_delay_s: float = 1.0
    factor: float = 3.0
    longest_delay_s: float = 300.0
    jitter: float = 0.5
    """the share of the delay that is left to chance, so that jobs that failed together do not return together"""


@dataclass(frozen=True)
class RetryDecision:
    """What happens next, and why."""

    retry: bool
    delay_s: float
    reason: str


def decide(error: SightlineError, attempt: int, policy: RetryPolicy, random: Random) -> RetryDecision:
    """Decide on the run number `attempt` (from 1) that ended in `error`.

    The delay is `first_delay_s * factor ** (attempt - 1)`, bounded, less up to `jitter` of itself ("equal jitter" of
    Brooker, Exponential Backoff And Jitter, 2015, with a settable share).
    """
    if not error.retryable:
        return RetryDecision(False, 0.0, f"{error.code} is permanent")
    if attempt >= policy.max_attempts:
        return RetryDecision(False, 0.0, f"{error.code} on attempt {attempt} of {policy.max_attempts}")
    full = min(policy.first_delay_s * policy.factor ** (attempt - 1), policy.longest_delay_s)
    delay = full * (1 - policy.jitter * random.random())
    return RetryDecision(True, delay, f"{error.code} on attempt {attempt} of {policy.max_attempts}")

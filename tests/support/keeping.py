"""A worker that is always there: another one is started whenever it has ended, as a supervisor does."""

import subprocess

from tests.support.system import System
from tests.support.waiting import eventually


def over(one: System) -> bool:
    """Say whether every job has ended."""
    return {"queued", "running"}.isdisjoint(one.states())


def _there(one: System) -> subprocess.Popen[bytes] | None:
    workers = (process for process in one.processes if process.args[3] == "worker" and process.poll() is None)
    return next(workers, None)


def let_workers_leave(one: System) -> None:
    """Tell every worker to leave, and wait until it has."""
    while (worker := _there(one)) is not None:
        worker.terminate()
        worker.wait(30)


def keep_a_worker_until_the_end(one: System, within_s: float, **extra: str) -> list[int]:
    """Start workers one after another until every job has ended; return the exit codes of those that died before.

    The last one is there afterwards, and is the first of a further call.
    """
    codes = []
    while not over(one):
        worker = _there(one) or one.spawn("worker", **extra)
        try:
            eventually(lambda: worker.poll() is not None or over(one), within_s, "it dies or all is done")  # noqa: B023
        except AssertionError as error:
            raise AssertionError(f"{error}: {codes}, {one.states()}\n{one.logs()}") from None
        if worker.poll() is not None:
            codes.append(worker.returncode)
        assert len(codes) < 20, f"nothing comes of it: {codes}, {one.states()}\n{one.logs()}"
    return codes

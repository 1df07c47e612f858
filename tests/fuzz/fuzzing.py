"""Running a fuzz target: `python -m tests.fuzz.NAME SECONDS CORPUS`. It ends with 0 where nothing was found.

atheris (libFuzzer) mutates the corpus, guided by which lines the target's inputs reach. An exception that the target
does not name as an answer, an input that takes longer than `SLOWEST_S`, or memory over `MOST_MB` ends the process with
another status, and the input is printed as hex.
"""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

SLOWEST_S = 5
MOST_MB = 1_500
LONGEST = 64 * 1024
"""Bytes of an input; what only large files do has tests of its own."""


def forget_peak() -> None:
    """Let the peak of this process's memory be what it holds now (Linux: see proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Return the most memory that this process has held since then."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def fuzz(target: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Fuzz for as long as the command line says, from these seeds and what is in the corpus already."""
    seconds, corpus = int(sys.argv[1]), Path(sys.argv[2])
    corpus.mkdir(parents=True, exist_ok=True)
    for at, seed in enumerate(seeds):
        (corpus / f"seed-{at}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={SLOWEST_S}",
        "-rss_limit_mb=0",  # it counts what the process held that started this one, too
        f"-max_len={LONGEST}",
        f"-artifact_prefix={corpus.parent}/found-",
        "-print_final_stats=1",
        "-seed=1",
    ]

    forget_peak()

    def one(data: bytes) -> None:
        begun = time.monotonic()
        try:
            target(data)
        except BaseException:
            print(f"FOUND {data.hex()}", flush=True)
            raise
        if peak_mb() > MOST_MB:
            print(f"LARGE {data.hex()}", flush=True)
            raise MemoryError(f"an input took {peak_mb():.0f} MB")
        if time.monotonic() - begun > SLOWEST_S:
            print(f"SLOW {data.hex()}", flush=True)
            raise TimeoutError(f"an input took {time.monotonic() - begun:.1f} s")

    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()

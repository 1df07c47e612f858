"""Read by Python at the start of a process that has this folder in its path: a further family that learns, `line`."""

from pathlib import Path

import workers.training.learners

workers.training.learners.__path__.append(str(Path(__file__).parent))

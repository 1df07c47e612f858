"""The family `line`: the toy of the tests, for processes of their own."""

from tests.workers.training.toy_learner import learner

__all__ = ["learner"]

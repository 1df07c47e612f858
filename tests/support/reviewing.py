"""People at work: reviewers with keys, and jobs whose results wait for them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine

from domain.access import Principal, Scope
from domain.reviews import Decision, ReviewNeed
from storage import reviews
from storage.reviews import ReviewView
from storage.session import read, write
from tests.support.life import TENANT, Life, succeeded

NEED = ReviewNeed(queue="undecided", reasons=("grey-band",))


def reviewer(name: str = "ann", *scopes: Scope, tenant: str = TENANT) -> Principal:
    """Return a caller with a key of their own."""
    return Principal(tenant, uuid4(), name, frozenset(scopes or (Scope.REVIEW,)))


@dataclass
class Desk:
    """A database with results that wait for people."""

    engine: Engine

    def waiting(self, body: dict[str, Any] | None = None, tenant: str = TENANT, **need: Any) -> UUID:
        """End a job with a result that is put before people; return the item's id."""
        life = Life(self.engine)
        worker = life.worker()
        job = life.running(worker, tenant=tenant)
        asked = ReviewNeed.model_validate({**NEED.model_dump(), **need})
        shown = {"width": 96, "height": 64, "orientation": 1}
        told: dict[str, Any] = {"body": body, "pictures": (shown,)} if body else {}
        life.commit(worker, succeeded(job, review=asked, **told))
        everybody = reviewer("finder", Scope.REVIEW, Scope.RESTRICTED, tenant=tenant)
        [item] = read(self.engine, reviews.listing, everybody, job_id=job.id)
        return item.id

    def claim(self, who: Principal, item: UUID, seconds: float = 60) -> ReviewView:
        """Claim an item."""
        return write(self.engine, reviews.claim, who, item, seconds)

    def decide(self, who: Principal, item: UUID, verb: str, **more: Any) -> ReviewView:
        """Claim an item and decide it."""
        held = self.claim(who, item)
        decision = Decision.model_validate({"verb": verb, "reason": "looked-at", **more})
        return write(self.engine, reviews.settle, who, item, held.claim, decision)

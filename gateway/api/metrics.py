"""Metrics for Prometheus. Labels are applications, lanes, states and routes: no tenant, no id, nothing of a patient.

What the database knows is read at each scrape, so that any gateway tells the same; request timings are this process's.
"""

from collections import Counter

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from gateway.api.resources import Served
from storage import gauges
from storage.counters import Count, counts
from storage.gauges import QueueGauge

router = APIRouter(tags=["operation"])

QUEUE = ("application", "lane")


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(http: Request, served: Served) -> Response:
    """Return the metrics in Prometheus' text format."""
    jobs = await served.read(counts)
    queues = await served.read(gauges.queues)
    workers = await served.read(gauges.live_workers)
    here: CollectorRegistry = http.app.state.timings
    return Response(
        generate_latest(_of_database(jobs, queues, workers)) + generate_latest(here), media_type=CONTENT_TYPE_LATEST
    )


def _of_database(jobs: list[Count], queues: list[QueueGauge], workers: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    by_state = Gauge("sightline_jobs", "Jobs by state", [*QUEUE, "state"], registry=registry)
    eligible = Gauge("sightline_queue_eligible_jobs", "Waiting jobs that may run now", QUEUE, registry=registry)
    running = Gauge("sightline_queue_running_jobs", "Jobs that a worker holds", QUEUE, registry=registry)
    oldest = Gauge("sightline_queue_oldest_seconds", "How long the oldest waiting job waits", QUEUE, registry=registry)
    Gauge("sightline_workers", "Workers with a lease", registry=registry).set(workers)
    totals: Counter[tuple[str, str, str]] = Counter()
    for count in jobs:
        totals[count.application, count.lane, count.state] += count.jobs
    for labels, total in totals.items():
        by_state.labels(*labels).set(total)
    for queue in queues:
        eligible.labels(queue.application, queue.lane).set(queue.eligible)
        running.labels(queue.application, queue.lane).set(queue.running)
        oldest.labels(queue.application, queue.lane).set(queue.oldest_age_s)
    return registry

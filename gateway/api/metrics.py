"""Metrics for Prometheus, without a tenant, an id or anything of a patient.

Labels are applications, lanes, states, models, devices and routes. What the database knows is read at each scrape, so
that any gateway tells the same; request timings are this process's.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.api.resources import Served
from storage import gauges, model_loads
from storage.counters import Count, counts
from storage.gauges import QueueGauge
from storage.model_loads import ModelTally

router = APIRouter(tags=["operation"])

QUEUE = ("application", "lane")
MODEL = ("model", "device")


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(http: Request, served: Served) -> Response:
    """Return the metrics in Prometheus' text format."""
    jobs = await served.read(counts)
    queues = await served.read(gauges.queues)
    workers = await served.read(gauges.live_workers)
    models = await served.read(model_loads.totals)
    here: CollectorRegistry = http.app.state.timings
    known = _of_database(jobs, queues, workers)
    known.register(_Models(models))
    return Response(generate_latest(known) + generate_latest(here), media_type=CONTENT_TYPE_LATEST)


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


class _Models(Collector):
    """What the workers told of their models. The client library's own counters begin at nothing in each process."""

    def __init__(self, tallies: Sequence[ModelTally]) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        """Yield a metric for each thing that is counted."""
        loads = CounterMetricFamily("sightline_model_loads", "Times that a worker loaded a model", labels=MODEL)
        evictions = CounterMetricFamily("sightline_model_evictions", "Times that it made room", labels=MODEL)
        thrashes = CounterMetricFamily("sightline_model_thrashes", "Loads soon after an eviction", labels=MODEL)
        held = GaugeMetricFamily("sightline_model_resident_bytes", "What it weighs in all live workers", labels=MODEL)
        for tally in self._tallies:
            labels = (tally.model, tally.device)
            loads.add_metric(labels, tally.loads)
            evictions.add_metric(labels, tally.evictions)
            thrashes.add_metric(labels, tally.thrashes)
            held.add_metric(labels, tally.resident_bytes)
        yield from (loads, evictions, thrashes, held)

"""The gateway's client: what the command uses, and what an upstream system written in Python may use as well.

An answer is the same model that the gateway serves; a problem document becomes the domain's typed error again.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from domain.applications.application import Configured
from domain.errors import BacklogFull, InvalidRequest, SightlineError, Unavailable
from domain.jobs import JobState
from domain.reviews import Decision
from domain.statements import Source
from domain.texts import printable
from storage.configurations import Activation, ConfigurationView
from storage.feed import FeedEvent
from storage.jobs import JobView, ResultView
from storage.results import Version
from storage.reviews import ReviewView
from storage.trials import Trial

SERVER_WAIT_S = 30.0
FIRST_LOOK_S = 0.05
LAST_LOOK_S = 1.0
RECONNECT_S = 1.0
MOST_NAME = 255


class Client:
    """A connection to a gateway with an API key. Safe for threads."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s, follow_redirects=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        application: str,
        images: Sequence[Path],
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        wait_s: float = 0.0,
        **fields: Any,  # noqa: ANN401  (lane, deadline, not_before, supersede_key, metadata)
    ) -> JobView:
        """Hand in a job with image files; wait for its end up to 30 s.

        Raises InvalidRequest for a file that cannot be read, and what the gateway answers.
        """
        request = {"application": application, "params": dict(params or {}), **fields}
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        with ExitStack() as stack:
            parts: list[tuple[str, Any]] = [("request", (None, json.dumps(request), "application/json"))]
            parts += [
                ("images", (printable(path.name, MOST_NAME), stack.enter_context(_opened(path)))) for path in images
            ]
            wait = {"wait": min(wait_s, SERVER_WAIT_S)} if wait_s else {}
            answer = self._call("POST", "/v1/jobs", files=parts, headers=headers, params=wait)
        return JobView.model_validate_json(answer.content)

    def job(self, job_id: UUID) -> JobView:
        """Return a job."""
        return JobView.model_validate_json(self._call("GET", f"/v1/jobs/{job_id}").content)

    def jobs(self, **filters: Any) -> list[JobView]:  # noqa: ANN401  (application, state, lane, before, limit ...)
        """Return jobs, newest first, that fit the filters."""
        told = {name: str(value) for name, value in filters.items() if value is not None}
        return [JobView.model_validate(job) for job in self._call("GET", "/v1/jobs", params=told).json()["jobs"]]

    def wait(self, job_id: UUID, timeout_s: float) -> JobView:
        """Return the job once it has ended.

        Raises TimeoutError that says in which state it still is.
        """
        until, pause = time.monotonic() + timeout_s, FIRST_LOOK_S
        while True:
            job = self.job(job_id)
            if job.state.ended:
                return job
            if time.monotonic() >= until:
                raise TimeoutError(f"job {job_id} is still {job.state} after {timeout_s:g} s")
            time.sleep(min(pause, max(until - time.monotonic(), 0)))
            pause = min(pause * 1.5, LAST_LOOK_S)

    def result(self, job_id: UUID) -> ResultView:
        """Return what a job answered."""
        return ResultView.model_validate_json(self._call("GET", f"/v1/jobs/{job_id}/result").content)

    def overlay(self, job_id: UUID, image: int = 0) -> bytes:
        """Return a PNG of one of the job's images with its result drawn over it."""
        return self._call("GET", f"/v1/jobs/{job_id}/overlay.png", params={"image": image}).content

    def cancel(self, job_id: UUID) -> JobView:
        """Cancel a job, or ask a running one to stop."""
        return JobView.model_validate_json(self._call("POST", f"/v1/jobs/{job_id}/cancel").content)

    def replay(self, job_id: UUID) -> JobView:
        """Start an ended job anew."""
        return JobView.model_validate_json(self._call("POST", f"/v1/jobs/{job_id}/replay").content)

    def reviews(self, **filters: Any) -> list[ReviewView]:  # noqa: ANN401  (application, queue, reason, state, ...)
        """Return review items, newest first, that fit the filters; those that wait where no state is named."""
        told = {name: str(value) for name, value in filters.items() if value is not None}
        found = self._call("GET", "/v1/reviews", params=told).json()["reviews"]
        return [ReviewView.model_validate(item) for item in found]

    def review(self, review_id: UUID) -> ReviewView:
        """Return a review item."""
        return ReviewView.model_validate_json(self._call("GET", f"/v1/reviews/{review_id}").content)

    def claim_review(self, review_id: UUID, seconds: float) -> ReviewView:
        """Hold a review item for a time."""
        return self._reviewed(f"/v1/reviews/{review_id}/claim", {"seconds": seconds})

    def claim_next_review(self, **wanted: Any) -> ReviewView | None:  # noqa: ANN401  (application, queue, reason, seconds)
        """Hold the next review item that fits; None where there is none."""
        answer = self._call(
            "POST", "/v1/reviews:next", json={name: it for name, it in wanted.items() if it is not None}
        )
        return ReviewView.model_validate_json(answer.content) if answer.content else None

    def release_review(self, review_id: UUID) -> ReviewView:
        """Give a review item back undecided."""
        return self._reviewed(f"/v1/reviews/{review_id}/release", None)

    def decide_review(self, review_id: UUID, claim: int, decision: Decision) -> ReviewView:
        """Decide a review item that is held under that claim."""
        told = {**decision.model_dump(mode="json"), "claim": claim}
        return self._reviewed(f"/v1/reviews/{review_id}/decide", told)

    def appeal(self, job_id: UUID, note: str) -> ReviewView:
        """Object to what was decided of a job."""
        return self._reviewed(f"/v1/jobs/{job_id}/appeal", {"note": note})

    def versions(self, job_id: UUID) -> list[Version]:
        """Return what the machine answered and what people made of it."""
        return [Version.model_validate(each) for each in self._call("GET", f"/v1/jobs/{job_id}/versions").json()]

    def statement(
        self,
        job_id: UUID,
        puid: str,
        applied_on: date,
        source: Source = "SOURCE_VOLUNTARY",
        territories: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the statement of reasons for what was decided of a job, as the DSA's database takes it."""
        told = {"puid": puid, "applied_on": applied_on.isoformat(), "source": source, "territory": list(territories)}
        found: dict[str, Any] = self._call("GET", f"/v1/jobs/{job_id}/statement", params=told).json()
        return found

    def configurations(self, application: str) -> list[ConfigurationView]:
        """Return the versions of an application's configurations."""
        found = self._call("GET", f"/v1/configurations/{application}").json()
        return [ConfigurationView.model_validate(each) for each in found]

    def configuration(self, application: str, kind: str, name: str, version: int) -> Configured:
        """Return a version of a configuration with its content."""
        path = f"/v1/configurations/{application}/{kind}/{name}/{version}"
        return Configured.model_validate_json(self._call("GET", path).content)

    def add_configuration(
        self, application: str, kind: str, name: str, body: Mapping[str, Any], because: str
    ) -> Configured:
        """Keep a version of a configuration."""
        told = {"body": dict(body), "because": because}
        answer = self._call("POST", f"/v1/configurations/{application}/{kind}/{name}", json=told)
        return Configured.model_validate_json(answer.content)

    def try_configuration(self, application: str, kind: str, name: str, version: int, last: int) -> Trial:
        """Return what a version of a configuration would have made of past jobs."""
        path = f"/v1/configurations/{application}/{kind}/{name}/{version}/trial"
        return Trial.model_validate_json(self._call("GET", path, params={"last": last}).content)

    def activate_configuration(self, application: str, kind: str, name: str, version: int, because: str) -> Activation:
        """Have a version of a configuration hold."""
        path = f"/v1/configurations/{application}/{kind}/{name}/{version}/activate"
        return Activation.model_validate_json(self._call("POST", path, json={"because": because}).content)

    def events(self, after: int | None = None) -> Iterator[FeedEvent]:
        """Yield events as they come, from now or from behind a place in the feed; reconnects and misses none.

        Raises what the gateway answers; a gateway that was reached once is waited for.
        """
        place, reached = after, False
        while True:
            try:
                for here, event in self._stream(place):
                    place, reached = here, True
                    if event is not None:
                        yield event
            except (httpx.TransportError, Unavailable) as error:
                if not reached:
                    raise self._unreachable(error) from error
            time.sleep(RECONNECT_S)

    def _stream(self, place: int | None) -> Iterator[tuple[int, FeedEvent | None]]:
        """Yield each place in the feed that the gateway names, with its event; the first has none."""
        headers = {"Last-Event-ID": str(place)} if place is not None else {}
        with self._http.stream("GET", "/v1/events", headers=headers, timeout=httpx.Timeout(60.0)) as answer:
            if answer.is_error:
                answer.read()
                raise _error(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
                elif not line:
                    if "id" in fields:
                        yield int(fields["id"]), _event(fields) if "data" in fields else None
                    fields = {}

    def _reviewed(self, path: str, told: Mapping[str, Any] | None) -> ReviewView:
        return ReviewView.model_validate_json(self._call("POST", path, json=told).content)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401  (httpx's own options)
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise Unavailable(f"the gateway at {self.url} did not answer in time") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.is_error:
            raise _error(answer)
        return answer

    def _unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"no gateway answers at {self.url} ({error}); start one with `sightline up`, or set SIGHTLINE_URL"
        )


def _opened(path: Path) -> Any:  # noqa: ANN401  (a binary file)
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error


def _event(fields: dict[str, str]) -> FeedEvent:
    body = json.loads(fields["data"])
    told = {name: body.pop(name) for name in ("job_id", "created_at")}
    return FeedEvent.model_validate({"feed_id": int(fields["id"]), "type": fields["event"], "body": body, **told})


def _error(answer: httpx.Response) -> SightlineError:
    """Turn a problem document into the typed error of its code."""
    try:
        told = answer.json()
        code, detail = told["code"], told["detail"]
    except (ValueError, KeyError, TypeError):
        return Unavailable(
            f"{answer.request.url} answered {answer.status_code} and no problem document: is it a gateway?"
        )
    kind = _kinds().get(code, SightlineError)
    if issubclass(kind, BacklogFull):
        return BacklogFull(detail, retry_after_s=int(answer.headers.get("Retry-After", "5")))
    return kind(detail, problems=told.get("problems"))


def _kinds() -> dict[str, type[SightlineError]]:
    """Return the domain's errors by code, those that carry nothing but a message."""
    found: dict[str, type[SightlineError]] = {}
    waiting = [SightlineError]
    while waiting:
        kind = waiting.pop()
        found[kind.code] = kind
        waiting += kind.__subclasses__()
    found.pop("run_stopped", None)
    return found


def succeeded(job: JobView) -> bool:
    """Say whether a job ended well."""
    return job.state is JobState.SUCCEEDED

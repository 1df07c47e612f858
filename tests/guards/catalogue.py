"""Every guard that keeps a fault from losing or doubling work, and the edit that takes it out.

Tests say which guard they hold with `@pytest.mark.guard("name")`. `python -m tests.guards` takes each guard out of a
copy of the tree, runs its tests there, and says which of them noticed.
"""

from typing import NamedTuple


class Guard(NamedTuple):
    """A piece of code without which a fault would do harm."""

    name: str
    prevents: str
    file: str
    code: str
    """occurs exactly once in the file"""
    without: str
    """what stands there when the guard is removed"""


GUARDS = (
    Guard(
        "fence: token at commit",
        "a worker that stood still commits over the run that took its place",
        "storage/claims.py",
        ".where(tuple_(jobs.c.id, jobs.c.token).in_(tokens), *_guard(worker))",
        ".where(jobs.c.id.in_([told[0] for told in tokens]), *_guard(worker))",
    ),
    Guard(
        "fence: state and worker at commit",
        "a job that was given back or ended meanwhile is ended a second time",
        "storage/claims.py",
        "    return in_state(JobState.RUNNING), jobs.c.worker == worker\n",
        "    return (true(),)\n",
    ),
    Guard(
        "fence: the worker's own lease clock",
        "a worker that stood still believes its lease before it has asked",
        "workers/leasing.py",
        "return not self.fenced and time.monotonic() < self.until",
        "return True",
    ),
    Guard(
        "claim: only what waits",
        "one doorbell that came to two workers runs twice",
        "storage/claims.py",
        "            jobs.c.id.in_(ids),\n            in_state(JobState.QUEUED),\n            jobs.c.suspect ==",
        "            jobs.c.id.in_(ids),\n            jobs.c.suspect ==",
    ),
    Guard(
        "claim: only under a lease that holds",
        "a worker that the reaper has ended takes jobs that nobody will give back",
        "storage/claims.py",
        "            holds.exists(),\n",
        "",
    ),
    Guard(
        "claim: never what a newer job superseded",
        "an answer about an old picture comes after the newer one",
        "storage/claims.py",
        "            or_(jobs.c.supersede_key.is_(None), ~superseded()),\n            holds",
        "            holds",
    ),
    Guard(
        "commit: never what a newer job superseded",
        "an old picture's result is told beside the newer one's",
        "storage/claims.py",
        "*_guard(worker), or_(jobs.c.supersede_key.is_(None), ~superseded()))",
        "*_guard(worker))",
    ),
    Guard(
        "commit: a cancel before a retry",
        "a job that was asked to stop comes back",
        "storage/claims.py",
        ".where(*mine, jobs.c.cancel_requested).values(**stopped)",
        ".where(*mine, jobs.c.cancel_requested, false()).values(**stopped)",
    ),
    Guard(
        "submit: one job a key",
        "a producer that sends again after a time-out gets its parts inspected twice",
        "storage/submit.py",
        "            idempotency_key=key,\n",
        "",
    ),
    Guard(
        "reaper: lapsed leases are ended",
        "jobs of a lost worker run for ever",
        "workers/reap.py",
        "for worker in read(engine, lapsed):",
        "for worker in read(engine, lapsed)[:0]:",
    ),
    Guard(
        "reaper: only what has lapsed",
        "a worker that has just renewed loses its jobs",
        "storage/leases.py",
        "mine = workers.c.lease_until <= moment() if only_lapsed else true()",
        "mine = true()",
    ),
    Guard(
        "lease: a lapsed one is not renewed",
        "a worker that came back takes up jobs that run elsewhere by now",
        "storage/leases.py",
        ".where(workers.c.id == worker, workers.c.ended_at.is_(None), workers.c.lease_until > moment())\n"
        "        .values(lease_until",
        ".where(workers.c.id == worker)\n        .values(lease_until",
    ),
    Guard(
        "lease: what was never answered is disowned",
        "a claim whose answer was lost on the line is kept for ever",
        "storage/leases.py",
        "            jobs.c.id.not_in(list(held)),\n",
        "            jobs.c.id.not_in(list(held)),\n            jobs.c.id != jobs.c.id,\n",
    ),
    Guard(
        "re-ring: an unanswered doorbell rings again",
        "a message that the broker lost is a job that never runs",
        "workers/dispatch.py",
        "forgotten = self._forget(queues, self.rering_s)\n",
        "forgotten = 0\n",
    ),
    Guard(
        "outbox: publish, then mark",
        "a dispatcher that dies between the two loses the doorbell",
        "workers/dispatch.py",
        "        self._publish(queue, found)\n        mark_rung(connection, found)\n",
        "        write(self.engine, mark_rung, found)\n        self._publish(queue, found)\n",
    ),
    Guard(
        "suspect: the dead worker's notes",
        "a picture that kills its process takes its neighbours down again and again",
        "storage/leases.py",
        "noted = job.id in ending.noted",
        "noted = False",
    ),
    Guard(
        "suspect: runs alone",
        "a suspect that kills its process takes others with it",
        "workers/crew.py",
        "if suspects and not self._alone():",
        "if False:",
    ),
    Guard(
        "suspect: three strikes",
        "a picture that kills its process does so for ever",
        "storage/leases.py",
        "elif strikes >= STRIKES_TO_DEATH:",
        "elif False:",
    ),
    Guard(
        "watchdog: a hung call ends the process",
        "a device call that never returns keeps its jobs and its process for ever",
        "workers/watchdog.py",
        "return [watched for watched in self._calls if watched.until < now]",
        "return []",
    ),
    Guard(
        "watchdog: only the hung call's jobs are noted",
        "neighbours of a hung call are suspected",
        "workers/watchdog.py",
        "            self.notes.leave_only(blamed)\n",
        "            pass\n",
    ),
    Guard(
        "watchdog: native code that keeps the interpreter's lock",
        "a process in which no Python thread runs any more stays for ever",
        "workers/watchdog.py",
        "            faulthandler.dump_traceback_later(self.stalled_s, exit=True)\n",
        "",
    ),
    Guard(
        "watchdog: memory",
        "a job that allocates without bound has the kernel take whatever it likes",
        "workers/watchdog.py",
        "        if held > self.memory_limit:\n",
        "        if False:\n",
    ),
    Guard(
        "poison: whatever a model raises",
        "SystemExit in a model ends the device's thread, and with it the process",
        "workers/device.py",
        "        except BaseException as error:\n            # SystemExit",
        "        except Exception as error:\n            # SystemExit",
    ),
    Guard(
        "poison: whatever a job's own thread raises",
        "a job that raises SystemExit is given back for ever",
        "workers/perform.py",
        "        except BaseException as error:\n",
        "        except Exception as error:\n",
    ),
    Guard(
        "poison: results are bounded",
        "a result that PostgreSQL refuses in an outage's words holds up every commit behind it",
        "domain/applications/revising.py",
        "    if len(told) > MAX_BODY_BYTES:\n",
        "    if False:\n",
    ),
    Guard(
        "batch: a failing batch is bisected",
        "one bad picture fails all that shared its batch",
        "workers/device.py",
        "        if len(batch) > 1:\n            self._split(resident, batch)\n"
        "            return\n        if not isinstance",
        "        if len(batch) > 1:\n            for call in batch:\n                self._settle(call, error)\n"
        "            return\n        if not isinstance",
    ),
    Guard(
        "batch: a call that many batches went before goes next",
        "a stream of urgent calls keeps a call waiting until its job is taken for hung",
        "workers/batching.py",
        "        if self.passed >= PATIENCE:\n",
        "        if False:\n",
    ),
    Guard(
        "commit: a grouped commit that fails is repeated job by job",
        "one result that cannot be stored ends its neighbours",
        "workers/committing.py",
        "            if len(outcomes) == 1:\n                self._refuse(lease, outcomes[0], error)\n"
        "            else:",
        "            if outcomes:\n                for outcome in outcomes:\n"
        "                    self._refuse(lease, outcome, error)\n            else:",
    ),
    Guard(
        "images: complete before it has its name",
        "a crash in mid-write leaves a truncated picture to be judged",
        "storage/image_store.py",
        'unfinished = final.parent / f"{UNFINISHED}{uuid4().hex}"',
        "unfinished = final",
    ),
    Guard(
        "images: what the sweep took is put again",
        "the sweep removes the bytes that an upload has just found there",
        "storage/images.py",
        "        if not store.has(sha256):\n            store.put(data)",
        "        if False:\n            store.put(data)",
    ),
    Guard(
        "database: every answer has a limit",
        "a line that fell silent holds a thread, and whoever waits for it, for ever",
        "storage/postgresql.py",
        "connection.answer_s = answer_s",
        "connection.answer_s = None",
    ),
    Guard(
        "database: conflicts and deadlocks are repeated",
        "two who write at once are told that the database does not answer",
        "storage/session.py",
        "if not _repeatable(error) or time.monotonic() > until:",
        "if error:",
    ),
    Guard(
        "database: the level of isolation is ours",
        "a database whose administrator chose a stricter one refuses submissions",
        "storage/postgresql.py",
        '        "default_transaction_isolation": "read\\\\ committed",\n',
        "",
    ),
    Guard(
        "database: a stranger's lock on SQLite has a limit",
        "a process that stands still with the lock holds the gateway's threads for as long",
        "storage/session.py",
        'connect_args={"timeout": answer_s}',
        'connect_args={"timeout": 3600}',
    ),
    Guard(
        "bell: a silent line is tried",
        "whoever waits for changes on a dead line never hears of one again",
        "storage/bell.py",
        "if time.monotonic() - self._heard > SILENCE_S:",
        "if self._heard < 0:",
    ),
    Guard(
        "lease: a renewal that failed is tried again soon",
        "a lease lapses for one dead line although another would have served",
        "workers/leasing.py",
        "pause = min(AGAIN_S, usual)",
        "pause = usual",
    ),
    Guard(
        "gateway: a turn has a limit",
        "requests wait behind others, longer and longer, while the database does not answer",
        "gateway/api/resources.py",
        "TURN_S = 10.0\n",
        "TURN_S = 1000.0\n",
    ),
    Guard(
        "gateway: probes go beside the requests",
        "/readyz says nothing when it matters",
        "gateway/api/health.py",
        "served.probe(partial(read, served.engine, gauges.live_workers))",
        "served.read(gauges.live_workers)",
    ),
    Guard(
        "feed: a reader is kept while the database is away",
        "a reader in a browser gives up for good",
        "gateway/api/events.py",
        "            await asyncio.sleep(PAUSE_S)\n            continue\n",
        "            raise\n",
    ),
    Guard(
        "ears: the most urgent lane first",
        "bulk jobs with deadlines pass every interactive job without one",
        "workers/hearing.py",
        "return next(iter(self._lanes[min(self._lanes)].values()))[0]",
        "return min(heap[0] for tenants in self._lanes.values() for heap in tenants.values())",
    ),
    Guard(
        "ears: tenants in turn",
        "a job waits for the whole backlog of another tenant, who submitted earlier",
        "workers/hearing.py",
        "            tenants[one.tenant] = theirs\n",
        "            self._lanes[one.lane] = {one.tenant: theirs, **tenants}\n",
    ),
    Guard(
        "ears: what waits here is not lost",
        "what waits for a slow worker is rung for again and again",
        "workers/hearing.py",
        "                tell(sorted(waiting))\n",
        "                pass\n",
    ),
    Guard(
        "dispatch: a lost doorbell is no work done",
        "the window grows by what was forgotten, and more is rung for",
        "workers/dispatch.py",
        "self.rates.setdefault(queue, Rate()).outstanding -= forgotten",
        "self.rates.setdefault(queue, Rate())",
    ),
    Guard(
        "dispatch: what waits is shared with who has nothing to do",
        "a worker idles while another keeps what it cannot begin for long",
        "workers/dispatch.py",
        "now - since >= self.rering_s]",
        "now - since >= 1e9]",
    ),
)

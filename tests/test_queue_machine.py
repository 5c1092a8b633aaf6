"""The queue under any order of events: hypothesis plays users, workers, death and time."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from foodcritic import db as database
from foodcritic import jobs, queue
from foodcritic.db import Database
from foodcritic.errors import JobCancelled, LeaseLost, QueueFull
from foodcritic.queue import Job, JobStatus
from tests.conftest import Clock, new_job, settings_for

Result = TypeVar("Result")
PER_USER = 3
NUMBER = st.integers(0, 23)


class QueueMachine(RuleBasedStateMachine):
    """Whatever happens: no job lost, none finished twice, users served in turn."""

    template: Path

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.home = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.home / "foodcritic.db")
        self.clock = Clock()
        configured = settings_for(self.home, queue_per_user=PER_USER, queue_total=8)
        self.db: Database = self.run(database.connect(configured, now=self.clock))
        #: key → id of every request taken in
        self.taken: dict[str, int] = {}
        #: how often each job's end was acknowledged to somebody
        self.ended: Counter[int] = Counter()
        #: the claim that owns each job, and until when
        self.owner: dict[int, Job] = {}
        #: every claim whose worker still lives, current or not
        self.held: list[Job] = []
        #: all jobs after the last step
        self.seen: list[Job] = []
        self.number = 0
        self.delivered: Counter[int] = Counter()

    def run(self, doing: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(doing)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.drain()
            self.run(self.db.close())
            self.loop.close()
            shutil.rmtree(self.home)

    @rule(user=st.integers(1, 3), again=st.sampled_from([False, False, False, True]))
    def ask(self, user: int, again: bool) -> None:
        if not again:
            self.number += 1
        key = f"{user}:{self.number}"
        before = self.unfinished(user)
        try:
            job = self.run(queue.enqueue(self.db, new_job(key, user=user)))
        except QueueFull as full:
            scope = full.scope
        else:
            assert self.taken.setdefault(key, job.id) == job.id
            return
        assert key not in self.taken
        assert before == PER_USER if scope == "user" else self.unfinished() == 8

    @precondition(lambda self: any(job.is_active for job in self.seen))
    @rule(worker=st.sampled_from(["w1", "w2"]), suspects=st.booleans())
    def claim(self, worker: str, suspects: bool) -> None:
        def may(job: Job) -> bool:
            return suspects or job.attempts < queue.SUSPECT

        job = self.run(queue.claim(self.db, worker, suspects=suspects))
        if job is None:
            assert not any(may(job) for job in self.all() if job.status == JobStatus.TODO)
            return
        assert suspects or job.attempts <= queue.SUSPECT
        held = self.owner.get(job.id)
        assert held is None or held.token != job.token
        assert job.attempts <= queue.CLAIMS
        # In turn: no user with a waiting job was passed over for a later round.
        waiting = [other for other in self.all() if other.status == JobStatus.TODO]
        assert all(job.turn <= other.turn for other in waiting if may(other))
        self.owner[job.id] = job
        self.held.append(job)

    @precondition(lambda self: self.held)
    @rule(which=NUMBER, how=st.sampled_from(["draft", "renew"]))
    def progress(self, which: int, how: str) -> None:
        job = self.held[which % len(self.held)]
        step = queue.draft(self.db, job, "text") if how == "draft" else queue.renew(self.db, job)
        with self.only_its_owner(job) as attempt:
            self.run(step)
            attempt.append(True)

    @precondition(lambda self: self.held)
    @rule(which=NUMBER, how=st.sampled_from(["finish", "fail", "retry", "release"]))
    def let_go(self, which: int, how: str) -> None:
        job = self.held.pop(which % len(self.held))
        step = {
            "finish": lambda: queue.finish(self.db, job, answer="done"),
            "fail": lambda: queue.fail(self.db, job, "engine"),
            "retry": lambda: queue.fail(self.db, job, "engine", retry=True),
            "release": lambda: queue.release(self.db, job),
        }[how]()
        with self.only_its_owner(job) as attempt:
            after = self.run(step)
            attempt.append(True)
            del self.owner[job.id]
            self.ended[job.id] += after.is_finished

    @precondition(lambda self: self.taken)
    @rule(which=NUMBER)
    def cancel(self, which: int) -> None:
        job_id = list(self.taken.values())[which % len(self.taken)]
        before = self.run(queue.get(self.db, job_id)).status
        after = self.run(queue.cancel(self.db, job_id))
        assert after == (JobStatus.CANCELLED if before == JobStatus.TODO else before)
        self.ended[job_id] += before == JobStatus.TODO

    @precondition(lambda self: self.owner)
    @rule(seconds=st.sampled_from([30, 61]))
    def wait(self, seconds: int) -> None:
        """Workers hang or die: their leases run out, and they may come back late."""
        self.clock.forward(seconds=seconds)

    @precondition(lambda self: any(j.is_finished and not j.delivered for j in self.seen))
    @rule(courier=st.sampled_from(["c1", "c2"]))
    def deliver(self, courier: str) -> None:
        for job in self.run(queue.undelivered(self.db, "telegram", courier)):
            assert job.is_finished
            self.run(queue.delivered(self.db, job, courier))
            self.delivered[job.id] += 1

    @invariant()
    def nothing_is_lost_or_done_twice(self) -> None:
        if not hasattr(self, "db"):
            return
        self.seen = self.all()
        for job in self.seen:
            job_id = job.id
            assert self.ended[job_id] <= 1
            assert job.attempts <= queue.CLAIMS
            assert (job.token is None) == (job.status != JobStatus.DOING) or job.is_finished
            assert (job.finished is not None) == job.is_finished
            assert self.delivered[job_id] == (job.delivered is not None)

    @contextlib.contextmanager
    def only_its_owner(self, job: Job) -> Any:
        """The claim's current owner succeeds, or learns of the stop; anyone else is refused."""
        mine = self.owner.get(job.id) is not None and self.owner[job.id].token == job.token
        before = self.run(queue.get(self.db, job.id))
        owned = mine and before.token == job.token and before.status == JobStatus.DOING
        succeeded: list[bool] = []
        try:
            yield succeeded
        except JobCancelled:
            now = self.run(queue.get(self.db, job.id))
            assert now.status == JobStatus.CANCELLED
            if owned:
                assert before.cancelling
                self.ended[job.id] += 1
                del self.owner[job.id]
        except LeaseLost:
            assert not owned
        else:
            assert owned

    def jobs(self, status: JobStatus) -> list[Job]:
        return [job for job in self.seen if job.status == status]

    def all(self) -> list[Job]:
        async def read() -> list[Job]:
            async with self.db.read() as session:
                rows = await session.execute(sa.select(*jobs.COLUMNS).order_by(jobs.JOBS.c.id))
                return list(await jobs.load(session, rows.all(), self.db.settings.media))

        found = self.run(read())
        assert [job.id for job in found] == sorted(self.taken.values())
        return found

    def unfinished(self, user: int | None = None) -> int:
        active = self.jobs(JobStatus.TODO) + self.jobs(JobStatus.DOING)
        return sum(user in (None, job.user_id) for job in active)

    def drain(self) -> None:
        """One live worker and one courier are enough: everything ends and everybody hears of it."""
        if not hasattr(self, "db"):
            return
        self.clock.forward(seconds=120)
        while (job := self.run(queue.claim(self.db, "last"))) is not None:
            self.run(queue.finish(self.db, job, answer="done"))
        self.deliver("last")
        for job in self.all():
            assert job.is_finished
            assert self.delivered[job.id] == 1


@pytest.mark.long
def test_no_order_of_events_loses_or_repeats_a_job(tmp_path: Path) -> None:
    """`make soak` looks at ten times as many."""
    search(tmp_path, examples=30)


def search(tmp_path: Path, examples: int) -> None:
    """Look for an order of events that breaks a promise."""
    asyncio.run(database.migrate(settings_for(tmp_path)))
    template = tmp_path / "foodcritic.db"
    machine = type("Machine", (QueueMachine,), {"template": template})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

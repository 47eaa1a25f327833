"""Run jobs as an array of Slurm, by submitit."""

from __future__ import annotations

import logging
import math
import os
import shlex
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, UncompletedJobError
from submitit.slurm.slurm import SlurmInfoWatcher

from benchmarks.runner.launchers.launcher import POLLED, TRIES, ProcessLost, limit, raised
from benchmarks.runner.worker import BEAT, Task
from ravine import Refused, nearest
from ravine.processes import end_with

CLUSTERS = ("slurm", "local")
SILENT = 12 * BEAT  # seconds without a sign of life after which a job that has begun counts as lost
# Seconds in which signs of life are those of a cancelled job; less than between two looks at what runs in silence.
ENDING = SILENT - 2 * BEAT
NAMED = 4  # silent jobs in a line


@dataclass(frozen=True)
class Slurm:
    """Jobs of Slurm. One whose process is killed, or silent, is submitted once more.

    cluster: "slurm"; "local" runs them on this machine, to try the command.
    n_jobs: how many run at a time; -1 for no limit on Slurm, and one per core with "local".
    timeout_min: minutes that one job may take.
    parameters: any others that submitit knows, as in {slurm_partition: gpu}.
    """

    cluster: str = "slurm"
    n_jobs: int = -1
    timeout_min: int = 60
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cluster not in CLUSTERS:
            raise Refused(
                f"unknown hydra.launcher.cluster {self.cluster!r}: {nearest(self.cluster, CLUSTERS)}"
            )

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> list[Exception]:
        """Run all jobs; see `Launcher`."""
        logging.getLogger("submitit").setLevel(logging.ERROR)  # it says where accounting is off
        files = task.folder.path / ".slurm"
        try:
            executor = submitit.AutoExecutor(files, cluster=self.cluster)
            executor.update_parameters(timeout_min=self.timeout_min, **self.parameters)
        except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
            shutil.rmtree(files, ignore_errors=True)
            raise Refused(f"hydra/launcher=slurm: {' '.join(str(error).split())}") from error
        local = self.cluster != "slurm"
        attempt = partial(_attempt_here, task, os.getpid()) if local else task.attempt
        at_most = limit(self.n_jobs) if local or self.n_jobs != -1 else count
        waiting, jobs = list(range(count)), {}
        if not local:
            executor.update_parameters(slurm_array_parallelism=at_most)
            jobs = dict(zip(waiting, executor.map_array(attempt, waiting), strict=True))
            waiting = []
        failed: list[Exception | None] = []
        tries = Counter[int]()
        alive, queue = _SignsOfLife(task), _Queue(task)
        try:
            while jobs or waiting:
                while waiting and len(jobs) < at_most:
                    number = waiting.pop(0)
                    jobs[number] = executor.submit(attempt, number)
                time.sleep(POLLED)
                watch()
                gone = set() if local else queue.gone(jobs, say)
                for number, job in list(jobs.items()):
                    silent = alive.missing(number)
                    if not (silent or number in gone or job.done()):
                        continue
                    del jobs[number]
                    error = None if silent or number in gone else job.exception()
                    if silent or number in gone or isinstance(error, UncompletedJobError):
                        if number in gone:
                            why = "it gave no sign of life, and Slurm does not know it"
                        elif silent:
                            why = f"no sign of life for {SILENT:.0f} s"
                        elif isinstance(error, FailedJobError):
                            why = "it could not begin"
                        else:
                            why = "it was killed"
                        why += f" (see {job.paths.stderr})"
                        tries[number] += 1
                        has_begun = number not in gone and not isinstance(error, FailedJobError)
                        if has_begun and tries[number] < TRIES:
                            say(f"{task.name(number)}: {why}, it is run again")
                            alive.forget(number)
                            waiting.append(number)
                        else:
                            failed.append(ProcessLost(task.name(number), why))
                            say(str(failed[-1]))
                        job.cancel(check=False)  # it may only be silent, or wait for another node
                    else:
                        failed.append(error or job.result())
        finally:
            for job in jobs.values():
                job.cancel(check=False)
        if not tries:  # else a line has named one of them
            shutil.rmtree(files, ignore_errors=True)
        return raised(failed)


def _attempt_here(task: Task, command: int, number: int) -> Exception | None:
    """Run a job on the machine of the command, with which it ends; its parent is a process of submitit."""
    end_with(command)
    return task.attempt(number)


class _Queue:
    """Tell which jobs have not begun: a pending job may wait for days, one that Slurm does not know never begins.

    One that runs without a sign of life is waited for, as its imports may take minutes; `timeout_min` ends it.
    """

    def __init__(self, task: Task):
        self._task = task
        self._asked = time.monotonic()
        self._unknown: set[int] = set()  # at the last look
        self._looks: dict[str, int] = {}  # at which a silent job was running, by Slurm's name of it
        self._said = ""

    def gone(self, jobs: Mapping[int, Any], say: Callable[[str], None]) -> set[int]:
        """Return the jobs without a sign of life that neither squeue nor sacct knew at two looks, `SILENT` s apart."""
        if time.monotonic() - self._asked < SILENT:
            return set()
        self._asked = time.monotonic()
        silent = {k: job for k, job in jobs.items() if self._task.folder.last_beat(k) is None}
        states = _states() if silent else {}
        if states is None:
            return set()
        running = {
            k: job for k, job in silent.items() if states.get(job.job_id, "").startswith("RUNNING")
        }
        self._tell_hanging(running, len(jobs), say)
        waiting = {k: job for k, job in silent.items() if k not in running}
        unknown = {
            k
            for k, job in waiting.items()
            if job.job_id not in states and job.state == "UNKNOWN" and not job.done()
        }
        counts = Counter(states.get(job.job_id, "unknown") for job in waiting.values())
        said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        if said and said != self._said:
            say(f"{len(waiting)} of {len(jobs)} jobs have not begun; squeue says of them: {said}")
        self._said = said
        gone, self._unknown = unknown & self._unknown, unknown
        return gone

    def _tell_hanging(
        self, running: Mapping[int, Any], count: int, say: Callable[[str], None]
    ) -> None:
        """Say once which of the silent jobs ran at two looks."""
        self._looks = {job.job_id: self._looks.get(job.job_id, 0) + 1 for job in running.values()}
        hanging = {k: job for k, job in running.items() if self._looks[job.job_id] == 2}
        if not hanging:
            return
        names = [self._task.name(k) for k in hanging]
        more = ", …" if len(names) > NAMED else ""
        first = next(iter(hanging.values()))
        say(
            f"{len(names)} of {count} jobs give no sign of life, though squeue calls them RUNNING for {SILENT:.0f} s: "
            f"{', '.join(names[:NAMED])}{more}; is {self._task.folder.path.absolute()} shared with their machines? "
            f"(see {first.paths.stderr})"
        )


def _states() -> dict[str, str] | None:
    """Return the state and its reason by job in the user's queue; None if squeue does not answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i|%T (%r)"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SILENT, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    pairs = (line.strip().partition("|") for line in answer.stdout.splitlines())
    return {job: state for job, _, state in pairs}


class _QuietWatcher(SlurmInfoWatcher):
    """Ask sacct without what it writes to stderr, where accounting is off."""

    def _make_command(self) -> list[str] | None:
        command = super()._make_command()
        return command and ["sh", "-c", f"{shlex.join(command)} 2>/dev/null"]


submitit.SlurmJob.watcher = _QuietWatcher(delay_s=600)  # as submitit's own


class _SignsOfLife:
    """Tell which jobs have begun and are silent since: where Slurm keeps no accounts, it does not know either."""

    def __init__(self, task: Task):
        self._folder = task.folder
        self._seen: dict[int, tuple[float, float]] = {}  # the last beat, and when it was seen
        self._forgotten: dict[int, float] = {}  # when jobs were given to another machine

    def forget(self, number: int) -> None:
        self._folder.forget_job(number)
        self._seen.pop(number, None)
        self._forgotten[number] = time.monotonic()

    def missing(self, number: int) -> bool:
        beat = self._folder.last_beat(number)
        if beat is None:
            return False
        if time.monotonic() - self._forgotten.get(number, -math.inf) < ENDING:
            self._folder.forget_job(number)  # of the process that is being ended
            self._seen.pop(number, None)
            return False
        if number not in self._seen or self._seen[number][0] != beat:
            self._seen[number] = beat, time.monotonic()
        return time.monotonic() - self._seen[number][1] > SILENT

"""Run tasks in turn and say what each took: CPU seconds, and peak memory of a process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A process's peak memory counts what its parent had when it began, so a small one starts it.
LAUNCHER = """
import json, os, sys
quiet = os.open(os.devnull, os.O_WRONLY)
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, quiet, 1)])
_, status, usage = os.wait4(child, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """The cost of one run; `peak_mb` is of a process and all its children, None of a call in this process."""

    cpu_s: float
    wall_s: float
    peak_mb: float | None = None


@dataclass(frozen=True, kw_only=True)
class Program:
    """A fresh process: this Python with these arguments, or another command."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    command: str = sys.executable

    def run(self) -> Spent:
        """Run it once; its own children are counted too.

        Raises:
            RuntimeError: It failed; its output is in the message.
        """
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path, **self.env}
        # Our modules keep their bytecode from the run before, as those that pip installs do.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-I", "-S", "-c", LAUNCHER, self.command, *self.argv]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        wall_s = time.monotonic() - started
        exit_code, cpu_s, peak_kb = json.loads(done.stdout)
        if exit_code:
            raise RuntimeError(f"{self.name}: exit {exit_code}\n{done.stderr[-2000:]}")
        return Spent(cpu_s=cpu_s, wall_s=wall_s, peak_mb=peak_kb / 1000)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A function in this process; `units` is what one call does many of, such as images.

    One that times its own steady part returns what that took.
    """

    name: str
    call: Callable[[], object]
    units: int = 1

    def run(self) -> Spent:
        """Call it once; CPU seconds are of all threads, for one unit."""
        started, cpu = time.monotonic(), time.process_time()
        answer = self.call()
        spent = time.process_time() - cpu
        if isinstance(answer, Spent):
            return answer
        return Spent(cpu_s=spent / self.units, wall_s=(time.monotonic() - started) / self.units)


Task = Program | Call


def by_the_clock(run: Callable[[], Spent]) -> Spent:
    """Run something for a row that compares seconds by the clock, where others compare CPU seconds."""
    return replace(spent := run(), cpu_s=spent.wall_s)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A tool that users would use instead, and how many times our cost it should take (below 1: less)."""

    task: Task
    at_least: float | None = None
    memory_at_least: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One row: the same work done by us and by peers, and the floor that the machine sets.

    Attributes:
        rounds: How often each is run, in turn.
        warm_up: Whether each is run once before, unmeasured.
    """

    title: str
    size: str
    ours: Task
    peers: Sequence[Peer]
    floor: Task | None = None
    rounds: int = 5
    warm_up: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A row with its numbers; seconds and megabytes are medians, keyed by the task's name."""

    job: Job
    spent: Mapping[str, list[Spent]]

    def cpu_s(self, task: Task) -> float:
        """Median CPU seconds of a task."""
        return statistics.median(spent.cpu_s for spent in self.spent[task.name])

    def peak_mb(self, task: Task) -> float | None:
        """Median peak memory of a task, where it is a process."""
        peaks = [spent.peak_mb for spent in self.spent[task.name] if spent.peak_mb is not None]
        return statistics.median(peaks) if peaks else None

    def ratio(self, task: Task) -> dict[str, float]:
        """Divide a task's CPU seconds by ours, round by round: the median, the least and the most."""
        ours = [spent.cpu_s for spent in self.spent[self.job.ours.name]]
        pairs = zip(self.spent[task.name], ours, strict=True)
        ratios = [theirs.cpu_s / max(own, 1e-9) for theirs, own in pairs]
        return {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def measure(job: Job, *, at_most_s: float) -> Measured:
    """Run all tasks of a job in turn, once unmeasured and then `rounds` times; after the time none begins."""
    started = time.monotonic()
    tasks = [job.ours, *(peer.task for peer in job.peers)]
    tasks += [job.floor] if job.floor else []
    for task in tasks if job.warm_up else ():
        task.run()
    spent: dict[str, list[Spent]] = {task.name: [] for task in tasks}
    for number in range(job.rounds):
        if number and time.monotonic() - started > at_most_s:
            break
        for task in tasks:
            spent[task.name].append(task.run())
    return Measured(job=job, spent=spent)

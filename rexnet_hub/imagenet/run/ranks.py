"""Distribute a run over the processes that `torchrun` started, if any."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from rexnet_hub.errors import EvaluationError

#: How long a process waits for another that is heard of: the first may have to fill a cache.
PATIENCE = timedelta(days=1)
#: How often each says that it is there, and how many times in a row make it lost: a minute.
BEAT_SECONDS, BEATS = 5.0, 12
_AGAIN = "Start all again with the same --record to go on"


class _Watch:
    """Watch all processes, whatever each is at: one thread beats and listens, another counts.

    It is counted in turns, not by the clock: a run that was stopped as a whole and goes on loses none.
    """

    def __init__(self, rank: int, hosts: list[str]) -> None:
        self.rank, self.hosts, self.lost = rank, hosts, ""
        self.ended, self._beats = threading.Event(), [0 for _ in hosts]
        for work in (self._beat, self._count):
            threading.Thread(target=work, daemon=True).start()

    def _beat(self) -> None:
        """Beat for this process, and listen for the others; held up where the store is."""
        store = dist.distributed_c10d._get_default_store()
        with suppress(RuntimeError):  # the process that had the store ended
            while not self.ended.wait(BEAT_SECONDS):
                self._beats = [store.add(f"beats {n}", int(n == self.rank)) for n in range(len(self.hosts))]

    def _count(self) -> None:
        """Find who is not heard of."""
        before, missed = self._beats, [0 for _ in self.hosts]
        while not self.ended.wait(BEAT_SECONDS):
            now = self._beats
            missed = [0 if a != b else n + 1 for a, b, n in zip(before, now, missed, strict=True)]
            before = now
            silent = [n for n, turns in enumerate(missed) if turns >= BEATS]
            if self.rank in silent:  # nor is this one, so it is the store
                silent = [0]
            self.lost = ", ".join(f"process {n} on {self.hosts[n]}" for n in silent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among all; each method raises EvaluationError where another process is gone or silent.

    Attributes:
        rank: Its number; 0 writes the files.
        local_rank: Its number on this machine, and so its GPU's.
        local_world: How many are on this machine, and share its cores.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    group: Any = None
    watch: _Watch | None = None

    def require_peers(self) -> None:
        """Refuse to go on alone, where a process was not heard of for a minute."""
        if self.watch and self.watch.lost:
            problem = f"not heard of for a minute, stopped or out of reach: {self.watch.lost}"
            raise EvaluationError(f"{problem}. End what is left of it. {_AGAIN}")

    def share(self, value: Any) -> Any:
        """Return to every process what process 0 has."""
        return self.share_all(value)[0]

    def share_all(self, value: Any) -> list[Any]:
        """Return to every process what each has, in order."""
        if self.world == 1:
            return [value]
        everybodys, end = [None] * self.world, Future[object]()

        def call() -> None:
            try:
                end.set_result(dist.all_gather_object(everybodys, value, self.group))
            except BaseException as error:
                end.set_exception(error)

        threading.Thread(target=call, daemon=True).start()  # where a silent process holds up no other
        while True:
            try:
                end.result(timeout=1)
                return everybodys
            except TimeoutError:
                self.require_peers()
            except RuntimeError as error:  # which torch tells in words of its own
                problem = "another process of this run has ended; its own lines say why"
                raise EvaluationError(f"{problem}. {_AGAIN}") from error

    def require_same(self, facts: Mapping[str, object]) -> None:
        """Refuse a run whose processes differ, in every process alike.

        Args:
            facts: What each part of a number is measured on and with; None where this process does not know.

        Raises:
            EvaluationError: Two processes differ in one; all differences are listed.
        """
        everybodys = self.share_all(dict(facts))
        first, wrong = everybodys[0], []
        for rank, others in enumerate(everybodys):
            for what, value in others.items():
                if value is not None and value != first[what]:
                    wrong.append(f"{what}: process 0 has {first[what]}, process {rank} has {value}")
        if wrong:
            lines = ["the processes of this run would count different things", *wrong]
            raise EvaluationError("\n".join(lines))


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Join the processes of `torchrun`, over gloo: what they tell each other is no tensor on a GPU.

    A group that the caller has made is left as it is.
    """
    launched = "TORCHELASTIC_RUN_ID" in os.environ or ("RANK" in os.environ and "WORLD_SIZE" in os.environ)
    together = dist.is_available() and (launched or dist.is_initialized())
    group: Any = None
    if together and dist.is_initialized():
        group = dist.new_group(backend="gloo", timeout=PATIENCE)
    elif together:
        dist.init_process_group("gloo", timeout=PATIENCE)
    ranks = Ranks(
        rank=dist.get_rank() if together else 0,
        world=dist.get_world_size() if together else 1,
        local_rank=int(os.environ.get("LOCAL_RANK", 0)),
        local_world=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
        group=group,
    )
    if ranks.world > 1:
        ranks = replace(ranks, watch=_Watch(ranks.rank, ranks.share_all(socket.gethostname())))
    try:
        yield ranks
    finally:
        if ranks.watch:
            ranks.watch.ended.set()
        if together:
            dist.destroy_process_group(group)

"""Distribute a run over the processes that `torchrun` started, if any."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from rexnet_hub.errors import EvaluationError

#: How long a process waits for another: machines differ, and the first may have to fill a cache.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among all; each method raises EvaluationError where another process is gone.

    Attributes:
        rank: Its number; 0 writes the files.
        local_rank: Its number on this machine, and so its GPU's.
        local_world: How many are on this machine, and share its cores.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int

    def share(self, value: Any) -> Any:
        """Return to every process what process 0 has."""
        if self.world == 1:
            return value
        box = [value]
        with _peers():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Return to process 0 what each has, in order; the others nothing."""
        if self.world == 1:
            return [value]
        box = [None] * self.world if self.rank == 0 else None
        with _peers():
            dist.gather_object(value, box)
        return box or []

    def require_same(self, facts: Mapping[str, object]) -> None:
        """Refuse a run whose processes differ, in every process alike.

        Args:
            facts: What each part of a number is measured on and with; None where this process does not know.

        Raises:
            EvaluationError: Two processes differ in one; all differences are listed.
        """
        if self.world == 1:
            return
        everybodys: list[Any] = [None] * self.world
        with _peers():
            dist.all_gather_object(everybodys, dict(facts))
        first, wrong = everybodys[0], []
        for rank, others in enumerate(everybodys):
            for what, value in others.items():
                if value is not None and value != first[what]:
                    wrong.append(f"{what}: process 0 has {first[what]}, process {rank} has {value}")
        if wrong:
            raise EvaluationError(
                "\n".join(["the processes of this run would count different things", *wrong])
            )


@contextmanager
def _peers() -> Iterator[None]:
    """Raise EvaluationError where another process is gone, which torch tells in words of its own."""
    try:
        yield
    except RuntimeError as error:
        problem = "another process of this run has ended; its own lines say why"
        raise EvaluationError(f"{problem}. Start all again with the same --record to go on") from error


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Join the processes of `torchrun`: gloo on CPUs, and NCCL beside it on GPUs.

    A group that the caller has made is used and left as it is.
    """
    launched = "TORCHELASTIC_RUN_ID" in os.environ or ("RANK" in os.environ and "WORLD_SIZE" in os.environ)
    mine = launched and dist.is_available() and not dist.is_initialized()
    if mine:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        together = dist.is_available() and dist.is_initialized()
        yield Ranks(
            rank=dist.get_rank() if together else 0,
            world=dist.get_world_size() if together else 1,
            local_rank=int(os.environ.get("LOCAL_RANK", 0)),
            local_world=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
        )
    finally:
        if mine:
            dist.destroy_process_group()

"""Loading a staged repo as a network, beside timm and transformers, which load the same folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.making import make_repo
from benchmarks.timing import Call, Job, Peer, Program, Spent

OURS = "import sys; from rexnet_hub import AutoModel; AutoModel.from_pretrained(sys.argv[1])"
TIMM = """
import json, sys, timm
name = json.load(open(sys.argv[1] + "/config.json"))["architecture"]
timm.create_model("local-dir:" + sys.argv[1], pretrained=True)
"""
TRANSFORMERS = """
import sys
from transformers import AutoModelForImageClassification
AutoModelForImageClassification.from_pretrained(sys.argv[1])
"""


#: Of a warm load beside transformers; its own floor of rexnet_200 leaves no more.
GOALS = {"rexnet_100": 4, "rexnet_200": 2.4}

#: What a program takes after torch, which all of them need, was imported.
BEYOND = """
import pathlib, sys, time, torch
started = time.process_time()
{}
pathlib.Path(sys.argv[2]).write_text(str(time.process_time() - started))
"""


def _beyond(folder: Path, name: str) -> Job:
    def call(what: str, text: str) -> Call:
        """Make a task that takes the time which a process says of itself."""
        out = folder.parents[1] / f"{what}.txt"  # beside all repos
        argv = ("-c", BEYOND.format(text), str(folder), str(out))
        program = Program(name=what, argv=argv, env={"HF_HUB_OFFLINE": "1"})

        def run() -> Spent:
            """Run it once, and read what it wrote."""
            program.run()
            spent = float(out.read_text())
            return Spent(cpu_s=spent, wall_s=spent)

        return Call(name=what, call=run)

    return Job(
        title="AutoModel.from_pretrained(folder), fresh process, beyond import torch",
        size=name,
        ours=call("ours", OURS),
        peers=(Peer(task=call("timm", TIMM)), Peer(task=call("transformers", TRANSFORMERS))),
        rounds=7,
    )


def _fresh(folder: Path, name: str) -> Job:
    def program(what: str, text: str) -> Program:
        """Make a task of a script, given the folder."""
        return Program(name=what, argv=("-c", text, str(folder)), env={"HF_HUB_OFFLINE": "1"})

    return Job(
        title="AutoModel.from_pretrained(folder), fresh process",
        size=name,
        ours=program("ours", OURS),
        peers=(
            Peer(task=program("timm", TIMM), at_least=1.7),
            Peer(task=program("transformers", TRANSFORMERS), at_least=2.2),
        ),
        floor=Program(name="import torch", argv=("-c", "import torch")),
        rounds=5,
    )


def _warm(folder: Path, name: str) -> Job:
    """Time loading in a running process, its digest checked."""
    import timm
    import torch
    from transformers import AutoModelForImageClassification
    from transformers.utils import logging

    from rexnet_hub import AutoModel
    from rexnet_hub.nets import find_network

    logging.disable_progress_bar()
    weights = folder / "model.safetensors"
    data = torch.empty(weights.stat().st_size, dtype=torch.uint8)

    def ours() -> object:
        """Load by ours."""
        return AutoModel.from_pretrained(folder)

    def floor() -> None:
        """Do what nobody can leave out."""
        find_network(name).build(init=False)
        with weights.open("rb") as stream:
            stream.readinto(data.numpy().data)
        hashlib.sha256(data.numpy().data).hexdigest()

    def theirs() -> object:
        """Load by timm."""
        return timm.create_model(f"local-dir:{folder}", pretrained=True)

    def transformed() -> object:
        """Load by transformers."""
        return AutoModelForImageClassification.from_pretrained(folder)

    return Job(
        title="AutoModel.from_pretrained(folder), warm",
        size=name,
        ours=Call(name="ours", call=ours),
        peers=(
            Peer(task=Call(name="timm", call=theirs), at_least=2),
            Peer(task=Call(name="transformers", call=transformed), at_least=GOALS[name]),
        ),
        floor=Call(name="construct, read, SHA-256", call=floor),
        rounds=15,
    )


def jobs(work: Path, *, quick: bool) -> Iterator[Job]:
    """Yield the rows."""
    for name in ("rexnet_100", "rexnet_200"):
        folder = make_repo(work, name).folder
        yield _warm(folder, name)
        if name == "rexnet_100" or not quick:
            yield _fresh(folder, name)
        if name == "rexnet_100":
            yield _beyond(folder, name)

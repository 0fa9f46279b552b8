"""Starting, listing and reading the index, beside timm's list and the public readers of the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.making import make_index
from benchmarks.timing import ROOT, Job, Peer, Program

LIBRARY = """
import sys, warnings, modelindex
models = modelindex.load(sys.argv[1]).models
print(len([model.name for model in models]))
"""
READ = """
import sys
from rexnet_hub.index import load_index
index = load_index(sys.argv[1])
print(len(index.models), index.models[-1].location)
"""
EVENTS = """
import sys, yaml
for file in sys.argv[1:]:
    loader = yaml.CSafeLoader(open(file).read())
    while loader.get_event():
        pass
"""
PARSE = """
import sys, yaml
models = yaml.load(open(sys.argv[1]).read(), yaml.CSafeLoader)["Models"]
for model in models:
    print(model["Name"], model["Metadata"].get("Parameters"))
"""


def _starting() -> Job:
    timm = Program(name="timm.list_models()", argv=("-c", "import timm; print(timm.list_models())"))
    return Job(
        title="rexnet-hub list, fresh process",
        size="the zoo's own index",
        ours=Program(name="ours", argv=("-m", "rexnet_hub", "list")),
        peers=(Peer(task=timm, at_least=80),),
        floor=Program(name="import argparse", argv=("-c", "import argparse")),
        rounds=7,
    )


def _listing(work: Path, models: int) -> Job:
    index = make_index(work / f"{models}", models)
    parse = Program(name="PyYAML's C loader", argv=("-c", PARSE, str(index)))
    return Job(
        title="rexnet-hub list",
        size=f"{models:,} models",
        ours=Program(name="ours", argv=("-m", "rexnet_hub", "list"), env={"REXNET_HUB_INDEX": str(index)}),
        peers=(Peer(task=parse),),
        floor=Program(name="libyaml's events", argv=("-c", EVENTS, str(index))),
        rounds=3 if models == 10_000 else 7,
    )


def _reading(work: Path, models: int, files: int) -> Job:
    index = make_index(work / f"{models}_in_{files}", models, files=files)
    parts = sorted(str(file) for file in index.parent.glob("*.yml"))
    library = Program(name="model-index", argv=("-c", LIBRARY, str(index)))
    return Job(
        title="read an index, every line and column kept",
        size=f"{models:,} models, {files} files",
        ours=Program(name="ours", argv=("-c", READ, str(index))),
        peers=(Peer(task=library, at_least=5 if models == 1000 else None),),
        floor=Program(name="libyaml's events", argv=("-c", EVENTS, *parts)),
        rounds=3,
    )


def jobs(work: Path, *, quick: bool) -> Iterator[Job]:
    """Yield the rows."""
    assert (ROOT / "model_index").is_dir()
    yield _starting()
    for models in (10_000,) if quick else (1, 4, 1000, 10_000):
        yield _listing(work, models)
    for models, files in ((1000, 250),) if quick else ((4, 1), (1000, 250), (10_000, 1)):
        yield _reading(work, models, files)

"""Make what is measured on: stand-in weights, repos, large indexes, drawn pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import ROOT
from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.imagenet.data.validation import read_table
from rexnet_hub.index import Entry, load_index, read_lock
from rexnet_hub.index.network import entry_plan
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.repo.folder import Repo
from rexnet_hub.standins.make import write_standin

NAMES = ("rexnet_100", "rexnet_130", "rexnet_150", "rexnet_200")


def find_entry(name: str) -> Entry:
    """Find a model of the zoo's own index."""
    return load_index(ROOT / "model_index").find(name)


def make_checkpoint(folder: Path, name: str) -> Path:
    """Write a stand-in of a released file; the same call gives the same file."""
    folder.mkdir(exist_ok=True)
    return write_standin(folder, tensors=entry_plan(find_entry(name)).tensors, seed=1, stem=name)


def make_repo(folder: Path, name: str) -> Repo:
    """Stage a repo from a stand-in."""
    measured = read_lock(ROOT / "model_index" / "lock.json").of(name)
    checkpoint = make_checkpoint(folder, name)
    return write_staged(find_entry(name), checkpoint, folder / "repos" / name, measured=measured)


def make_zip_checkpoint(file: Path, size_mb: int) -> Path:
    """Save random tensors of 16 MB in torch's zip container."""
    import torch

    torch.manual_seed(0)
    torch.save({f"w.{number}": torch.randn(4_000_000) for number in range(size_mb // 16)}, file)
    return file


def _head_and_blocks() -> tuple[str, list[str]]:
    text = (ROOT / "model_index" / "rexnet.yml").read_text()
    head, _, models = text.partition("Models:\n")
    return head, [f"- Name: {block}" for block in models.split("- Name: ")[1:]]


def make_index(folder: Path, models: int, *, files: int = 1) -> Path:
    """Write an index of so many models, each like one of the zoo's own; give the file to read.

    Args:
        files: 1: all in one file; more: so many files that the one to read imports.
    """
    folder.mkdir(exist_ok=True)
    head, blocks = _head_and_blocks()
    named = [blocks[n % len(blocks)].replace("\n", f"_{n}\n", 1) for n in range(models)]
    if files == 1:
        file = folder / "large.yml"
        file.write_text(f"{head}Models:\n{''.join(named)}")
        return file
    each = -(-models // files)
    for number in range(files):
        part = "".join(named[number * each : (number + 1) * each])
        (folder / f"part_{number:03}.yml").write_text(f"Models:\n{part}")
    top = folder / "index.yml"
    top.write_text("Import:\n" + "".join(f"  - part_{number:03}.yml\n" for number in range(files)))
    return top


def draw_jpeg(number: int) -> bytes:
    """Draw a picture of ImageNet's usual size, some 500 by 400 pixels and a hundred kilobytes."""
    noise = np.random.default_rng(number)
    width, height = (int(side) for side in noise.integers((450, 330), (510, 400)))
    blots = Image.fromarray(noise.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    grain = noise.integers(-24, 24, (height, width, 1))
    picture = Image.fromarray(np.clip(np.asarray(blots) + grain, 0, 255).astype(np.uint8))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=92)
    return stream.getvalue()


def draw_images(folder: Path, count: int) -> Path:
    """Draw a labelled set, a folder for each class; of many images each five hundredth is the same."""
    classes, drawn = read_classes(), [draw_jpeg(number) for number in range(min(count, 500))]
    for number, (label, _) in enumerate(read_table()[:count]):
        place = folder / classes[label].synset
        place.mkdir(parents=True, exist_ok=True)
        (place / f"ILSVRC2012_val_{number + 1:08}.JPEG").write_bytes(drawn[number % len(drawn)])
    return folder

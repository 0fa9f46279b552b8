"""What measures on a GPU is rehearsed on a CPU, and refuses in a line where there is none."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*words, tmp_path):
    """Run it where no GPU is seen."""
    hidden = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "REXNET_HUB_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, words)]
    # torch's loader hands tensors over by a socket in this folder: with a long path it waits for ever.
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        env = os.environ | hidden | {"PYTHONPATH": str(ROOT), "TMPDIR": short}
        return subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900
        )


@pytest.mark.slow
def test_without_a_gpu_it_says_how_to_rehearse(tmp_path):
    """One line, no page."""
    done = run(tmp_path=tmp_path)

    assert done.returncode == 1
    assert done.stderr == (
        "error: 'cuda' is not here; of cuda devices there are 0; "
        "to rehearse without: --device cpu --images 32 --eager\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_rehearsal_measures_all_but_the_gpus_own(tmp_path):
    """The CPU answers as itself, every run gives the same bytes, and the page names what was not measured."""
    done = run("--device", "cpu", "--images", 8, "--minutes", 60, "--eager", tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "gpu.md").read_text()

    assert "| fp32, eager | 8 of 8 | 8 of 8 | 0, where " in page
    for what in ("network alone, TF32, eager, 4 at a time", "ours, bf16, eager", "timm's loop, bf16, eager"):
        assert f"| {what} | " in page
    assert page.count(" | the same |") == 3
    assert "OTHERS" not in page
    assert [line for line in page.splitlines() if line.startswith("Not measured")] == [
        "Not measured: less memory: it takes a GPU's memory away"
    ]

"""Evaluate two small networks on a folder; a program for tests to start, to kill and to torchrun."""

import sys
import time
from pathlib import Path

import drawn

from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.prepare import RunOptions

if __name__ == "__main__":
    data_dir, out_dir, pause_seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    records = evaluate_models(
        [drawn.small_model("first"), drawn.small_model("second", seed=1)],
        read_dataset(data_dir, allow_subset=True),
        options=RunOptions(threads=1),
        out_dir=out_dir,
        on_progress=lambda progress: time.sleep(pause_seconds),
        command="evaluate_drawn",
    )
    # One write, so that the lines of two processes do not mix.
    sys.stdout.write(" ".join(record.predictions_sha256 for record in records) + "\n")

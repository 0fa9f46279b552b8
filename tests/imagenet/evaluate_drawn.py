"""Evaluate two small networks on a folder; a program for tests to start, to kill and to torchrun.

Last arguments say what is amiss with a process, and with which: its weights or memory, that it dies, is
stopped or is slow, or the folder of its images.
"""

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path

import drawn

from rexnet_hub.errors import RexnetHubError
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.run import ranks
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.prepare import RunOptions

ENDS = {"dies": signal.SIGKILL, "stops": signal.SIGSTOP}

if __name__ == "__main__":
    data_dir, out_dir, pause_seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    amiss, whose = sys.argv[4:] or ("", "")
    amiss = amiss if whose == os.environ.get("RANK", "") else ""
    if "/" in amiss:
        data_dir = Path(amiss)
    ranks.BEAT_SECONDS = 0.1  # who is silent for a minute is lost in a second

    def report(progress):
        if amiss in ENDS:
            os.kill(os.getpid(), ENDS[amiss])
        time.sleep(5 if amiss == "slow" and progress.images_done == 4 else pause_seconds)

    first = drawn.small_model("first")
    if amiss == "memory":
        first = dataclasses.replace(first, network=drawn.GreedyNet(most=3))
    try:
        records = evaluate_models(
            [first, drawn.small_model("second", seed=2 if amiss == "weights" else 1)],
            read_dataset(data_dir, allow_subset=True),
            options=RunOptions(threads=1),
            out_dir=out_dir,
            on_progress=report,
            command="evaluate_drawn",
        )
    except RexnetHubError as error:
        sys.exit(str(error))
    # One write, so that the lines of two processes do not mix.
    sys.stdout.write(" ".join(record.predictions_sha256 for record in records) + "\n")

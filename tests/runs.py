"""Make up the record of a run on the whole validation set."""

from typing import Any

from rexnet_hub.imagenet.evidence.record import Machine, Record

MACHINE = Machine(
    device_type="cpu",
    device_name="a CPU",
    dtype="fp32",
    channels_last=False,
    compiled=False,
    tile_images=8,
    processes=1,
    versions={"torch": "2.15.0"},
)


def made_up_run(preprocessing, **facts):
    """Record a run that says nothing odd, but for the facts."""
    usual: dict[str, Any] = {
        "model": "net",
        "weights_sha256": 64 * "b",
        "fingerprint": None,
        "tensors_sha256": 64 * "0",
        "images": 50000,
        "data": "ImageNet validation, 50,000 images",
        "complete": True,
        "sample": None,
        "unreadable": (),
        "manifest_sha256": 64 * "1",
        "predictions_sha256": 64 * "2",
        "machine": MACHINE,
        "seconds": 1.5,
        "command": "rexnet-hub evaluate",
    }
    return Record(preprocessing=preprocessing, **usual | facts)

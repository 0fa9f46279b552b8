"""Draw what the tests evaluate: a labelled validation set in any layout, and a small network."""

import io
import itertools
import json
import multiprocessing
import os
import subprocess
import tarfile
import time

import numpy as np
import torch
from PIL import Image

from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.imagenet.data.validation import read_table
from rexnet_hub.imagenet.run.runner import ModelUnderTest
from rexnet_hub.index import Preprocessing

SPEC = Preprocessing(
    input_px=32,
    crop_fraction=0.875,
    interpolation="bicubic",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def val_name(number):
    """Name an image as ILSVRC 2012 does, from 1."""
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def draw_jpeg(number, *, seed=0, sides=(33, 80), grain=40, **options):
    """Draw one picture, large blots with noise, of a size of its own."""
    noise = np.random.default_rng([seed, number])
    width, height = (int(side) for side in noise.integers(sides[0], sides[1], 2))
    blots = Image.fromarray(noise.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((width, height))
    speckles = noise.integers(-grain, grain, (height, width, 3))
    picture = Image.fromarray(np.clip(np.asarray(blots) + speckles, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    picture.convert(options.pop("mode", "RGB")).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def odd_jpeg(number):
    """Draw mostly plain pictures, and now and then a grey, a CMYK and a turned one."""
    if number % 11 == 3:
        return draw_jpeg(number, mode="L")
    if number % 11 == 5:
        return draw_jpeg(number, mode="CMYK")
    if number % 11 == 7:
        exif = Image.Exif()
        exif[0x0112] = 8
        return draw_jpeg(number, exif=exif)
    return draw_jpeg(number)


def draw_set(count, *, jpeg=odd_jpeg):
    """Draw the first images of the validation set, as {name: (bytes, label)}."""
    return {val_name(n + 1): (jpeg(n), read_table()[n][0]) for n in range(count)}


def synset(label):
    """Name the folder of a class."""
    return read_classes()[label].synset


def write_folders(root, images):
    """Write a folder for each synset."""
    for name, (data, label) in images.items():
        (root / synset(label)).mkdir(parents=True, exist_ok=True)
        (root / synset(label) / name).write_bytes(data)
    return root


def write_flat(root, images):
    """Write one folder of images, without labels."""
    root.mkdir(parents=True, exist_ok=True)
    for name, (data, _) in images.items():
        (root / name).write_bytes(data)
    return root


def add_to_tar(archive, name, data):
    """Add a file to a tar."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def write_tar(file, images):
    """Write the original, flat tar."""
    with tarfile.open(file, "w") as archive:
        for name, (data, _) in images.items():
            add_to_tar(archive, name, data)
    return file


def write_webdataset(root, images, *, shards=2):
    """Write shards of images with their classes beside them."""
    root.mkdir()
    for shard in range(shards):
        with tarfile.open(root / f"imagenet1k-validation-{shard:02d}.tar", "w") as archive:
            for name, (data, label) in list(images.items())[shard::shards]:
                stem = f"{synset(label)}_{name.removesuffix('.JPEG')}"
                add_to_tar(archive, f"{stem}.jpg", data)
                add_to_tar(archive, f"{stem}.cls", str(label).encode())
                add_to_tar(archive, f"{stem}.json", json.dumps({"label": label}).encode())
    return root


def write_parquet(root, images, *, names=None, shards=2):
    """Write shards as the Hugging Face Hub has them."""
    import pyarrow
    import pyarrow.parquet

    (root / "data").mkdir(parents=True)
    names = names or [class_.label for class_ in read_classes()]
    head = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    for shard in range(shards):
        part = list(images.items())[shard::shards]
        cells = [
            {"bytes": d, "path": f"{n.removesuffix('.JPEG')}_{synset(label)}.JPEG"} for n, (d, label) in part
        ]
        table = pyarrow.table({"image": cells, "label": [label for _, (_, label) in part]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(head)})
        file = root / "data" / f"validation-{shard:05d}-of-{shards:05d}.parquet"
        pyarrow.parquet.write_table(table, file, row_group_size=7)
    return root


def read_deadly():
    """Read an image that ends the process which decodes it, but not the one that lists it."""
    if multiprocessing.parent_process() is not None:
        os._exit(9)
    return draw_jpeg(0)


def read_last():
    """Read an image; its worker is killed while it sends it, since whoever asked stands still."""
    asks, worker = os.getppid(), os.getpid()
    script = f"kill -STOP {asks}; sleep 1; kill -KILL {worker}; kill -CONT {asks}"
    subprocess.Popen(["sh", "-c", script])
    time.sleep(0.5)
    return draw_jpeg(0)


def read_one():
    """Read an image."""
    return draw_jpeg(0)


class SmallNet(torch.nn.Module):
    """A seeded network of two convolutions, so unlike itself that every pixel counts."""

    def __init__(self, seed=0, classes=1000):
        super().__init__()
        torch.manual_seed(seed)
        self.first = torch.nn.Conv2d(3, 16, 5, stride=2)
        self.norm = torch.nn.BatchNorm2d(16)
        self.second = torch.nn.Conv2d(16, 32, 3, stride=2)
        self.head = torch.nn.Linear(32 * 9, classes)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, pixels):
        """Give logits."""
        features = torch.relu(self.norm(self.first(pixels)))
        features = torch.nn.functional.adaptive_avg_pool2d(torch.tanh(self.second(features)), 3)
        return self.head(self.drop(features.flatten(1)))


class GreedyNet(SmallNet):
    """The same network, for which memory does after some calls for so many images at a time only."""

    def __init__(self, seed=0, *, most, after=0):
        super().__init__(seed)
        self.most, self.calls = most, itertools.count(-after)

    def forward(self, pixels):
        """Give logits."""
        if next(self.calls) >= 0 and len(pixels) > self.most:
            raise torch.OutOfMemoryError(f"{len(pixels)} images do not fit")
        return super().forward(pixels)


def small_model(name="small", *, seed=0, spec=SPEC, **facts):
    """Give a small network to evaluate, in training mode as a careless caller would."""
    return ModelUnderTest(name=name, network=SmallNet(seed).train(), preprocessing=spec, **facts)

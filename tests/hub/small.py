"""An index of one small model and its staged repo, of a small network or of one that needs no torch."""

import pytest

from rexnet_hub.index import load_index
from rexnet_hub.nets import find_network
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.standins.make import write_standin

SMALL = """\
Type: model-index
Collections:
- Name: Small
  License: MIT
  Metadata:
    Num Classes: 10
    Image Mean: [0.485, 0.456, 0.406]
    Image Std: [0.229, 0.224, 0.225]
Models:
# Ten classes only, so that tests are quick.
- Name: small
  In Collection: Small
  Metadata:
    ID: {architecture}
    Crop Pct: '0.875'
    Image Size: '224'
    Interpolation: bicubic
  Weights: {weights}
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Metrics:
      Top 1 Accuracy: 77.86%
"""


def write_released(folder, architecture, *, name, seed):
    """Write the stand-in of a model's released file; give what the index says of both."""
    tensors = find_network(architecture).plan(num_classes=10).tensors
    released = write_standin(folder, tensors=tensors, seed=seed, stem=name)
    return SMALL.format(architecture=architecture, weights=released.as_uri()).replace(
        "Name: small", f"Name: {name}"
    )


def write_index(folder, architecture):
    """Write an index of one model and its released file; give the folder of the index."""
    (folder / "index").mkdir()
    text = write_released(folder, architecture, name="small", seed=7)
    (folder / "index" / "small.yml").write_text(text)
    return folder / "index"


def add_second(index, folder):
    """Write a second model of the same network and other weights into the index."""
    folder.mkdir()
    file, architecture = index / "small.yml", load_index(index).find("small").architecture
    _, _, model = write_released(folder, architecture, name="second", seed=8).partition("- Name: second\n")
    both = f"{file.read_text()}- Name: second\n{model}"
    file.write_text(both.replace("Dataset: ImageNet\n", "Dataset: flowers-10\n"))  # ImageNet has 1000 classes


def stage(index, folder):
    """Stage the model; give the folder of its repo."""
    released = next(index.parent.glob("*.pth"))
    return write_staged(load_index(index).find("small"), released, folder / "small").folder


@pytest.fixture(scope="module", name="small_index")
def built_in_index(tmp_path_factory):
    """An index for processes that shall need no torch: of a network that is planned without it."""
    return write_index(tmp_path_factory.mktemp("built_in"), "rexnet_100")


@pytest.fixture(scope="module", name="small_staged")
def built_in_staged(small_index, tmp_path_factory):
    """Its staged repo, not to be changed."""
    return stage(small_index, tmp_path_factory.mktemp("staged"))

"""Words about families of models that no field of the index has: what they are, how they are cited."""

from __future__ import annotations

from dataclasses import dataclass

from rexnet_hub.index import Entry
from rexnet_hub.pages.text import one_line


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is true of every model of one collection.

    Attributes:
        sentences: Two sentences, Markdown.
        description: The family's longer description, Markdown.
        bibtex: How its authors are cited.
        source: Where description and citation were taken from.
    """

    sentences: str
    description: str
    bibtex: str
    source: str


#: Source: docs/models/rexnet.md of timm at b9843f95, its description and its BibTeX entry;
#: the two sentences say what rexnet_hub/nets/rexnet.py builds.
REXNET = Family(
    sentences=(
        "is an image classifier of the ReXNet family, small convolutional networks for ImageNet's 1,000 "
        "classes. Its channel counts grow in equal steps from block to block instead of doubling at each "
        "stage, and a block that keeps the size of its picture adds its input to the first channels of its "
        "output."
    ),
    description=(
        "**Rank Expansion Networks** (ReXNets) follow a set of new design principles for designing "
        "bottlenecks in image classification models. Authors refine each layer by 1) expanding the input "
        "channel size of the convolution layer and 2) replacing the ReLU6s."
    ),
    bibtex="""\
@misc{han2020rexnet,
      title={ReXNet: Diminishing Representational Bottleneck on Convolutional Neural Network},
      author={Dongyoon Han and Sangdoo Yun and Byeongho Heo and YoungJoon Yoo},
      year={2020},
      eprint={2007.00992},
      archivePrefix={arXiv},
      primaryClass={cs.CV}
}""",
    source="https://github.com/rwightman/pytorch-image-models/blob/b9843f95/docs/models/rexnet.md",
)

FAMILIES = {"RexNet": REXNET}


def find_family(entry: Entry) -> Family | None:
    """Find an entry's family; None for one that we know nothing of."""
    return FAMILIES.get(entry.collection.name) if entry.collection else None


def citation(entry: Entry) -> str | None:
    """Return BibTeX for an entry: its family's, else what its paper's title and address amount to."""
    if family := find_family(entry):
        return family.bibtex
    paper = entry.paper or entry.current_paper
    if paper is None or not paper.title:
        return None
    fields = {"title": paper.title, "howpublished": paper.url}
    lines = (f"  {key}={{{_bibtex(text)}}}" for key, text in fields.items() if text)
    key = "".join(char for char in entry.name if char.isascii() and char.isalnum()) or "model"
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}"


def _bibtex(text: str) -> str:
    return "".join(char for char in one_line(text) if char not in "{}\\%#")

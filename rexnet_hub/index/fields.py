"""List every field of a model index: its name, what it holds, its unit and its meaning.

The reader, the JSON Schema, the reference page and the editor all follow this table; a new
field is one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

#: The least and greatest value of each kind of number; None where there is no bound.
BOUNDS: dict[str, tuple[int | None, int | None]] = {
    "count": (0, None),
    "bytes": (1, None),
    "number": (0, None),
    "fraction": (0, 1),
    "numbers": (0, 1),
    "percent": (0, 100),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field that the index knows.

    Attributes:
        owner: Where it stands: `index`, `model` (collections too), `metadata`, `result`, `metrics`, `paper`,
            `snapshot`.
        label: As it is written, such as `File Size`.
        kind: What it holds: text, url, path, count, bytes, number, fraction, percent, words, numbers,
            digest, spdx, paper, sources, mapping, or a section of its own (models, metadata, results…).
        unit: Of the number, if it is one.
        meaning: One line.
        aliases: Other spellings that mean the same.
    """

    owner: str
    label: str
    kind: str
    meaning: str
    unit: str | None = None
    aliases: tuple[str, ...] = ()
    canonical: str = ""

    @property
    def name(self) -> str:
        """The name that code uses, such as `file_size`."""
        return self.canonical or key_name(self.label)


@lru_cache(maxsize=4096)  # an index has few different keys, many times
def key_name(label: str) -> str:
    """Fold a key as the public format does: case and the kind of gap do not matter."""
    return "_".join(label.replace("_", " ").replace("-", " ").lower().split())


def _rows(owner: str, *rows: tuple[str, str, str | None, str]) -> tuple[Field, ...]:
    return tuple(
        Field(owner=owner, label=label, kind=kind, unit=unit, meaning=meaning)
        for label, kind, unit, meaning in rows
    )


FIELDS: tuple[Field, ...] = (
    *_rows(
        "index",
        ("Type", "text", None, "always `model-index`; marks a comment block in Markdown"),
        ("Models", "models", None, "the models"),
        ("Collections", "collections", None, "what families of models share"),
        ("Import", "paths", None, "other files to read, globs allowed"),
        ("Library", "mapping", None, "the library that the models come from"),
    ),
    *_rows(
        "model",
        ("Name", "text", None, "the name that a model is loaded by"),
        ("Title", "text", None, "the name as people write it"),
        ("In Collection", "text", None, "the collection whose fields the model inherits"),
        ("Metadata", "metadata", None, "what is known of the network and its training"),
        ("Results", "results", None, "what was measured on which data"),
        ("Paper", "paper", None, "the paper as it was first given"),
        ("Current Paper", "paper", None, "the paper under its present title"),
        ("License", "spdx", None, "licence of the weights"),
        ("Code", "url", None, "the source code of the network"),
        ("Weights", "url", None, "the released file"),
        ("SHA256", "digest", None, "digest of the released file, 64 hexadecimal digits"),
        ("Config", "path", None, "a training configuration"),
        ("README", "path", None, "a longer description"),
        ("Image", "path", None, "a picture"),
        ("Superseded By", "text", None, "the model that replaced this one"),
        ("Sources", "sources", None, "for each field, the place that states it"),
    ),
    *_rows(
        "metadata",
        ("ID", "text", None, "the network's name"),
        ("FLOPs", "count", "operations", "as published; the convention is often unknown"),
        ("Parameters", "count", "parameters", "trainable parameters, often rounded"),
        ("File Size", "bytes", "bytes", "size of the released file"),
        ("Architecture", "words", None, "building blocks"),
        ("Tasks", "words", None, "what the model does"),
        ("Training Techniques", "words", None, "how it was trained"),
        ("Training Data", "words", None, "what it was trained on"),
        ("Training Resources", "text", None, "the hardware"),
        ("Training Time", "text", None, "how long the training took"),
        ("LR", "number", None, "peak learning rate"),
        ("Epochs", "count", "epochs", "passes over the training data"),
        ("Dropout", "fraction", None, "drop probability before the classifier"),
        ("Momentum", "fraction", None, "of the optimiser"),
        ("Batch Size", "count", "images", "images a step, over all devices"),
        ("Weight Decay", "number", None, "of the optimiser"),
        ("Label Smoothing", "fraction", None, "of the loss"),
        ("Optimizer", "text", None, "the optimiser's name as timm's train.py takes it"),
        ("LR Schedule", "text", None, "the schedule's name as timm's train.py takes it"),
        ("Warmup Epochs", "count", "epochs", "epochs of rising learning rate"),
        ("Random Erasing", "fraction", None, "probability that a rectangle of a picture is erased"),
        ("Auto Augment", "text", None, "augmentation policy as timm's train.py takes it"),
        ("Num Classes", "count", "classes", "classes that the classifier tells apart"),
        ("Image Size", "count", "px", "side of the square that the network sees"),
        ("Crop Pct", "fraction", None, "part of the resized short side that the centre crop keeps"),
        ("Interpolation", "text", None, "resampling filter of the resize"),
        ("Image Mean", "numbers", None, "of each channel, RGB, of pixels in 0..1"),
        ("Image Std", "numbers", None, "of each channel, RGB, of pixels in 0..1"),
    ),
    *_rows(
        "result",
        ("Task", "text", None, "what was measured"),
        ("Dataset", "text", None, "on which data"),
        ("Split", "text", None, "on which part of the data"),
        ("Metrics", "metrics", None, "the numbers"),
        ("Sources", "snapshots", None, "other tables that state the same metrics"),
        ("Task Type", "text", None, "the task's id on the Hub"),
        ("Dataset Type", "text", None, "the data set's id on the Hub"),
        ("Dataset Config", "text", None, "its configuration there"),
        ("Dataset Revision", "text", None, "its commit there"),
        ("Dataset Args", "mapping", None, "arguments that it was loaded with"),
        ("Metric Types", "mapping", None, "for a metric, its id on the Hub where the name does not tell it"),
        ("Source URL", "url", None, "where the numbers were published"),
        ("Source Name", "text", None, "that place's name"),
    ),
    *_rows(
        "paper",
        ("Title", "text", None, "the paper's title"),
        ("URL", "url", None, "its address"),
    ),
    *_rows(
        "snapshot",
        ("URL", "url", None, "the other table"),
        ("Date", "text", None, "of the table, year-month-day, in quotes"),
        ("Metrics", "metrics", None, "the same metrics as it states them"),
    ),
    Field(
        owner="metrics",
        label="Top 1 Accuracy",
        kind="percent",
        unit="percentage points",
        meaning="images whose first guess is right",
        aliases=("Top-1 Accuracy", "Accuracy@1", "Acc@1"),
        canonical="top1",
    ),
    Field(
        owner="metrics",
        label="Top 5 Accuracy",
        kind="percent",
        unit="percentage points",
        meaning="images with the right class among the first five guesses",
        aliases=("Top-5 Accuracy", "Accuracy@5", "Acc@5"),
        canonical="top5",
    ),
)


@cache
def _rows_by_key() -> dict[tuple[str, str], Field]:
    spellings = ((row, spelling) for row in FIELDS for spelling in (row.label, *row.aliases))
    return {(row.owner, key_name(spelling)): row for row, spelling in spellings}


@cache
def kind_of(name: str) -> str:
    """Return the kind of a figure: percent, bytes, count or another of the table; `any` of one's own."""
    owners = ("metadata", "metrics")
    return next((row.kind for row in FIELDS if row.owner in owners and row.name == name), "any")


@lru_cache(maxsize=4096)
def find_field(owner: str, label: str) -> Field | None:
    """Find a row by any spelling of its key; None for a custom key."""
    return _rows_by_key().get((owner, key_name(label)))


#: English words that one slip inside a word sets apart from one of the table's: a key may well mean them.
_ENGLISH = frozenset({
    "clashes", "clauses", "currant", "easing", "impart", "impost", "inport", "licensee", "matric", "metic",
    "metics", "modals", "modems", "modes", "morels", "motels", "ransom", "recision", "smooching", "soothing",
    "trailing", "weighs", "wight", "wights", "wright", "wrights",
})  # fmt: skip
_LONG = 6  # letters of a word in which one slip is certain


def find_misspelt(owner: str, label: str) -> str | None:
    """Find the label that a custom key certainly is a misspelling of; None where it may mean itself.

    Certain is the same letters with another gap, or one slip inside a long word of letters: a letter lost,
    doubled or changed, or two that changed places. A key of real words means what it says.
    """
    wrong = key_name(label)
    labels = (row.label for row in FIELDS if row.owner == owner)
    return next((known for known in labels if _is_slip(wrong, key_name(known))), None)


def _is_slip(wrong: str, right: str) -> bool:
    if wrong.replace("_", "") == right.replace("_", ""):
        return True
    ours, theirs = right.split("_"), wrong.split("_")
    different = [pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]]
    if len(ours) != len(theirs) or len(different) != 1:
        return False
    word, meant = different[0]
    if len(meant) < _LONG or not word.isalpha() or word in _vocabulary() | _ENGLISH:
        return False
    # Inside: a first letter may be a unit's prefix, a last one may make a plural or a tense.
    lost = (meant[:at] + meant[at + 1 :] for at in range(1, len(meant) - 1))
    swapped = (meant[:at] + meant[at : at + 2][::-1] + meant[at + 2 :] for at in range(1, len(meant) - 1))
    doubled = (word[:at] + word[at + 1 :] for at in range(1, len(word) - 1))
    changed = [at for at in range(len(meant)) if meant[at : at + 1] != word[at : at + 1]]
    is_changed = len(word) == len(meant) and len(changed) == 1 and 0 < changed[0] < len(meant) - 1
    return word in lost or word in swapped or meant in doubled or is_changed


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(word for _, spelling in _rows_by_key() for word in spelling.split("_"))

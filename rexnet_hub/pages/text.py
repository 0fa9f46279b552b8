"""Words and numbers of an entry as people read them, and text made inert for Markdown and links."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rexnet_hub.index import Claim, Entry

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")
_SAFE_LINK = re.compile(r"https://[^\s<>\"'`|\\\x00-\x20]+\Z")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: what, how much, from where."""

    label: str
    value: str
    origin: str = ""


def markdown(text: Any) -> str:
    """Escape text so that Markdown, HTML and templates show it as it is, on one line."""
    flat = " ".join(str(text).split())
    return _MARKDOWN.sub(r"\\\1", html.escape(flat, quote=False))


def link(url: Any) -> str:
    """Let an https address through and nothing else."""
    return str(url) if _SAFE_LINK.match(str(url)) else "https://invalid.example/"


def number(value: Any) -> str:
    """Print a number with thin groups of thousands, or any other value as it is."""
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    if isinstance(value, tuple):
        return ", ".join(number(item) for item in value)
    if isinstance(value, Decimal):
        return str(value)
    return str(value)


def origin(claim: Claim) -> str:
    """Say where a claim is from, as Markdown."""
    if claim.source:
        return f"[source]({link(claim.source)})"
    return "claimed by the model index"


def percent_text(claim: Claim) -> str:
    """Print a percent claim to the digit that it was published with."""
    return f"{claim.value} %"


def training_rows(entry: Entry) -> tuple[Row, ...]:
    """List what the entry says of its training, in the order of the table of fields."""
    names = (
        "training_data",
        "training_techniques",
        "training_resources",
        "epochs",
        "batch_size",
        "lr",
        "momentum",
        "weight_decay",
        "dropout",
        "label_smoothing",
    )
    claims = (entry.metadata.get(name) for name in names)
    return tuple(Row(label=c.label, value=c.text or number(c.value)) for c in claims if c is not None)


def preprocessing_sentence(entry: Entry) -> str:
    """Say in one sentence how a picture becomes the network's input."""
    spec = entry.preprocessing
    resized_px = int(spec.input_px / spec.crop_fraction)
    return (
        f"Resize the short side to {resized_px} px ({markdown(spec.interpolation)}), keep the centre square of "
        f"{spec.input_px} px, scale to 0..1, subtract the mean {list(spec.mean)} and divide by the standard "
        f"deviation {list(spec.std)}, channels in RGB order."
    )

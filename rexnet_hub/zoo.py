"""Begin a zoo of one's own: index, schema, docs site, workflow."""

from __future__ import annotations

import re
from pathlib import Path

from rexnet_hub.errors import FileProblem, file_problems
from rexnet_hub.index.lock import require_own_index
from rexnet_hub.index.schema import SCHEMA_FILE
from rexnet_hub.layout import INDEX_FOLDER, LABELS_FILE, PACKAGE_DIR
from rexnet_hub.whole_files import write_whole

WORKFLOW = ".github/workflows/models.yml"
_INDEX = """\
# yaml-language-server: $schema=../schema.json
# What is published here, about each model and by whom. Every value is a claim; what was measured of it is in
# lock.json, beside this file, which commands write. `rexnet-hub add` enters a model.
Type: model-index
Collections:
- Name: {name}
  Metadata: # what all its models have in common
    Image Mean: [0.485, 0.456, 0.406] # as timm trains, unless it is told others
    Image Std: [0.229, 0.224, 0.225]
    {labels}Labels: labels.txt # the classes' names, one a line in the classifier's order
"""
_ABOUT = "# About {name}\n\nWho keeps these models, and how they are measured.\n"


def make_zoo(folder: Path, *, labels: Path | None = None) -> dict[Path, bool]:
    """Write what a zoo begins with; return each file, and whether it is new. What is there stays.

    Args:
        labels: A text file that names the classes, one a line.

    Raises:
        UsageError: The folder is an installed package's.
        FileProblem: The labels cannot be read, or a file cannot be written.
    """
    require_own_index(folder)
    name = folder.resolve().name or "Models"
    index = folder / INDEX_FOLDER
    texts = {
        index / "models.yml": _INDEX.format(name=name, labels="# " * (labels is None)),
        folder / "schema.json": SCHEMA_FILE.read_text(encoding="utf-8"),
        folder / "mkdocs.yml": render_site_config(name),
        folder / "docs" / "about.md": _ABOUT.format(name=name),
        folder / WORKFLOW: _workflow(),
    }
    if labels is not None:
        texts[index / LABELS_FILE] = _read_labels(labels)
    there = {file: file.exists() for file in texts}
    for file, text in texts.items():
        if not there[file]:
            with file_problems(file, "cannot be written"):
                file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, text.encode())
    return {file: not is_there for file, is_there in there.items()}


def _read_labels(file: Path) -> str:
    with file_problems(file, "cannot be read"):
        data = file.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FileProblem(file, "is not UTF-8; write one class's name a line") from None
    if not text.strip():
        raise FileProblem(file, "is empty; write one class's name a line")
    return text


def _read_own(name: str) -> str:
    """Read a file of this zoo: in a checkout where it is used, else the wheel's copy."""
    checkout, copy = PACKAGE_DIR.parent / name, PACKAGE_DIR / "zoo_files" / Path(name).name
    return (copy if copy.exists() else checkout).read_text(encoding="utf-8")


def _workflow() -> str:
    """Return this zoo's workflow, for one that installs the package and has an index alone."""
    text = _read_own(WORKFLOW)
    return text.replace("pip install .\n", "pip install rexnet-hub\n").replace("rexnet_hub/**, ", "")


def render_site_config(name: str) -> str:
    """Render the `mkdocs.yml` of a zoo: this one's, without the pages that are the package's own."""
    text = _read_own("mkdocs.yml")
    for part in (r"^nav:.*?(?=^plugins:)", r"^  - pymdownx.snippets:.*?(?=^  - )"):
        text = re.sub(part, "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(?:copyright|  custom_dir):.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^site_name:.*", lambda _: f"site_name: '{name}'", text, flags=re.MULTILINE)

"""Read the arguments of each command, call one function, print the result.

A module's commands are its `run_NAME` functions, whose docstrings are their help, with `declare_NAME` beside
them for the arguments. Everything heavy is imported when a command runs, so that `list` starts about as fast
as Python does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rexnet_hub.errors import IndexReadError, RepoError, UsageError
from rexnet_hub.layout import CONFIG_FILE
from rexnet_hub.terminal import show

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from rexnet_hub.index import Entry, Index

#: Every command, in the order of the help, and the module that has it.
COMMANDS = {
    "list": "asking",
    "show": "asking",
    "ledger": "asking",
    "validate": "asking",
    "recipe": "asking",
    "fetch": "checkpoints",
    "convert": "checkpoints",
    "cache": "caching",
    "verify": "checkpoints",
    "watch": "checkpoints",
    "lock": "checkpoints",
    "contact": "contacting",
    "card": "repos",
    "docs": "repos",
    "stage": "repos",
    "publish": "repos",
    "versions": "repos",
    "init": "entries",
    "add": "repos",
    "edit": "entries",
    "update": "entries",
    "remove": "entries",
    "predict": "running",
    "export": "running",
    "demo": "running",
    "evaluate": "evaluating",
    "completion": "completing",
}
#: Those that read no index.
WITHOUT_INDEX = ("init", "completion")


def open_index() -> Index:
    """Read the zoo's index for a command; warn of errors in it.

    Raises:
        IndexReadError: The index has errors and holds no model.
    """
    from rexnet_hub.index import load_index

    index = load_index()
    if index.errors:
        if not index.models:
            raise IndexReadError(index.warning)
        show(f"warning: {index.warning}", stream=sys.stderr)
    return index


def find_models(index: Index, names: Sequence[str]) -> list[Entry]:
    """Find the models of these names, each once also where two of its names are given; without names all.

    Raises:
        UnknownModelError: The index has no such model.
    """
    found = {entry.name: entry for entry in map(index.find, names)}
    return list(found.values()) if names else list(index.models)


def find_model(index: Index, word: str) -> Entry:
    """Find the model that a word names: by its name, or by a repo folder.

    Raises:
        UnknownModelError: The index has no such model.
        RexnetHubError: As of `find_model_of`.
    """
    folder = find_folder(index, word)
    return index.find(word) if folder is None else find_model_of(index, folder)


def find_model_of(index: Index, folder: Path) -> Entry:
    """Find the model of a repo folder: the entry in its receipt, or the index's that it says it is of.

    Raises:
        RepoError: It is no repo, or the index has no such model.
        UsageError: It does not say which model it is of.
    """
    from rexnet_hub.repo.folder import find_entry_of, read_repo

    name = read_repo(folder, as_stated=False).config.model
    if (entry := find_entry_of(folder, index)) is None:
        if name is None:
            raise UsageError(f"{folder} does not say which model it is: name it")
        problem = f"{folder} is of {name!r}, which the index has not; its README.md is its card"
        raise RepoError(f"{problem}. To enter it: rexnet-hub add {folder} --name {name} --collection NAME")
    return entry


def find_folder(index: Index, word: str) -> Path | None:
    """Return the repo folder that a word names; a name of the index is none."""
    folder = Path(word).expanduser()
    return None if index.get(word) or not (folder / CONFIG_FILE).is_file() else folder


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add `--json`, as every command that prints data has it."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def add_trusted_key(parser: argparse.ArgumentParser) -> None:
    """Add `--trusted-key`, as every command that loads a model has it."""
    help_text = "load only what this public key (PEM) or IDENTITY@https://ISSUER has signed"
    parser.add_argument("--trusted-key", metavar="KEY", help=help_text)

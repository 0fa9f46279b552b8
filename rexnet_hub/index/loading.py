"""Load an index: all that its files say, and all that is wrong with them.

The reader is imported when something is read: whoever loads a network from a folder reads no index.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rexnet_hub.errors import FileProblem, UnknownModelError
from rexnet_hub.index.entry import Claim, Entry, Location
from rexnet_hub.index.problems import Problem
from rexnet_hub.layout import find_index_dir

PathLike = Path | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """All that the files say, and all that is wrong with them.

    Attributes:
        library: The library that the models come from, as the first file that says so has it.
        parts: Metadata and results that stand in a file of their own, each in an entry without a name.
    """

    models: tuple[Entry, ...]
    collections: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    library: Claim | None = None
    parts: tuple[Entry, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are not warnings."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warning(self) -> str:
        """What is said of the errors where somebody asks for something else; empty without any."""
        first = f"the first: {self.errors[0]}; rexnet-hub validate lists all" if self.errors else ""
        return first and f"errors in the index: {len(self.errors)}, {first}"

    def find(self, name: str) -> Entry:
        """Find one model.

        Raises:
            UnknownModelError: None has that name; the nearest is named.
        """
        if (entry := self.get(name)) is None:
            raise UnknownModelError(name, [known.name for known in self.models])
        return entry

    def get(self, name: object) -> Entry | None:
        """Return the model that has this name, or it among its others; None where none has."""
        return next((entry for entry in self.models if name in (entry.name, *entry.other_names)), None)


def load_index(
    path: PathLike | Sequence[PathLike] | None = None,
    *,
    root: PathLike | None = None,
    count_all: bool = False,
) -> Index:
    """Read model-index files, folders of them, or without a path the zoo's own.

    What is wrong in the files is in the index's `problems`; whatever could be read is there all the same.

    Args:
        path: `.yml`, `.yaml`, `.json`, `.md`, `.mdx`, `.txt` or a folder; or several.
        root: The folder that no path in the files may leave, links followed; also tried for paths that
            are not found beside the file that wrote them. Without it: the one folder that holds all.
        count_all: Whether claims are compared with networks that take torch to count, too.

    Returns:
        The models, the collections, and every problem at its place.

    Raises:
        FileProblem: There is no such file or folder, or the folder holds no model index.
    """
    from rexnet_hub.index.reading.opening import SUFFIXES, holds_index
    from rexnet_hub.index.reading.read import Reader

    given = [path] if isinstance(path, (str, Path)) else [find_index_dir()] if path is None else path
    paths = [Path(one) for one in given]
    if not paths:
        raise FileProblem("no file", "nothing was given to read")
    hint = "; rexnet-hub init DIR begins an index of your own" if path is None else ""
    for one in paths:
        if not os.path.exists(one):  # noqa: PTH110 - pathlib's own raises where it may not look
            why = "is a link that leads nowhere" if one.is_symlink() else "there is no such file or folder"
            raise FileProblem(one, f"{why}{hint}")
        if one.is_dir() and root is None and not holds_index(one):
            raise FileProblem(one, f"holds no model-index file ({', '.join(SUFFIXES)}){hint}")
    folders = [(one if one.is_dir() else one.parent).absolute() for one in paths]
    top = Path(os.path.commonpath(folders)) if root is None else Path(root)
    if not top.is_dir():
        raise FileProblem(top, "is no folder, so it cannot be the root")
    reader = Reader(top)
    for one in paths:
        if one.is_dir():
            reader.read_folder(one)
        else:
            reader.read_file(one, Location(one, 1, 1))
    return Index(**reader.finish(paths[0], count_all=count_all))


def read_own_model(file: Path, model: Mapping[str, Any]) -> Index:
    """Read the model that a repo's receipt states; an index has no part in it.

    Args:
        file: The receipt, there or not: each value has its place in it.
    """
    from rexnet_hub.index.reading.read import Reader

    return Index(**Reader(file.absolute().parent).read_own(file, model))

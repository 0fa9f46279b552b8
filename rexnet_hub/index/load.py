"""Load an index: from the cache while every file is what it was, else by reading."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rexnet_hub.errors import FileProblem
from rexnet_hub.index.entry import Index
from rexnet_hub.layout import find_index_dir

PathLike = Path | str

#: Problems that a file outside the digests caused: such a reading is not kept.
UNKEPT = {"unreadable-file", "outside-root", "too-large"}


def load_index(
    path: PathLike | Sequence[PathLike] | None = None, *, root: PathLike | None = None, cached: bool = True
) -> Index:
    """Read model-index files, folders of them, or without a path the zoo's own.

    What is wrong in the files is in the index's `problems`; whatever could be read is there all the same.

    Args:
        path: `.yml`, `.yaml`, `.json`, `.md`, `.mdx`, `.txt` or a folder; or several.
        root: The folder that no path in the files may leave, links followed; also tried for paths that
            are not found beside the file that wrote them. Without it: the one folder that holds all.
        cached: Whether a copy of an earlier reading may be used and kept; it is used only while each
            file has the bytes that it was read from.

    Raises:
        FileProblem: There is no such file or folder, or the folder holds no model index.
    """
    given = [path] if isinstance(path, (str, Path)) else [find_index_dir()] if path is None else path
    return _load(*_places([Path(one) for one in given], root), cached)[0]


def load_with_origin() -> tuple[Index, dict[str, Any] | None]:
    """Load the zoo's own index, and say which bytes it was read from, for a copy that depends on them."""
    return _load(*_places([find_index_dir()], None), True)


def _places(paths: list[Path], root: PathLike | None) -> tuple[list[Path], Path]:
    """Check what is to be read, and find the root that nothing may leave."""
    if not paths:
        raise FileProblem("no file", "nothing was given to read")
    for one in paths:
        if not os.path.lexists(one):
            raise FileProblem(one, "there is no such file or folder")
        if one.is_dir() and root is None and not _holds_index(one):
            raise FileProblem(one, "holds no model-index file (.yml, .yaml, .json or .md)")
    top = Path(root) if root is not None else _common_folder(paths)
    if not top.is_dir():
        raise FileProblem(top, "is no folder, so it cannot be the root")
    return paths, top


def _load(paths: list[Path], top: Path, cached: bool) -> tuple[Index, dict[str, Any] | None]:
    """Load an index, and say what a copy of it depends on; None for what must not be kept."""
    from rexnet_hub.index.cache import Copy, describe_origin
    from rexnet_hub.index.packing import pack_index, unpack_index

    copy = Copy("index", paths, top)
    if cached and (kept := copy.read(unpack_index)) is not None:
        return kept
    from rexnet_hub.index.reading.read import garbage_kept, read_index

    with garbage_kept():
        index, files = read_index(paths, top)
    if any(problem.code in UNKEPT for problem in index.problems):
        return index, None
    origin = describe_origin(files)
    if cached:
        copy.write(pack_index(index), origin)
    return index, origin


def _holds_index(folder: Path) -> bool:
    endings = (".yml", ".yaml", ".json", ".md", ".mdx", ".txt")
    try:
        return any(file.suffix.lower() in endings for file in folder.iterdir())
    except OSError as error:
        raise FileProblem(folder, f"cannot be listed: {error.strerror}") from None


def _common_folder(paths: list[Path]) -> Path:
    folders = [str((one if one.is_dir() else one.parent).absolute()) for one in paths]
    return Path(os.path.commonpath(folders))

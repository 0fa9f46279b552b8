"""Change an index, its lock and files beside it: valid, whole or not at all, one process at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rexnet_hub.errors import UsageError, file_problems
from rexnet_hub.index.entry import drafted
from rexnet_hub.index.loading import Index, load_index
from rexnet_hub.index.lock import Lock, find_lock, read_lock, render_lock, require_own_index, sweep_evidence
from rexnet_hub.index.problems import Problem
from rexnet_hub.index.reading.source import YamlSource
from rexnet_hub.index.text_edits import apply_fixes, read_index_file
from rexnet_hub.layout import LOCK_FILE, find_index_dir
from rexnet_hub.whole_files import locked, replace_files


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An index that is being changed.

    Attributes:
        index: As it is.
        files: Those that change: as they are, and as they will be; None where there is none.
    """

    index: Index
    files: dict[Path, tuple[bytes | None, bytes | None]] = field(default_factory=dict)

    def read(self, file: Path) -> YamlSource:
        """Return a file of the index as the edits so far make it."""
        _, data = self.files.get(file.resolve(), (None, None))
        return read_index_file(file) if data is None else YamlSource(file, data)

    def edit(self, file: Path, edit: Callable[..., YamlSource], *arguments: Any) -> None:
        """Apply an edit of `text_edits` to a file, after those that were applied before."""
        source = self.read(file)
        old, _ = self.files.get(file.resolve(), (source.data, None))
        self.files[file.resolve()] = old, edit(source, *arguments).data

    def write(self, file: Path, data: bytes | None) -> None:
        """Write a file beside the index; None removes it."""
        with file_problems(file, "cannot be read"):
            self.files[file.resolve()] = file.read_bytes() if file.exists() else None, data


def change_index(
    change: Callable[[Draft], None],
    record: Callable[[Index, Lock], Lock] | None = None,
    *,
    paths: Sequence[Path] | None = None,
    root: Path | None = None,
    fixing: bool = False,
) -> Index:
    """Change an index and its lock while no other process can; return the index as it is then.

    Args:
        change: Makes the edits, given the index as it is.
        record: Returns what the lock is to hold, given the index as it will be and the lock as it is;
            evidence that it states no more is removed.
        paths, root: As of `load_index`.
        fixing: Whether the edits are fixes of problems: then more may be found in what is read only now.

    Raises:
        UsageError: The index would not be valid, or is an installed package's; nothing is changed.
        FileProblem, IndexReadError: Something cannot be read or written; nothing is changed.
    """
    require_own_index(*paths or ())
    folders = {(path if path.is_dir() else path.parent).resolve() for path in paths or [find_index_dir()]}
    with ExitStack() as stack:
        for folder in filter(Path.is_dir, sorted(folders)):
            stack.enter_context(locked(folder / LOCK_FILE))
        draft = Draft(index=load_index(paths, root=root, count_all=fixing))
        change(draft)
        with drafted({file: new for file, (_, new) in draft.files.items() if new is not None}):
            after = load_index(paths, root=root, count_all=fixing)
        if not fixing:
            _refuse_new_errors(draft.index, after)
        lock = record(after, read_lock()) if record else None
        if lock is not None:
            draft.write(find_lock(), render_lock(lock).encode())
        replace_files({file: both for file, both in draft.files.items() if both[0] != both[1]})
        if lock is not None:
            sweep_evidence(lock)
    return after


def _refuse_new_errors(before: Index, after: Index) -> None:
    """Refuse errors that were not there before, wherever those of before stand now."""
    known = Counter(map(_without_place, before.errors))
    wrong = []
    for problem in after.errors:
        known[_without_place(problem)] -= 1
        wrong += [str(problem)] if known[_without_place(problem)] < 0 else []
    if wrong:
        raise UsageError("the index would not be valid, so it is as it was:\n" + "\n".join(wrong))


def _without_place(problem: Problem) -> tuple[Path, str, str]:
    return problem.location.file, problem.code, re.sub(r"\d+", "", problem.message)


def fix_files(
    paths: Sequence[Path] | None = None, *, root: Path | None = None
) -> tuple[tuple[tuple[Path, int], ...], Index]:
    """Apply the certain fixes of an index's problems; arguments as of `load_index`.

    Comments, order, quotes and line ends stay; a file without a certain fix is not touched.

    Returns:
        Each file that was changed, and how many problems were fixed in it; and the index as it is then.

    Raises:
        FileProblem, IndexReadError: A file cannot be read or written; all are as they were.
    """
    fixed: dict[Path, int] = {}

    def fix(draft: Draft) -> None:
        """Apply them file by file, and count them."""
        by_file: dict[Path, list[Problem]] = {}
        for problem in draft.index.problems:
            if problem.fix is not None:
                by_file.setdefault(problem.location.file, []).append(problem)
        for file, fixable in by_file.items():
            draft.edit(file, apply_fixes, fixable)
            fixed[file] = len(fixable)

    index = change_index(fix, paths=paths, root=root, fixing=True)
    return tuple(fixed.items()), index

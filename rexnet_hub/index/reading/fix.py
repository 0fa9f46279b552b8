"""Fix index files in place, character by character, and add models to them: all else stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index.entry import Location
from rexnet_hub.index.fields import key_name
from rexnet_hub.index.problems import Flaw, Problem
from rexnet_hub.index.reading.compose import compose
from rexnet_hub.index.reading.opening import MARKDOWN_SUFFIXES, read_bytes
from rexnet_hub.index.reading.source import Node, YamlSource, find_blocks
from rexnet_hub.index.reading.values import reads_as_number
from rexnet_hub.whole_files import write_whole


def fix_files(problems: Iterable[Problem]) -> tuple[tuple[Path, int], ...]:
    """Apply the certain fixes of problems to their files.

    Comments, order, quotes and line ends stay; a file without a certain fix is not touched.

    Returns:
        Each file that was changed, and how many problems were fixed in it.

    Raises:
        IndexReadError: A file is no longer what the problems were found in; it is not changed.
        FileProblem: A file cannot be written; it is as it was.
    """
    by_file: dict[Path, list[Problem]] = {}
    for problem in problems:
        if problem.fix is not None:
            by_file.setdefault(problem.location.file, []).append(problem)
    texts = {file: _apply(_open(file), fixable) for file, fixable in by_file.items()}
    for file, data in texts.items():
        write_whole(file, data)
    return tuple((file, len(fixable)) for file, fixable in by_file.items())


def _open(file: Path) -> YamlSource:
    try:
        return YamlSource(file, read_bytes(file))
    except Flaw as flaw:
        message = flaw.message if flaw.message.startswith(str(file)) else f"{file}: {flaw.message}"
        raise IndexReadError(message) from None


def _apply(source: YamlSource, problems: list[Problem]) -> bytes:
    """Replace each fix's old text with its new, from the end of the file to its beginning."""
    edits = {}
    for problem in problems:
        assert problem.fix is not None
        start = source.offset(problem.location.line, problem.location.column)
        edits[start] = problem.fix
        if not source.text.startswith(problem.fix.old, start):
            raise IndexReadError(f"{problem.location}: the file changed since it was checked; run again")
    text = source.text
    for start in sorted(edits, reverse=True):
        text = text[:start] + edits[start].new + text[start + len(edits[start].old) :]
    return _encode(source, text)


def _encode(source: YamlSource, text: str) -> bytes:
    return (b"\xef\xbb\xbf" if source.bom else b"") + text.encode()


# Adding a model


def append_model(file: Path, model: Mapping[str, Any]) -> Location:
    """Append a model to a file's `Models:`, keeping every other byte.

    Args:
        file: A YAML, JSON or Markdown file that has, or can have, a list of models.
        model: As the file would say it: `Name`, `In Collection`, `Metadata`…; `Decimal`s are written exactly.

    Returns:
        Where the new model begins.

    Raises:
        IndexReadError: The file's models are not a list that can be added to; it is not changed.
        FileProblem: The file cannot be written; it is as it was.
    """
    source = _open(file)
    root = _find_root(source)
    at, addition = _plan(source, root, model)
    text = source.text[:at] + addition + source.text[at:]
    data = _encode(source, text)
    try:
        after = _find_root(YamlSource(file, data))
    except (Flaw, IndexReadError) as error:
        raise IndexReadError(f"{file}: cannot be added to without rewriting it: {error}") from None
    models = _models(after)
    if models is None or _count(after) != _count(root) + 1:
        raise IndexReadError(f"{file}: cannot be added to without rewriting it; give Models as a block list")
    write_whole(file, data)
    return models.items[-1].location


def _find_root(source: YamlSource) -> Node:
    """Find the index in a file: of a Markdown page, the first comment that has Models, else the first."""
    try:
        if source.file.suffix.lower() not in MARKDOWN_SUFFIXES:
            root = compose(source)
            roots = [root] if root is not None else []
        else:
            blocks = [block for block in find_blocks(source.text) if block.kind == "marked"]
            composed = (compose(source, block.start, block.end) for block in blocks)
            roots = [node for node in composed if node is not None]
    except Flaw as flaw:
        raise IndexReadError(f"{source.place(flaw.offset or 0)}: {flaw.message}") from None
    mappings = [node for node in roots if node.kind == "mapping"]
    if not mappings:
        raise IndexReadError(f"{source.file}: holds no model index to add to")
    return next((node for node in mappings if _models(node) is not None), mappings[0])


def _models(root: Node) -> Node | None:
    return next((value for key, value in root.pairs if key_name(key.text) == "models"), None)


def _count(root: Node) -> int:
    models = _models(root)
    return 0 if models is None else len(models.items)


def _plan(source: YamlSource, root: Node, model: Mapping[str, Any]) -> tuple[int, str]:
    """Return where the new text goes, and what it is."""
    models = _models(root)
    newline = "\r\n" if "\r\n" in source.text else "\n"
    if models is not None and models.kind == "list" and source.text[models.start] == "[":
        last = models.items[-1].end if models.items else models.start + 1
        text = json.dumps(model, ensure_ascii=False, default=_as_number)
        return last, (", " if models.items else "") + text
    if models is None:
        if source.text[root.start] == "{":
            raise IndexReadError(f"{source.file}: has no Models to add to; write `Models: []` into it first")
        at, head, column = _line_after(source, _last_end(root)), "Models:" + newline, root.location.column - 1
    elif models.kind == "list":
        at, head, column = _line_after(source, _last_end(models)), "", models.location.column - 1
    else:
        raise IndexReadError(f"{models.location}: Models is not a list, so nothing can be added to it")
    body = yaml.dump([model], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    lines = [*head.splitlines(), *body.splitlines()]
    text = "".join(f"{' ' * column}{line}{newline}" for line in lines)
    opens_line = at == 0 or source.text[at - 1] == "\n"
    return at, text if opens_line else newline + text


def _last_end(node: Node) -> int:
    """Find the end of the last thing written in a block, comments after it not counted."""
    while node.kind != "scalar" and node.value:
        if node.source.text[node.start] in "[{":
            return node.end
        node = node.items[-1] if node.kind == "list" else node.pairs[-1][1]
    return node.end


def _line_after(source: YamlSource, end: int) -> int:
    """Find the beginning of the next line; a block scalar's end is one already."""
    if end and source.text[end - 1] == "\n":
        return end
    newline = source.text.find("\n", end)
    return len(source.text) if newline < 0 else newline + 1


def _as_number(value: Decimal) -> int | float:
    """Convert an exact number into one that YAML and JSON write."""
    return int(value) if value.as_tuple().exponent == 0 else float(value)


class _Dumper(yaml.SafeDumper):
    """Writes block style, and quotes each text that some YAML would read as a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "'" if reads_as_number(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Decimal, lambda dumper, value: dumper.represent_data(_as_number(value)))

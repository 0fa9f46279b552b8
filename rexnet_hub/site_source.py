"""Collect the docs site's source, and write it for other builders."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from rexnet_hub.errors import FileProblem, OutputExistsError, file_problems
from rexnet_hub.imagenet.data.dataset import read_file
from rexnet_hub.imagenet.evidence.record import require_counted
from rexnet_hub.index import load_index
from rexnet_hub.index.ledger import read_ledger
from rexnet_hub.index.lock import find_evidence_dir, read_lock
from rexnet_hub.index.problems import Problem
from rexnet_hub.layout import EVIDENCE_FOLDER, INDEX_FOLDER, find_index_dir
from rexnet_hub.pages.reference import render_command_line, render_decisions
from rexnet_hub.pages.site import POLYFILLS, SCRIPTS, STYLE, render_site
from rexnet_hub.whole_files import whole_folder, write_whole
from rexnet_hub.zoo import render_site_config

CONFIG = "mkdocs.yml"
DECISIONS = "decisions/"
#: What has a page for each of many: a nav of a thousand models would stand in each of a thousand pages.
MANY = ("models/", "families/")
_PLUGIN = "rexnet-hub"
#: What is read or added to: in words, and as YAML calls it.
_KINDS = {
    "docs_dir": ("plain path", "str"),
    "extra": ("mapping", "map"),
    "extra_css": ("list", "seq"),
    "extra_javascript": ("list", "seq"),
    "not_in_nav": ("text", "str"),
}
_MARK = "# Written by `rexnet-hub docs write`, which replaces this folder.\n"


def collect_generated(
    decisions: Mapping[str, str], parser: argparse.ArgumentParser, on_error: Callable[[Problem], None]
) -> dict[str, bytes]:
    """Render what the docs folder does not hold, from the zoo's own index and the package.

    Args:
        decisions: The decision records, by path below the docs folder.
        parser: Of the command line that is described.
        on_error: Told of each error in the index; the models without one have their pages all the same.

    Returns:
        Each file, by path below the docs folder; the evidence of what was measured too.
    """
    index, lock = load_index(), read_lock()
    for problem in index.errors:
        on_error(problem)
    require_counted(lock, index.models)
    repository = os.environ.get("REXNET_HUB_SOURCE_URL", "").partition("/blob/")[0]
    pages = render_site(index.models, lock, read_ledger(), repository=repository) | {
        "reference/command-line.md": render_command_line(parser),
        f"{DECISIONS}index.md": render_decisions(decisions),
    }
    names = (name for measured in lock.models.values() for name in measured.evidence)
    evidence = {f"{EVIDENCE_FOLDER}/{name}": read_file(find_evidence_dir() / name) for name in names}
    return {path: text.encode() for path, text in pages.items()} | evidence


def write_source(
    out: Path, parser: argparse.ArgumentParser, on_error: Callable[[Problem], None]
) -> dict[str, bytes]:
    """Write a docs folder, hand-written pages and generated ones, and the configuration that builds it.

    The zoo's own `mkdocs.yml` is taken, without our plugin; where it has none, that of a new zoo.

    Args:
        out: A new or empty folder, or one that this wrote before, which is replaced whole.
        parser, on_error: As of `collect_generated`.

    Returns:
        What was written, by path.

    Raises:
        OutputExistsError: The folder holds something else, or is among what the site is made of.
        FileProblem: A file cannot be read or written, or the configuration is none.
    """
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or _is_ours(out))):
        raise OutputExistsError(out, "holds something else; name a new folder")
    index, there = find_index_dir().resolve(), out.resolve()
    config, docs = _adapt_config(index.parent.parent if index.parent.name == INDEX_FOLDER else index.parent)
    for source in filter(None, (index, docs)):
        if there.is_relative_to(source) or source.is_relative_to(there):
            raise OutputExistsError(
                out, f"is in {source}, or holds it, which the site is made of; name another"
            )
    with file_problems(docs or out, "cannot be read"):
        files = {file.relative_to(docs).as_posix(): file.read_bytes() for file in _walk(docs)} if docs else {}
    decisions = {path: data.decode() for path, data in files.items() if path.startswith(DECISIONS)}
    files |= collect_generated(decisions, parser, on_error)
    written = {CONFIG: config.encode(), **{f"docs/{path}": data for path, data in files.items()}}
    with whole_folder(out) as folder:
        for path, data in written.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(folder / path, data)
    return written


def _walk(folder: Path) -> Iterator[Path]:
    """List a folder's files as mkdocs does, those behind links to folders too; no link leads back up."""
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        folders[:] = [name for name in folders if not here.resolve().is_relative_to((here / name).resolve())]
        yield from (here / name for name in names if (here / name).is_file())


def _is_ours(folder: Path) -> bool:
    file = folder / CONFIG
    return file.is_file() and file.read_bytes().startswith(_MARK.encode())


def _adapt_config(project: Path) -> tuple[str, Path | None]:
    """Return the configuration of the source that is written, and where its hand-written pages are.

    It is edited as nodes: tags such as `!ENV` are the builder's to read. Without one there are no such pages.
    """
    file = project / CONFIG
    has_site = file.exists()
    try:
        with file_problems(file, "cannot be read"):
            text = file.read_text("utf-8") if has_site else render_site_config(project.name or "Models")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise FileProblem(file, f"is no YAML: {error}") from None
    if not isinstance(root, yaml.MappingNode) or not all(isinstance(key.value, str) for key, _ in root.value):
        raise FileProblem(file, "is no mapping of settings")
    settings = {key.value: value for key, value in root.value if value.tag != "tag:yaml.org,2002:null"}
    kinds = ((name, kind, f"tag:yaml.org,2002:{tag}") for name, (kind, tag) in _KINDS.items())
    wrong = [f"{n} is no {kind}" for n, kind, tag in kinds if n in settings and settings[n].tag != tag]
    if wrong or "INHERIT" in settings:
        raise FileProblem(file, "; ".join(wrong or ["INHERIT is not followed: write its settings here"]))
    docs = (project / (settings["docs_dir"].value if "docs_dir" in settings else "docs")).resolve()
    if has_site and not docs.is_dir():
        raise FileProblem(file, f"docs_dir is {docs}, and there is no such folder")
    for setting, ours in {
        "extra_css": [STYLE],
        "extra_javascript": list(SCRIPTS),
        "extra": {"polyfills": list(POLYFILLS)},
    }.items():
        node, keys = _node(ours), [*ours] if isinstance(ours, dict) else []
        own = settings[setting].value if setting in settings else ()
        node.value = [*(each for each in own if _name(each) not in keys), *node.value]
        settings[setting] = node
    settings["docs_dir"] = _node("docs")
    own_unlisted = settings["not_in_nav"].value if "not_in_nav" in settings else ""
    own_pages = [file.relative_to(docs).as_posix() for file in _walk(docs)] if has_site else []
    escaped = (re.sub(r"[\\*?\[]", r"\\\g<0>", path) for path in own_pages if path.startswith(MANY))
    shown = "".join(f"!/{path}\n" for path in escaped)
    settings["not_in_nav"] = _node("".join(f"/{folder}\n" for folder in MANY) + shown + own_unlisted)
    if isinstance(plugins := settings.get("plugins"), yaml.CollectionNode):
        plugins.value = [node for node in plugins.value if _name(node) != _PLUGIN]
    for each in settings.values():
        _anchor(each, project, set())
    for node in _beside(settings):
        node.value = str(project / node.value)
    root.value = [(_node(key), value) for key, value in settings.items()]
    return _MARK + yaml.serialize(root, allow_unicode=True), docs if has_site else None


def _name(item: Any) -> Any:
    """Return the name of an item: of a mapping, or of a list, where it may have settings."""
    if isinstance(item, yaml.MappingNode) and item.value:
        item = item.value[0]
    return (item[0] if isinstance(item, tuple) else item).value


def _beside(settings: Mapping[str, yaml.Node]) -> Iterator[yaml.Node]:
    """List what names a file beside the configuration."""
    hooks, theme = settings.get("hooks"), settings.get("theme")
    yield from hooks.value if isinstance(hooks, yaml.SequenceNode) else ()
    parts = theme.value if isinstance(theme, yaml.MappingNode) else ()
    yield from (value for key, value in parts if key.value == "custom_dir")


def _node(value: Any) -> Any:
    return yaml.compose(yaml.safe_dump(value), Loader=yaml.SafeLoader)


def _anchor(node: yaml.Node, project: Path, seen: set[int]) -> None:
    """Write out, all through a configuration, the folders that mkdocs would find beside the file."""
    if node.tag == "!relative":
        node.tag, node.value = "tag:yaml.org,2002:str", str(project)
    elif not isinstance(node.value, str) and id(node) not in seen:
        seen.add(id(node))
        for child in node.value:
            for inner in child if isinstance(child, tuple) else (child,):
                _anchor(inner, project, seen)

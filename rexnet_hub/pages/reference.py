"""Render the reference pages from the code: fields, query language, commands, Python, decisions."""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import re
from collections.abc import Mapping
from functools import partial
from itertools import chain, repeat
from typing import Any

from rexnet_hub.index import grammar
from rexnet_hub.index.codes import read_codes
from rexnet_hub.index.fields import FIELDS
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.pages.card import render_template
from rexnet_hub.pages.text import markdown

#: How each decision begins: its title, its day, and what became of it.
DECISION_HEAD = re.compile(
    r"# (.+)\n\n\*\*Date\*\* (\d{4}-\d\d-\d\d) · "
    r"\*\*Status\*\* (accepted|replaced by \[\d{4}\]\(\d{4}-[\w-]+\.md\))\n"
)

#: What the page of Python lists, by the file that defines it, and of a class which methods and properties.
PYTHON: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "AutoModel": ("auto.py", ("from_pretrained",)),
    "AutoImageProcessor": ("auto.py", ("from_pretrained",)),
    "ImageProcessor": ("pictures.py", ("__call__", "train", "eval")),
    "create_model": ("auto.py", ()),
    "list_models": ("index/query.py", ()),
    "load_index": ("index/loading.py", ()),
    "Entry": (
        "index/entry.py",
        ("architecture", "claim", "value", "metric", "said",
         "named_license", "released", "sources", "labels", "preprocessing"),
    ),
    "convert_checkpoint": ("weights/convert.py", ()),
    "verify_model": ("verify/__init__.py", ()),
    "evaluate_models": ("imagenet/run/evaluate.py", ()),
    "plan_publish": ("publish/plan.py", ()),
    "apply_plan": ("publish/apply.py", ()),
    "errors": ("errors.py", ()),
}  # fmt: skip
#: A section of a docstring; within, what is described is less indented than what is said of it.
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):\n((?: +.*\n|\n)+)", re.MULTILINE)
_DESCRIBED = re.compile(r"^(\S.*?): (.+(?:\n +.+)*)", re.MULTILINE)
#: As wide as a page, whatever terminal the site is built in.
_PAGE_WIDTH = 88


def render_fields() -> str:
    """Render the table of all fields, section by section."""
    return render_template("index_format.md", fields=FIELDS)


def render_query_language() -> str:
    """Render the page about the language that command line, Python and the overview are asked in."""
    grammar_text = inspect.cleandoc(grammar.__doc__ or "").split("\n\n", 1)[1]
    rules, meaning = grammar_text.split("\n\n", 1)
    return render_template(
        "query_language.md", grammar=grammar, rules=inspect.cleandoc(rules), meaning=" ".join(meaning.split())
    )


def render_command_line(parser: argparse.ArgumentParser) -> str:
    """Render every command's own help."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    commands = actions[0].choices
    for command in commands.values():
        command.formatter_class = partial(command.formatter_class, width=_PAGE_WIDTH)
    helps = {name: command.format_help() for name, command in commands.items()}
    return render_template("command_line.md", commands=helps)


@functools.cache
def render_python() -> str:
    """Render what the package offers in Python, from its source: nothing is imported for that."""
    objects = []
    for name, (file, members) in PYTHON.items():
        tree = ast.parse((PACKAGE_DIR / file).read_text("utf-8"))
        found = _definitions(tree).get(name, tree)
        own = _definitions(found)
        objects.append(_describe(name, found))
        objects += [_describe(f"{name}.{member}", own[member]) for member in members]
    return render_template("python.md", objects=objects)


def _definitions(node: ast.AST) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Map what a module or a class defines by name; of a function's overloads it is the last."""
    return {n.name: n for n in getattr(node, "body", ()) if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def _describe(name: str, node: ast.Module | ast.FunctionDef | ast.ClassDef) -> dict[str, Any]:
    """Split a docstring into its text and, section by section, what is described and the words for it."""
    text, sections = f"{ast.get_docstring(node) or ''}\n", []
    for title, body in _SECTION.findall(text):
        body = inspect.cleandoc(body)
        rows = [("", body)] if title == "Returns" else _DESCRIBED.findall(body)
        sections.append((title, [(what, " ".join(words.split())) for what, words in rows]))
    summary, _, more = _SECTION.sub("", text).strip().partition("\n\n")
    signature = _signature(node) if isinstance(node, ast.FunctionDef) else ""
    return {"name": name, "signature": signature, "summary": summary, "more": more, "sections": sections}


def _signature(node: ast.FunctionDef) -> str:
    """Write what a function takes and returns, an argument a line where one line is too short."""
    returned, args = ast.unparse(node.returns) if node.returns else "None", node.args
    if any("property" in ast.unparse(each) for each in node.decorator_list):
        return f"{node.name}: {returned}"
    defaults = chain(repeat(None, len(args.args) - len(args.defaults)), args.defaults)
    taken = [*zip(args.args, defaults, strict=True), *zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    parts = [ast.unparse(each) + (f" = {ast.unparse(default)}" if default else "") for each, default in taken]
    if args.kwonlyargs:
        parts.insert(len(args.args), "*")
    parts = [part for part in parts if part != "self"]
    line = f"{node.name}({', '.join(parts)}) -> {returned}"
    if len(line) <= _PAGE_WIDTH:
        return line
    return "\n".join([f"{node.name}(", *(f"    {part}," for part in parts), f") -> {returned}"])


def render_decisions(pages: Mapping[str, str]) -> str:
    """Render the table of decision files, by path below the docs folder: title, status and date.

    Raises:
        ValueError: A file lacks its title, or its line of date and status.
    """
    lines = ["---", "source: docs/decisions", "---", ""]
    lines += ["# Decisions", "", "Half a page each: what was chosen, what else there was, why.", ""]
    lines += ["| No. | Decision | Status | Date |", "| --- | --- | --- | --- |"]
    for path, text in sorted(pages.items()):
        if (head := DECISION_HEAD.match(text)) is None:
            problem = f"{path}: lacks '# Title', or '**Date** YYYY-MM-DD · **Status** accepted' below it"
            raise ValueError(problem)
        file = path.removeprefix("decisions/")
        lines.append(f"| {file[:4]} | [{markdown(head[1])}]({file}) | {head[3]} | {head[2]} |")
    return "\n".join(lines) + "\n"


def render_codes() -> str:
    """Render the reference page of all codes, as Markdown."""

    def printed(text: str) -> str:
        return text.encode("utf-8", "backslashreplace").decode()

    return render_template("problems.md", codes=read_codes(), printed=printed)

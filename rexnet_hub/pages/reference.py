"""Render the reference pages from the code: fields, query language, commands, decisions."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Mapping
from functools import partial

from rexnet_hub.index import grammar
from rexnet_hub.index.codes import read_codes
from rexnet_hub.index.fields import FIELDS
from rexnet_hub.pages.card import render_template
from rexnet_hub.pages.text import markdown

#: How each decision begins: its title, its day, and what became of it.
DECISION_HEAD = re.compile(
    r"# (.+)\n\n\*\*Date\*\* (\d{4}-\d\d-\d\d) · "
    r"\*\*Status\*\* (accepted|replaced by \[\d{4}\]\(\d{4}-[\w-]+\.md\))\n"
)


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
        # As wide as a page, whatever terminal the site is built in.
        command.formatter_class = partial(command.formatter_class, width=88)
    helps = {name: command.format_help() for name, command in commands.items()}
    return render_template("command_line.md", commands=helps)


def render_decisions(pages: Mapping[str, str]) -> str:
    """Render the table of decision files, by path below the docs folder: title, status and date.

    Raises:
        ValueError: A file lacks its title, or its line of date and status.
    """
    lines = ["# Decisions", "", "Half a page each: what was chosen, what else there was, why.", ""]
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

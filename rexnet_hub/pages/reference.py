"""Reference pages that are output of the code: fields, query language, commands, decisions."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Mapping

from rexnet_hub.index import grammar
from rexnet_hub.index.codes import read_codes
from rexnet_hub.index.fields import FIELDS
from rexnet_hub.pages.text import code, fenced, markdown

#: The sections of the format page: where fields stand, and what to call it.
OWNERS = {
    "index": "A file",
    "model": "A model or a collection",
    "metadata": "`Metadata`",
    "paper": "`Paper`",
    "result": "`Results`",
    "metrics": "`Metrics`",
    "snapshot": "`Sources` of a result",
}

FORMAT_HEAD = """\
# The index format

The model index is written in the public model-index format. Letter case and the kind of gap in a key do not
matter. What a model does not say it inherits from its collection. A value is kept as it was published; what
machines measured stands beside it, in `lock.json`. The same table as a [JSON Schema](../schema.json) gives an
editor completion and checks.
"""


#: How each decision begins: its title, its day, and what became of it.
DECISION_HEAD = re.compile(
    r"# (.+)\n\n\*\*Date\*\* (\d{4}-\d\d-\d\d) · "
    r"\*\*Status\*\* (accepted|replaced by \[\d{4}\]\(\d{4}-[\w-]+\.md\))\n"
)


def render_fields() -> str:
    """Render the table of all fields, section by section."""
    parts = [FORMAT_HEAD]
    for owner, title in OWNERS.items():
        rows = [row for row in FIELDS if row.owner == owner]
        parts.append(f"## {title}\n\n| Field | Holds | Meaning |\n| --- | --- | --- |")
        for row in rows:
            label = ", ".join(code(spelling) for spelling in (row.label, *row.aliases))
            unit = f" ({markdown(row.unit)})" if row.unit and row.unit != row.kind else ""
            # The meaning is Markdown of our own table, backquotes included.
            parts.append(f"| {label} | {row.kind}{unit} | {row.meaning} |")
        parts.append("")
    return "\n".join(parts)


def render_query_language() -> str:
    """Render the page about the language that command line, Python and the overview are asked in."""
    grammar_text = inspect.cleandoc(grammar.__doc__ or "").split("\n\n", 1)[1]
    rules, meaning = grammar_text.split("\n\n", 1)
    short = "\n".join(f"| {code(word)} | {code(name)} |" for word, name in grammar.ALIASES.items())
    return f"""\
# Query language

The overview, `rexnet-hub list` and `select` in Python are asked in one small language.

{fenced("top1>=79 params<10M", "text")}

{fenced("name:rexnet_1* and not license:gpl*", "text")}

## Grammar

{fenced(inspect.cleandoc(rules), "text")}

{" ".join(meaning.split())}

## What can be asked for

Numbers: {", ".join(map(code, grammar.number_names()))}.

Text: {", ".join(map(code, grammar.TEXT_NAMES))}.

| Short | Means |
| --- | --- |
{short}
"""


def render_command_line(parser: argparse.ArgumentParser) -> str:
    """Render every command's own help."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    parts = [
        "# Command line",
        "",
        "Exit code 0: well; 1: refused, or found false, and said why; 2: misused. Data goes to standard "
        "output, messages to standard error.",
        "",
    ]
    for name, command in actions[0].choices.items():
        # As wide as a page, whatever terminal the site is built in.
        command.formatter_class = _wide(command.formatter_class)
        parts += [f"## {name}", "", fenced(command.format_help(), "text"), ""]
    return "\n".join(parts)


def _wide(formatter: type[argparse.HelpFormatter]) -> type[argparse.HelpFormatter]:
    def __init__(self: argparse.HelpFormatter, prog: str, **_: object) -> None:  # noqa: N807
        formatter.__init__(self, prog, width=88)

    return type("WideFormatter", (formatter,), {"__init__": __init__})


def render_decisions(pages: Mapping[str, str]) -> str:
    """Render the table of decision files, by path below the docs folder: title, status and date.

    Raises:
        ValueError: A file lacks its title, or its line of date and status.
    """
    lines = ["# Decisions", "", "Half a page each: what was chosen, what else there was, why.", ""]
    lines += ["| No. | Decision | Status | Date |", "| --- | --- | --- | --- |"]
    for path, text in sorted(pages.items()):
        if (head := DECISION_HEAD.match(text)) is None:
            raise ValueError(
                f"{path}: lacks '# Title', or '**Date** YYYY-MM-DD · **Status** accepted' below it"
            )
        file = path.removeprefix("decisions/")
        lines.append(f"| {file[:4]} | [{markdown(head[1])}]({file}) | {head[3]} | {head[2]} |")
    return "\n".join(lines) + "\n"


def render_codes() -> str:
    """Render the reference page of all codes, as Markdown."""
    lines = [
        "# Problems of a model index",
        "",
        "What `rexnet-hub validate` can say, each with the least file that makes it say so, and the same",
        "file mended. A warning may be meant; with `--strict` it fails as an error does.",
    ]
    for row in read_codes().values():
        lines += ["", f"## {row.code}", "", f"{row.severity.capitalize()}: {row.meaning}.", ""]
        for title, text in (("Wrong", row.bad), ("Right", row.good)):
            shown = text.encode("utf-8", "backslashreplace").decode()
            lines += [f"{title}:", "", "```yaml", *shown.rstrip("\n").splitlines(), "```", ""]
        lines.pop()
    return "\n".join(lines) + "\n"

"""What each command does: take its arguments, call one function, print what it returns.

A command is a `Command`: the function's docstring is its help. Everything heavy is imported when a command
runs, so that `list` starts as fast as Python does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of `rexnet-hub`.

    Attributes:
        run: Does it and returns the exit code; its docstring is the help.
        declare: Adds the arguments.
    """

    name: str
    run: Callable[[argparse.Namespace], int]
    declare: Callable[[argparse.ArgumentParser], None]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, as every command that prints data has it."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")

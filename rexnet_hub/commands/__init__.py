"""What each command does: take its arguments, call one function, print what it returns.

A module's commands are its `run_NAME` functions, whose docstrings are their help, with `declare_NAME` beside
them for the arguments. Everything heavy is imported when a command runs, so that `list` starts about as fast
as Python does.
"""

from __future__ import annotations

import argparse

#: Every command, in the order of the help, and the module that has it.
COMMANDS = {
    "list": "asking",
    "show": "asking",
    "validate": "asking",
    "recipe": "asking",
    "fetch": "files",
    "convert": "files",
    "verify": "files",
    "lock": "files",
    "card": "repos",
    "stage": "repos",
    "publish": "repos",
    "predict": "running",
    "export": "running",
    "demo": "running",
    "evaluate": "evaluating",
    "completion": "completing",
}


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, as every command that prints data has it."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")

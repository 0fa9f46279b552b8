"""The command that prints a shell's completion script."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

SHELLS = ("bash", "zsh", "tcsh")
MODELS = {"bash": "_rexnet_hub_models", "zsh": "_rexnet_hub_models", "tcsh": "`rexnet-hub list --names`"}
PREAMBLE = {
    # Not `compgen -W`, which runs what a name has in `$(…)`.
    "bash": "_rexnet_hub_models() { rexnet-hub list --names 2>/dev/null | "
    'while read -r name; do [[ $name == "$1"* ]] && printf "%q\\n" "$name"; done; }\n',
    "zsh": '_rexnet_hub_models() { compadd -- ${(f)"$(rexnet-hub list --names 2>/dev/null)"} }\n',
}


def declare_completion(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or tcsh")


def run_completion(args: argparse.Namespace) -> int:
    """Print a script that completes commands, options, files and the names of models.

    In bash: rexnet-hub completion bash > ~/.local/share/bash-completion/completions/rexnet-hub
    """
    import shtab

    parser = args.build_parser()
    for action in _actions(parser):
        if not action.option_strings and action.dest in ("name", "names", "source", "model", "repos", "repo"):
            action.complete = MODELS  # type: ignore[attr-defined]
        elif action.type is Path:
            is_folder = action.metavar == "DIR"
            action.complete = shtab.DIRECTORY if is_folder else shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell, preamble=PREAMBLE))  # type: ignore[arg-type]
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from command._actions
        else:
            yield action

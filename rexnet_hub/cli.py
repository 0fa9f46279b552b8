"""Parse a command line, run one command, say what went wrong.

Exit codes: 0 all is well; 1 refused or found false, and said why; 2 misused. Data goes to standard output,
progress and messages to standard error.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Sequence

from rexnet_hub import __version__
from rexnet_hub.commands import COMMANDS
from rexnet_hub.errors import RexnetHubError
from rexnet_hub.terminal import paint


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    # A command that is named needs no other's parser; a misspelt one is told of all.
    parser = build_parser(words[:1]) if words[:1] and words[0] in COMMANDS else build_parser()
    args = parser.parse_args(_join_sort_keys(words))
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except RexnetHubError as error:
        print(paint(f"error: {error}", stream=sys.stderr), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        return 0


def _join_sort_keys(words: Sequence[str]) -> list[str]:
    """Let `--sort -top1` be said with a space, which argparse would read as another option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--sort" and word.startswith("-"):
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def build_parser(names: Iterable[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Build the parser of the named commands, by default of all."""
    about = "The ReXNet model zoo that can be believed."
    parser = argparse.ArgumentParser(prog="rexnet-hub", description=about)
    parser.add_argument("--version", action="version", version=f"rexnet-hub {__version__}")
    # With its own name said, argparse does not lay out a usage line, and asks for no terminal's width.
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, prog=parser.prog)
    for name in names:
        module = importlib.import_module(f"rexnet_hub.commands.{COMMANDS[name]}")
        run = getattr(module, f"run_{name}")
        text = (run.__doc__ or "").replace("\n    ", "\n").strip()
        command = group.add_parser(
            name,
            help=text.splitlines()[0].rstrip("."),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run, build_parser=build_parser)
        getattr(module, f"declare_{name}")(command)
    return parser

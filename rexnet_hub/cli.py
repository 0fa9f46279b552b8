"""Parse a command line, run one command, say what went wrong.

Exit codes: 0 all is well; 1 refused or found false, and said why; 2 misused. Data goes to standard output,
progress and messages to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rexnet_hub import __version__
from rexnet_hub.commands import asking, evaluating, files, repos, running
from rexnet_hub.errors import RexnetHubError
from rexnet_hub.terminal import paint

COMMANDS = (*asking.COMMANDS, *files.COMMANDS, *repos.COMMANDS, *running.COMMANDS, *evaluating.COMMANDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = build_parser().parse_args(_join_sort_keys(words))
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


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of every command."""
    about = "The ReXNet model zoo that can be believed."
    parser = argparse.ArgumentParser(prog="rexnet-hub", description=about)
    parser.add_argument("--version", action="version", version=f"rexnet-hub {__version__}")
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        text = (command.run.__doc__ or "").replace("\n    ", "\n").strip()
        added = group.add_parser(
            command.name,
            help=text.splitlines()[0].rstrip("."),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=command.run)
        command.declare(added)
    return parser

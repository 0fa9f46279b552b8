"""Parse a command line, run one command, print what went wrong.

Exit codes: 0 all is well; 1 refused or found false, and said why; 2 misused; 75 nothing is false, but
somebody did not answer; 130 interrupted. Data goes to standard output, progress and messages to
standard error.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rexnet_hub import __version__
from rexnet_hub.commands import COMMANDS, WITHOUT_INDEX
from rexnet_hub.errors import RexnetHubError
from rexnet_hub.layout import chosen_index, find_index_above
from rexnet_hub.terminal import print_error, printable, terminal_columns

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: Arguments of which an empty one means something, or is refused in words of its own.
_MAY_BE_EMPTY = ("query", "values", "images")
_INDEX_HELP = "the index, a file or folder (default: REXNET_HUB_INDEX, else that of this folder or one above)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    gc.set_threshold(200_000)  # of a large index all stays: searching it for cycles took a third of the time
    words = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text at all
    try:
        # A command that is named needs no other's parser; for a misspelt one all are listed.
        parser = build_parser(words[:1]) if words[:1] and words[0] in COMMANDS else build_parser()
        if not words:
            parser.print_help(sys.stderr)
            return 2
        args, strangers = parser.parse_known_args(_join_sort_keys(words))
        if strangers:  # whose usage says more than that of all commands
            usage, unknown = args.parser.format_usage(), ", ".join(strangers)
            has_out = "--out" in usage and not strangers[0].startswith("-")
            args.parser.error(f"unrecognized: {unknown}" + ("; a file to write goes with --out" * has_out))
        with chosen_index(args.index or find_index_above(Path.cwd())):
            code: int = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except RexnetHubError as error:
        return _refuse(str(error), error.exit_code)
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:  # whatever else the system refuses: a full disk, a folder without permission
        where = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{where}{error.strerror or error}", 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _refuse(message: str, code: int) -> int:
    print_error(message)
    return code


def _join_sort_keys(words: Sequence[str]) -> list[str]:
    """Accept `--sort -top1` with a space, which argparse would read as another option."""
    joined: list[str] = []
    for place, word in enumerate(words):
        if word == "--":  # what follows is no option, whatever it looks like
            return [*joined, *words[place:]]
        if joined and joined[-1] == "--sort" and word.startswith("-") and not word.startswith("--"):
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


class _CommandParser(argparse.ArgumentParser):
    """Says what is wrong with a command line without what a terminal would obey; takes no empty option."""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Refuse what a script gives whose variable is not set; as a path it would be this folder."""
        is_command = isinstance(action, argparse._SubParsersAction)  # whose words are looked at one by one
        if not arg_string.strip() and not is_command and action.dest not in _MAY_BE_EMPTY:
            raise argparse.ArgumentError(action, "is empty; leave it out, or give it a value")
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        super().error("\n".join(map(printable, message.split("\n"))))


class _HelpFormatter(argparse.HelpFormatter):
    """Lays help out as wide as the terminal; argparse's own way there imports `shutil`, with every start."""

    def __init__(self, prog: str, *, width: int | None = None) -> None:
        super().__init__(prog, width=width or max(terminal_columns() - 2, 20))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        import textwrap

        lay = textwrap.TextWrapper(
            width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
        return "\n\n".join(lay.fill(" ".join(part.split())) for part in text.split("\n\n"))


def build_parser(names: Iterable[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Build the parser of the named commands, by default of all."""
    about = "The ReXNet model zoo that can be believed."
    parser = _CommandParser(prog="rexnet-hub", description=about, formatter_class=_HelpFormatter)
    parser.add_argument("--version", action="version", version=f"rexnet-hub {__version__}")
    # With its own name given, argparse does not lay out a usage line, and asks for no terminal's width.
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, prog=parser.prog)
    for name in names:
        module = importlib.import_module(f"rexnet_hub.commands.{COMMANDS[name]}")
        run = getattr(module, f"run_{name}")
        text = (run.__doc__ or "").replace("\n    ", "\n").strip()
        command = group.add_parser(
            name, help=text.splitlines()[0].rstrip("."), description=text, formatter_class=_HelpFormatter
        )
        command.set_defaults(run=run, parser=command, build_parser=build_parser, index=None)
        getattr(module, f"declare_{name}")(command)
        if name not in WITHOUT_INDEX:
            command.add_argument("--index", type=Path, metavar="PATH", help=_INDEX_HELP)
    return parser

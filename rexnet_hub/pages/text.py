"""Format words and numbers as people read them, and escape text for Markdown, links and code.

Text of an index is data wherever it lands. A character that could mean something becomes a character
reference: no Markdown parser takes one for structure, while backslashes are not understood by all. A name
such as `net_100` needs none.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shlex
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from rexnet_hub.addresses import find_url_problem
from rexnet_hub.index.reading.compose import Loader
from rexnet_hub.terminal import printable, redact_text

# `_` is emphasis only at a word's edge; `://`, `www.` and `@` would become links on the Hub.
_MEANING = re.compile(r"[\\`*{}\[\]<>&|~$^@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=\bwww)\.")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@functools.cache
def read_words(file: str) -> Any:
    """Read what is printed as it stands there, from a YAML file beside this module."""
    return yaml.load(Path(__file__).with_name(file).read_text(encoding="utf-8"), Loader)


def plain(value: Any) -> Any:
    """Convert a claim's value into what JSON and YAML can write: decimals as floats, tuples as lists."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, int | float | bool | None) else str(value)


@functools.lru_cache(maxsize=4096, typed=True)
def one_line(text: Any) -> str:
    """Return text on one line, without characters that nobody can see."""
    return "".join(char for char in " ".join(str(text).split()) if char.isprintable())


@functools.lru_cache(maxsize=4096, typed=True)
def markdown(text: Any) -> str:
    """Escape text so that Markdown, HTML and templates show it as it is, on one line."""
    named = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    escaped = _MEANING.sub(lambda m: named.get(m[0], f"&#{ord(m[0])};"), one_line(text))
    # At the start of a line other characters open lists, headings and directives.
    if escaped and not (escaped[0].isalnum() or escaped[0] in "&("):
        escaped = f"&#{ord(escaped[0])};{escaped[1:]}"
    escaped = re.sub(r"\A(\d+)([.)])(?=\s|\Z)", lambda m: f"{m[1]}&#{ord(m[2])};", escaped)
    return re.sub(r"#(?=#*\Z)", "&#35;", escaped)


def paragraphs(text: Any) -> str:
    """Escape text of several paragraphs, which empty lines part."""
    return "\n\n".join(markdown(part) for part in re.split(r"\n\s*\n", str(text).strip()))


def code(text: Any) -> str:
    """Render text as a code span whose fence is longer than any within."""
    flat = one_line(text).replace("|", "\N{BROKEN BAR}")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", flat)), default=0))
    pad = " " if "`" in flat else ""
    return f"{fence}{pad}{flat}{pad}{fence}" if flat else ""


def fenced(text: str, language: str) -> str:
    """Render lines as a code block whose fence is longer than any within, escaped as on a terminal."""
    text = "\n".join(map(printable, text.rstrip().split("\n")))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def shell(text: Any) -> str:
    """Quote text as one word of a command line."""
    return shlex.quote(one_line(text))


@functools.lru_cache(maxsize=4096, typed=True)
def safe_url(url: Any) -> str | None:
    """Return an https address in plain ASCII, or None for anything else."""
    text = str(url)
    if not text.isprintable() or any(map(str.isspace, text)):
        return None
    url = quote(text, safe="/:?#%=&+,;.~!-_@")
    return None if find_url_problem(url) or redact_text(url) != url else url


def link(text: Any, url: Any) -> str:
    """Link text to an https address; to any other, give the text alone."""
    safe = safe_url(url)
    return f"[{markdown(text)}]({safe})" if safe else markdown(text)


def file_name(name: str) -> str:
    """Return a file name for a model's page: its own name where that is plain, else one made from it."""
    if _FILE_NAME.match(name) and ".." not in name and len(name) <= 100:
        return name
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "model"
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def number(value: Any) -> str:
    """Print a number with groups of thousands, a list with commas, anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, tuple):
        return ", ".join(number(item) for item in value)
    return str(value)


def short(value: int | float | Decimal, unit: str = "") -> str:
    """Print a count in three digits: `4.80 M`, `510 M`, `19.4 MB`; a billion is G."""
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        scaled = float(value) / 10**power
        if scaled >= 0.9995:
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f}\N{NO-BREAK SPACE}{prefix}{unit}"
    return f"{value}\N{NO-BREAK SPACE}{unit}".strip()

"""Read one scalar as the kind of value that its field holds, exactly, or refuse it with the reason."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rexnet_hub.addresses import parse_hub_file
from rexnet_hub.index.fields import BOUNDS
from rexnet_hub.index.problems import Flaw
from rexnet_hub.index.reading.compose import resolve
from rexnet_hub.index.reading.source import Node
from rexnet_hub.layout import find_path_problem

#: No number of a model is as great; the schema has it too.
MOST = 1e40
# Short on purpose: no number of a model has more digits, and a long exponent is a bomb.
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]{0,39}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,3})?")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,32}")
# Not `k`, which of a batch may mean 1024, nor small letters: `m` is a thousandth elsewhere.
_SCALED = re.compile(r"(\d{1,12}(?:\.\d{1,12})?) ?([MBGT])")
# One comma alone may be a decimal one.
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3}){2,}")
_POWERS = {"M": 6, "B": 9, "G": 9, "T": 12}
_NUMERIC_KINDS = frozenset(BOUNDS) - {"numbers"}
_OTHER_THAN_TEXT = {"int": "a number", "float": "a number", "bool": "a truth value", "timestamp": "a date"}
_KIND_NAMES = {
    "count": "a whole number",
    "bytes": "a whole number of bytes",
    "number": "a number",
    "fraction": "a number from 0 to 1",
    "percent": "a percentage such as 77.86%",
}
#: An address at arXiv, by its end, of a paper that there may be: of a month, with as many digits as that had.
_NO_PAPER = re.compile(
    r"https?://(?:www\.)?arxiv\.org/(?:abs|pdf)/"
    r"(?!(?:0[7-9]|1[0-4])(?:0[1-9]|1[0-2])\.\d{4}(?!\d)|(?:1[5-9]|[2-9]\d)(?:0[1-9]|1[0-2])\.\d{5}(?!\d)"
    r"|[a-z-]+(?:\.[A-Z]{2})?/\d{7})"
)

#: What is never said and left empty: the kind, and what is expected.
NEVER_EMPTY = {
    "digest": "the 64 hexadecimal digits of a SHA-256",
    "key": "a public key on P-256, P-384 or P-521, in PEM, or IDENTITY@https://ISSUER",
}

#: A paper by its number at arXiv; the schema has it too.
ARXIV = r"(?:[Aa]r[Xx]iv:)?(\d{4}\.\d{4,5}(?:v\d{1,2})?)"

_LICENSES = Path(__file__).with_name("licenses.txt").read_text("utf-8").splitlines()
#: The Hub's id of a licence -> the licence as we write it.
OUR_LICENSES = {name.lower(): name for line in _LICENSES if line[0] != "#" for name in line.split()}
#: What the Hub takes for a language and for a data set: its own words where it refuses one.
LANGUAGE = re.compile("[a-z]{2,3}|multilingual")
_DATASET_ID = re.compile(r"(?:[\w-]+/)?[\w.-]+", re.ASCII)


def as_number(text: str) -> Decimal | None:
    """Read a decimal that a float can be near to; None for `1e-400`, or more digits than a model needs."""
    if not _NUMBER.fullmatch(text := text.strip()):
        return None
    text = text.replace("_", "")
    number, near = Decimal(text), float(text)
    return number if abs(near) < MOST and bool(number) == bool(near) else None


def read_scalar(kind: str, node: Node, notes: list[Flaw]) -> Any:
    """Read a scalar of a known kind.

    Args:
        kind: As in the table of fields.
        node: A scalar.
        notes: Receives what is doubtful though the value could be read.

    Returns:
        The value in the field's unit; None where nothing is stated (empty or `null`).

    Raises:
        Flaw: The text is not of that kind.
    """
    if is_null(node):
        return None
    notes += _slips(kind, node)
    if kind in _NUMERIC_KINDS:
        return _read_number(kind, node, notes)
    text = node.text
    if kind == "place":  # a page, or a file of a Hub repo
        kind = "weights" if text.startswith("hf:") else "url"
    if kind == "any":
        return _read_any(node)
    if kind in ("digest", "hexadecimal"):
        return _read_digest(kind, node)
    if kind == "key":
        return _read_key(text)
    if kind in ("url", "weights"):
        require_url(text, of_weights=kind == "weights")
        if _NO_PAPER.match(text):
            notes.append(Flaw("no-such-paper", f"arXiv has no paper of the number in {text[:80]!r}"))
    if kind == "weights" and re.match(PAGE, text):
        raise _page(node)
    if kind == "path" and "://" not in text and (problem := find_path_problem(text)):
        notes.append(Flaw("unportable-name", f"the path {text[:80]!a} {problem}"))
    if node.plain and node.tag != "str":
        kind_of_yaml = resolve(text)
        if kind_of_yaml in _OTHER_THAN_TEXT:
            message = f"{text} is {_OTHER_THAN_TEXT[kind_of_yaml]}, meant is text; quote it"
            notes.append(Flaw("unquoted-text", message, new=_quoted(node, text)))
    return text


#: What nobody sees in a text: spaces that are none, joiners, marks of direction.
_UNSEEN = re.compile("[\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")
_CURLY = re.compile("[\u201c-\u201f\u2018-\u201b\u00ab\u00bb].*[\u201c-\u201f\u2018-\u201b\u00ab\u00bb]")
_TO_COME = re.compile(
    r"(?:todo|tbd|tba|fixme|xxx+|\?+|\.\.+|coming soon|to be (?:added|announced|released|done))\W*", re.I
)
_BASE_8_OR_1000 = re.compile(r"[-+]?(?:0[0-7_]+|[\d_]*_[\d_.]*)")
_BOOLS = ("yes", "no", "on", "off")


def _slips(kind: str, node: Node) -> Iterator[Flaw]:
    """List what a value of any kind says in a way that is seldom meant."""
    text = node.text
    of_address = kind in ("url", "weights", "path")
    of_yaml, is_foreign = node.plain and not node.source.is_json, not text.isascii()
    is_wide = is_foreign and of_address and unicodedata.normalize("NFKC", text) != text
    if is_wide or (is_foreign and _UNSEEN.search(text)):
        odd = ", ".join(dict.fromkeys(f"U+{ord(letter):04X}" for letter in text if is_odd(letter)))
        yield Flaw("odd-letters", f"{text[:60]!a} holds {odd}, which looks like another letter or like none")
    elif is_foreign and _CURLY.fullmatch(text):
        what = "stands in curly quotes, which are part of it; type straight ones"
        yield Flaw("odd-letters", f"{text[:60]} {what}")
    elif of_yaml and text.endswith(","):
        yield Flaw("odd-letters", f"the comma after {text[:60]} is part of it: take it away, or quote all")
    if not of_address and _TO_COME.fullmatch(text):
        yield Flaw("still-to-come", f"{text[:40]!r} is no value; write null until there is one")
    if of_yaml and node.tag is None and (other := _read_elsewhere(kind, text)):
        yield Flaw("read-differently", f"{text[:40]} is read as {other}; write it so that all read the same")


def is_odd(letter: str) -> bool:
    """Return whether a letter cannot be seen, or is another one in full width."""
    return bool(_UNSEEN.match(letter)) or (letter > "~" and unicodedata.normalize("NFKC", letter) < "\x7f")


def _read_elsewhere(kind: str, text: str) -> str:
    """Return how YAML 1.1 and 1.2 read an unquoted text, where they differ; else nothing."""
    if kind in _NUMERIC_KINDS and _HEXADECIMAL.fullmatch(text):
        return "a hexadecimal number by YAML and as text by others"
    if kind in _NUMERIC_KINDS and _BASE_8_OR_1000.fullmatch(text) and resolve(text) in ("int", "float"):
        octal = "" if "_" in text else f"{int(text, 8)} by YAML 1.1, where a 0 begins an octal number"
        return octal or "text by YAML 1.2"
    if kind != "any":
        return ""
    if text.lower() in _BOOLS and resolve(text) == "bool":
        return "a truth value by YAML 1.1 and as text by YAML 1.2"
    if resolve(text) in ("int", "float") and ":" in text:
        return "a number of base 60 by YAML 1.1 and as text by YAML 1.2"
    if _BASE_8_OR_1000.fullmatch(text) and resolve(text) in ("int", "float"):
        return "another number, or text, by YAML 1.1 than by YAML 1.2"
    return "a date by YAML 1.1 and as text by YAML 1.2" if resolve(text) == "timestamp" else ""


#: Addresses of pages and folders, where that of a file is meant; the schema has it too.
PAGE = (
    r"^https?://(huggingface\.co/([^?#]*/(blob|tree)/|[^/?#]+/?[^/?#]*/?$)"
    r"|github\.com/([^?#]*/(blob|tree|releases/tag)/|[^/?#]+/?[^/?#]*/?$)"
    r"|drive\.google\.com/(file/|open|drive/)|pan\.baidu\.com/|www\.dropbox\.com/[^#]*[?&]dl=0|1drv\.ms/|arxiv\.org/"
    r"|[^?#]*(/|\.html?|\.php|\.aspx?)$|[^?#/]*$|[^#]*\?$)"
)


def _page(node: Node) -> Flaw:
    """Return the flaw of weights at a page's address; the Hub's page of a file names the file too."""
    text, new = node.text, None
    if text.startswith("https://huggingface.co/") and text.count("/blob/") == 1:
        new = _requote(node, text.replace("/blob/", "/resolve/"))
    what = f"{redact_broken_url(text)!r} is a page or a folder: give the address of the file itself"
    return Flaw("page-as-weights", what, new=new)


def find_license_problem(name: str) -> str | None:
    """Return why the Hub would refuse a licence, and what it has in its place; None if it would not."""
    if name.lower() in OUR_LICENSES:
        return None
    near = "-".join(name.lower().split()).removesuffix("-only").removesuffix("-or-later")
    close = [near] if near in OUR_LICENSES else difflib.get_close_matches(near, OUR_LICENSES, 1)
    return f"the Hub has no licence {name[:80]!r}; it has {OUR_LICENSES[close[0]] if close else 'other'}"


def find_dataset_problem(name: str) -> str | None:
    """Return why the Hub would refuse the id of a data set; None if it would not."""
    if _DATASET_ID.fullmatch(name):
        return None
    return f"the Hub takes no data set {name[:80]!r}; an id has letters, digits, - _ . and one / at most"


def is_null(node: Node) -> bool:
    """Return whether a scalar is null."""
    return node.kind == "scalar" and node.plain and node.value in ("", "~", "null", "Null", "NULL")


def is_empty(node: Node) -> bool:
    """Return whether nothing stands where a value could; `null` would say that this is meant."""
    return node.kind == "scalar" and node.plain and not node.value


def _read_number(kind: str, node: Node, notes: list[Flaw]) -> Any:
    text = node.text.strip()
    bare = text.removesuffix("%").strip() if kind in ("percent", "fraction") else text
    if node.plain and _HEXADECIMAL.fullmatch(bare):
        bare = text = str(int(bare, 16))
    number, wrong = as_number(bare), f"expected {_KIND_NAMES[kind]}, found {text[:60]!r}"
    if number is None:
        raise Flaw("wrong-kind", wrong, new=_whole(kind, node))
    if _is_odd(kind, number, text, node):
        new = _requote(node, f"{number:f}" if kind == "percent" else str(int(number)))
        raise Flaw("wrong-kind", wrong, new=new)
    is_bare = node.plain and node.tag is None and not node.source.is_json and text == bare
    if is_bare and resolve(text) == "str":
        new = _yaml_number(kind, number, text)
        notes.append(Flaw("number-as-text", f"YAML reads {text} as text; write {new}", new=new))
    _require_within(kind, number, text, node)
    if kind in ("count", "bytes"):
        if number != number.to_integral_value():
            raise Flaw("wrong-kind", f"{wrong}; is it in thousands or millions?")
        return int(number)
    return number


def _is_odd(kind: str, number: Decimal, text: str, node: Node) -> bool:
    """Return whether a count or percentage is text such as `4.8e6`, which no other reader takes for one."""
    is_number = node.plain and (node.source.is_json or resolve(text) in ("int", "float"))
    mantissa, mark, _ = text.lower().partition("e")
    if not mark or is_number:
        return False
    return kind == "percent" or (kind in ("count", "bytes") and "." in mantissa and number % 1 == 0)


def _require_within(kind: str, number: Decimal, text: str, node: Node) -> None:
    low, high = BOUNDS[kind]
    if kind == "fraction" and (text.endswith("%") or 1 < number <= 100):
        fraction = number.scaleb(-2)
        new = _requote(node, f"{fraction:f}") if text.endswith("%") and 0 <= number <= 100 else None
        raise Flaw("unit-confusion", f"{text} is a percentage, expected is a fraction: {fraction:f}", new=new)
    if (low is not None and number < low) or (high is not None and number > high):
        span = f"at least {low}" if high is None else f"from {low} to {high}"
        raise Flaw("out-of-range", f"expected is {span}, found {text[:60]}")


def _whole(kind: str, node: Node) -> str | None:
    """Write `4.8M` or `4,800,000` as the whole number it certainly is."""
    if kind != "count":
        return None
    text = node.text.strip()
    if match := _SCALED.fullmatch(text):
        number = Decimal(match[1]).scaleb(_POWERS[match[2]])
        return str(int(number)) if number == number.to_integral_value() else None
    return text.replace(",", "") if _GROUPED.fullmatch(text) else None


def _yaml_number(kind: str, number: Decimal, text: str) -> str:
    """Write a number so that YAML 1.1 and 1.2 both read it as one."""
    if kind in ("count", "bytes") and number == number.to_integral_value():
        return str(int(number))
    mantissa, mark, exponent = text.lower().partition("e")
    mantissa += "" if "." in mantissa else ".0"
    sign = "" if exponent[:1] in ("+", "-") else "+"
    return f"{mantissa}{mark and 'e' + sign + exponent}"


def _requote(node: Node, text: str) -> str:
    quote = "" if node.plain else node.raw[:1]
    return f"{quote}{text}{quote}"


def _read_any(node: Node) -> Any:
    """Read a custom value as YAML 1.1 means it; numbers exactly."""
    text = node.text
    kind = resolve(text) if node.plain and node.tag != "str" else "str"
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    if kind in ("int", "float"):
        number = as_number(text)
        if number is not None:
            return int(number) if kind == "int" else number
    percentage = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,20})?)\s*%\s*", text)
    return Decimal(percentage[1]) if percentage else text


def _read_digest(kind: str, node: Node) -> str:
    text = node.text.strip()
    if node.plain and (node.source.is_json or reads_as_number(text)):
        raise unquoted_digest(node)
    expected = NEVER_EMPTY["digest"] if kind == "digest" else "hexadecimal digits"
    if not re.fullmatch("[0-9a-fA-F]{64}" if kind == "digest" else "[0-9a-fA-F]{7,128}", text):
        raise Flaw("wrong-kind", f"expected {expected}, found {text[:70]!r}")
    return text.lower()


def _read_key(text: str) -> str:
    from rexnet_hub.errors import FileProblem, UsageError
    from rexnet_hub.keys import SIGNER_PATTERN, read_signer

    try:
        if re.search(SIGNER_PATTERN, text):
            return str(read_signer(text))
    except UsageError:  # without the packages nobody loads by it
        return text
    except FileProblem:
        pass
    raise Flaw("wrong-kind", f"expected {NEVER_EMPTY['key']}; this is none, or a letter of it is wrong")


def unquoted_digest(node: Node) -> Flaw:
    """Return the flaw of a digest that some reader of YAML takes for a number."""
    text = node.text.strip()
    what = f"YAML may read {text[:70]} as a number; quote it"
    return Flaw("digest-as-number", what, new=_quoted(node, text))


def _quoted(node: Node, text: str) -> str:
    quote = '"' if node.source.is_json else "'"
    return f"{quote}{text}{quote}"


def reads_as_number(text: str) -> bool:
    """Return whether YAML 1.1 or 1.2 reads unquoted text as a number: 1.2 also takes `590768e6`."""
    is_number = re.fullmatch(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?", text) is not None
    return is_number or resolve(text) in ("int", "float")


def redact_broken_url(text: str) -> str:
    """Return what should be an address without what may be a secret: what is before an @, query, fragment."""
    _, at, rest = text.rpartition("@")
    return f"{'…' * len(at)}{at}{re.split('[?#]', rest)[0]}"[:80]


def require_url(text: str, *, of_weights: bool = False) -> None:
    """Check that a text is an address of the web or of a file; of weights also of a file of a Hub repo.

    Raises:
        Flaw: It is not one.
    """
    shown = repr(redact_broken_url(text))
    if of_weights and text.startswith("hf:"):
        if parse_hub_file(text):
            return
        expected = (
            "hf:OWNER/NAME@COMMIT#FILE.safetensors, all 40 digits of the commit (branches and tags move)"
        )
        raise Flaw("not-a-url", f"{text[:120]!r} is no file of a Hub repo; expected is {expected}")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise Flaw("not-a-url", f"{shown} is not a URL: its host cannot be read") from None
    if re.search(r"[\s\x00-\x1f<>\"\\]", text) or parts.scheme not in ("http", "https", "file"):
        raise Flaw("not-a-url", f"{shown} is not a URL; expected is one such as https://host/name.pth")
    host = parts.hostname or ""
    if parts.scheme != "file" and ("." not in host or ".." in host) and host != "localhost":
        raise Flaw("not-a-url", f"{shown} names no host")
    is_file = parts.scheme == "file"
    if (is_file and "?" in text) or ((is_file or of_weights) and "#" in text):
        raise Flaw("not-a-url", f"{shown} is all that names the file: leave out what follows it")

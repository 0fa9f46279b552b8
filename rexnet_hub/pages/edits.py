"""Merge and compare cards: what people wrote, where two wrote at once, fields and metrics that differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, NamedTuple

import yaml

from rexnet_hub.index.reading.compose import Loader
from rexnet_hub.index.reading.hub_metadata import read_fields, read_front_matter
from rexnet_hub.index.reading.source import find_blocks
from rexnet_hub.pages.front_matter import dump_fields

#: Of a card that is compared; comparing takes longer than in proportion.
MAX_LINES = 5000
#: Characters of each text of a conflict.
MAX_SHOWN = 400


class Conflict(NamedTuple):
    """A place of a card: what we wrote, what people made of it there, and what we write now."""

    before: str
    there: str
    now: str

    def __str__(self) -> str:
        pairs = enumerate(zip_longest(self.before, self.there))
        part = next((place for place, (ours, theirs) in pairs if ours != theirs), 0)
        start = max(0, part - MAX_SHOWN // 4) if max(map(len, self)) > MAX_SHOWN else 0
        texts = ("…" * (start > 0) + text[start : start + MAX_SHOWN] for text in self)
        return "where we wrote {!r} there stands {!r}, and we write {!r}".format(*texts)


class Merge(NamedTuple):
    """A card of ours with what people wrote into the one that is there.

    Attributes:
        text: The merged card; of no use where there are conflicts.
        added: What people wrote that our card does not have: each line, and each field as it would be.
    """

    text: str
    added: tuple[str, ...]
    conflicts: tuple[Conflict, ...] = ()


class _ClashError(Exception):
    """People changed or removed what we write."""


class _Parts(NamedTuple):
    """A card's fields, each as a value and as it is written, and the lines after them.

    What is written behind the last field, comments alone, has no name.
    """

    fields: Mapping[str, Any]
    written: Mapping[str, str]
    lines: Sequence[str]


def merge_cards(base: str | None, there: str, ours: str) -> Merge:
    """Merge what people wrote into a card of ours: all our lines stand, and theirs where they put them.

    Metadata is merged by field, since the Hub's editor and client write the same fields in another layout. In
    the text a line of people stays behind the line of ours that it follows; a blank line is nobody's. Only a
    line feed ends a line, so that no other byte passes for one.

    Args:
        base: What of the card there we wrote; None where nothing shows it, and then nothing is merged.
    """
    theirs = _split(there)
    is_readable = bool(theirs.fields or not read_fields(base or ""))
    old, new = (_split(card, has_fields=is_readable) for card in (base or "", ours))
    front, added, conflicts = _merge_fields(old, theirs, new)
    lines, others = _merge_lines(old.lines, theirs.lines, new.lines)
    if not is_readable and not others:
        others = [Conflict("metadata", "metadata that cannot be read", "metadata")]
    known = Counter(old.lines) | Counter(new.lines)
    for line in filter(str.strip, theirs.lines):
        known[line] -= 1
        added += [line] * (known[line] < 0)
    if base is None:
        return Merge(ours, (*added, *(conflict.there for conflict in conflicts)))
    return Merge(front + "\n".join(lines), tuple(added), (*conflicts, *others))


def _split(card: str, *, has_fields: bool = True) -> _Parts:
    """Split a card; metadata that cannot be read, or not field by field, is text."""
    card = card.removeprefix("\ufeff")
    if has_fields and (fields := read_fields(card)):
        front, keys = find_blocks(card)[0], {at: key for key, (_, at) in fields.items()}
        written, key, held, at = dict.fromkeys(fields, ""), "", "", front.start
        for line in re.findall(r".*\n", card[front.start : front.end] + "\n"):
            key = keys.get(at, key)
            held, at = held + line * bool(key or line.strip()), at + len(line)
            if key and not line.startswith("#"):  # comments are of the field that follows
                written[key], held = written[key] + held, ""
        if all(written.values()):
            values = {key: "" if value is None else value for key, (value, _) in fields.items()}
            return _Parts(values, written | {"": held}, card[front.end :].split("\n"))
    return _Parts({}, {}, card.split("\n"))


def _find_comments(text: str) -> Iterator[str]:
    """Find the comments in YAML: they stand between its tokens."""
    end = 0
    for token in yaml.scan(text, Loader) if "#" in text else ():
        yield from re.findall("#.*", text[end : token.start_mark.index])
        end = token.end_mark.index


def _merge_fields(old: _Parts, theirs: _Parts, new: _Parts) -> tuple[str, list[str], list[Conflict]]:
    """Merge the metadata: the card's first lines, what people added, and where they changed what is ours."""
    written, added, conflicts = ["---\n"], list[str](), list[Conflict]()
    for key in {**new.fields, **old.fields, **theirs.fields, "": None}:
        before, there, now = (parts.fields.get(key) for parts in (old, theirs, new))
        try:
            value = _merge_values(before, there, now)
        except _ClashError:
            value = now
            conflicts += _compare_fields(key, before, there, now)
        if value != now:
            added += [row.there for row in _compare_fields(key, now, value, now)]
        by = new if value == now else theirs if before is None and now is None else None
        text = (by and by.written.get(key)) or ("" if value is None else dump_fields({key: value}))
        comments = [each for each in _find_comments(theirs.written.get(key, "")) if each not in text]
        added += comments
        written += [*(f"{each}\n" for each in comments), text]
    return "".join(written).removesuffix("\n") * any(written[1:]), added, conflicts


def _merge_values(before: Any, there: Any, now: Any) -> Any:
    """Add what people added to a list of ours, at any depth."""
    given = now
    if any(isinstance(value, list) for value in (before, there, now)):  # a value is as good as a list of it
        before, there, now = map(_as_list, (before, there, now))
    if there in (before, now):
        return given
    if before is None and now is None:
        return there
    if all(isinstance(value, dict) for value in (before, there, now)):
        if not there.keys() == before.keys() <= now.keys():
            raise _ClashError
        return now | {key: _merge_values(before[key], there[key], now[key]) for key in before}
    before, now = before or [], now or []
    if not all(isinstance(value, list) for value in (before, there, given or [])):
        raise _ClashError
    if len(before) == len(there) == len(now) == 1:
        return [_merge_values(before[0], there[0], now[0])]
    extra = [item for item in there if item not in before and item not in now]
    gone = [item for item in before if item not in there]
    if gone and (extra or any(item in now for item in gone)):
        raise _ClashError
    return now + extra or None


def _as_list(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else [value] * (value != "")


def _compare_fields(key: str, *values: Any) -> list[Conflict]:
    """Write a field, or each metric, of which the second of three values is another."""
    before, there, now = fields = [{} if value is None else _flatten({key: value}) for value in values]
    others = {name for name in before | now if there.get(name) in (before.get(name), now.get(name))}
    rows = [
        [f"{name}: {each.get(name, 'none')}" for each in fields]
        for name in before | there | now
        if name not in others
    ]
    return [Conflict(*row) for row in rows or [[f"{key}: {value}" for value in values]]]


def _merge_lines(
    old: Sequence[str], theirs: Sequence[str], new: Sequence[str]
) -> tuple[Sequence[str], list[Conflict]]:
    """Merge the text line by line, and list where people changed what is ours."""
    became = SequenceMatcher(None, old[:MAX_LINES], new[:MAX_LINES], autojunk=False).get_opcodes()

    def place(line: int) -> int:
        """Find the place after what became of the line of the old text before this one."""
        for _, start, end, first, until in became:
            if start < line <= end:
                return until if line == end else min(first + line - start, until)
        return 0

    if (added := _find_added(old, theirs)) is not None:
        changes = [[line, line, first, until] for line, first, until in added]
    elif _find_added(new, theirs) is not None and not ({*old} - {*new}) & {*theirs}:
        return theirs, []  # they wrote what we write now
    else:
        matcher = SequenceMatcher(None, old[:MAX_LINES], theirs[:MAX_LINES], autojunk=False)
        changes = [places for kind, *places in matcher.get_opcodes() if kind != "equal"]
        changes += [[len(old), len(old), MAX_LINES, len(theirs)]] * (len(theirs) > MAX_LINES)
    merged, conflicts = [*new], list[Conflict]()
    for start, end, first, until in reversed(changes):
        parts = old[start:end], theirs[first:until], new[place(start) : place(end)]
        before, there, now = ("\n".join(part).strip("\n") or "no such line" for part in parts)
        if not any(map(str.strip, parts[0])):
            merged[place(start) : place(start)] = parts[1]
        elif there not in (before, now):
            conflicts.insert(0, Conflict(before, there, now))
    return merged, conflicts


def _find_added(own: Sequence[str], lines: Sequence[str]) -> list[tuple[int, int, int]] | None:
    """Find lines that are not our own: where in ours, from, until; None where a line of ours is missing.

    Where lines repeat, they are whole paragraphs rather than the end of one and the start of the next.
    """
    added, place = list[tuple[int, int, int]](), 0
    blank = [not line.strip() for line in own]
    for number, line in enumerate(lines):
        found = place
        while found < len(own) and blank[found] and own[found] != line:
            found += 1
        if found < len(own) and own[found] == line:
            place = found + 1
        elif added and added[-1][2] == number:
            added[-1] = (place, added[-1][1], number + 1)
        else:
            added.append((place, number, number + 1))
    return _join_added(own, lines, added) if all(blank[place:]) else None


def _join_added(
    own: Sequence[str], lines: Sequence[str], added: Sequence[tuple[int, int, int]]
) -> list[tuple[int, int, int]]:
    """Move what was added over lines that end it too: to what was added before, or to a blank line."""
    joined = list[tuple[int, int, int]]()
    for place, first, until in added:
        back, is_moving = 0, True
        while is_moving:
            if is_moving := bool(joined) and first - back == joined[-1][2]:
                (place, first, _), until, back = joined.pop(), until - back, 0
            elif (
                min(place, first) > back
                and own[place - back - 1] == lines[first - back - 1] == lines[until - back - 1]
            ):
                back, is_moving = back + 1, True
        ends = (
            k
            for k in range(min(back + 1, first))
            if not (lines[first - k - 1] + lines[until - k - 1]).strip()
        )
        back = next(ends, 0)
        joined.append((place - back, first - back, until - back))
    return joined


def mark_added(own: str, card: str) -> str:
    """Write which lines of a card are not our own, as `12-14 90-90`; nothing where one of ours is missing."""
    added = _find_added(own.split("\n"), card.split("\n")) or ()
    return " ".join(f"{first + 1}-{until}" for _, first, until in added)


def remove_added(card: str, marks: str) -> str:
    """Return a card without the lines that `mark_added` wrote down."""
    lines = card.split("\n")
    for first, until in (map(int, span.split("-")) for span in reversed(marks.split())):
        del lines[first - 1 : until]
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """One field of the card's metadata that changes; None where it is absent.

    Attributes:
        name: The field; of a metric its data set and name, such as `ImageNet-1k: Top 1 Accuracy`.
    """

    name: str
    old: str | None
    new: str | None


def compare_cards(old: str, new: str) -> tuple[FieldChange, ...]:
    """List the fields and metrics that differ between two cards."""
    before, after = _flatten(read_front_matter(old)), _flatten(read_front_matter(new))
    names = sorted(before.keys() | after.keys())
    return tuple(
        FieldChange(name=name, old=before.get(name), new=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )


def _flatten(front: Mapping[str, Any]) -> dict[str, str]:
    """Name each field and metric of a card's metadata, with its value as text."""
    fields: dict[str, str] = {}
    for model in _list(front.get("model-index")):
        for result in _list(model.get("results")):
            dataset = result.get("dataset")
            place = str(dataset.get("name") if isinstance(dataset, dict) else dataset)
            for metric in _list(result.get("metrics")):
                name = f"{place}: {metric.get('name') or metric.get('type')}"
                value = str(metric.get("value"))
                fields[name] = f"{fields[name]}, {value}" if name in fields else value
    for key, value in front.items():
        if key != "model-index":
            fields[str(key)] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return fields


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

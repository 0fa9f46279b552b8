"""Define what a model-index file claims: entries, collections, results, each with its place."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from rexnet_hub.errors import FileProblem, IndexReadError, list_some
from rexnet_hub.identity import Facts, StatedFile
from rexnet_hub.index.fields import METADATA_LABELS
from rexnet_hub.index.spellings import IMAGENET_CLASSES, canonical_dataset, is_imagenet, place_name
from rexnet_hub.layout import RECEIPT_FILE, find_name_danger, real_path
from rexnet_hub.whole_files import open_regular

if TYPE_CHECKING:
    from rexnet_hub.agreement import Agreement

#: What a claim can hold: text, a count, percentage points or another exact decimal,
#: a list of words or numbers, or (custom fields only) a mapping as it was written.
Value = Any

LEAST_DIGITS = 8  # of a digest in a file's name: fewer leave the size alone to decide
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
CROP_MODES = ("center", "squash", "border")  # the usual first
#: The claims of an entry that are attributes of their own; a collection's are its models' too.
ATTRIBUTES = ("license", "code", "weights", "config", "readme", "image", "trusted_key")
#: How a witness may digest, and how many hexadecimal digits that gives.
ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128, "fingerprint": 64}
#: Which file a witness digested: the one at `Weights`, the tensors as safetensors writes them, any other.
SAME_WEIGHTS = ("released", "safetensors")
DIGESTED_FILES = (*SAME_WEIGHTS, "other")
MAX_TEXT_BYTES = 16 << 20  # of a file beside the index


class Location(NamedTuple):
    """A place in a file: line and column count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Claim(NamedTuple):
    """One published value, kept as it was published.

    Attributes:
        field: Canonical name in the table of fields, such as `file_size`; for a custom field its label.
        label: The key as the file writes it, such as `File Size`.
        value: In the field's own unit: counts and bytes are `int`, percents are `Decimal`
            percentage points, other numbers `Decimal`, lists tuples.
        text: The value as the file writes it, such as `77.86%`; of a list or mapping, empty.
        file: Where the value stands, with `line` and `column`, which count from 1: `location` is all three.
        source: The URL that states it, when the file gives one.
        inherited: Whether the value is the collection's.
        problem: Why nobody can read it, where `value` is None for that.
        quote: What stands around the text.
    """

    field: str
    label: str
    value: Value
    text: str
    file: Path
    line: int
    column: int
    source: str | None = None
    inherited: bool = False
    problem: str = ""
    quote: str = ""

    @property
    def location(self) -> Location:
        """Where the value stands."""
        return Location(self.file, self.line, self.column)

    @property
    def words(self) -> str:
        """The value as people read it, a list or a mapping in one line."""
        if isinstance(self.value, dict):
            parts = {key: each if isinstance(each, tuple) else (each,) for key, each in self.value.items()}
            return ", ".join(f"{key}: {' '.join(map(str, each))}" for key, each in parts.items())
        return self.text or (", ".join(map(str, self.value)) if isinstance(self.value, tuple) else "")

    def __str__(self) -> str:
        """Return what is stated that cannot be read, where and why."""
        return f"stated {self.text}, unreadable, {self.location}: {self.problem}"

    def compare(self, measured: int | Decimal) -> Agreement:
        """Compare the claim, at the precision it was published with, with a measurement."""
        from rexnet_hub.agreement import compare  # Not on the way of a load, which compares nothing.
        from rexnet_hub.index.fields import kind_of

        return compare(self.text, measured, kind=kind_of(self.field))


class Paper(NamedTuple):
    """A paper: its title and address as the file gives them."""

    title: str | None
    url: str | None
    location: Location
    source: str | None = None


class PublishedTable(NamedTuple):
    """The same metrics as another published table states them, at one commit of it."""

    url: str
    date: str | None
    metrics: Mapping[str, Claim]
    location: Location


class Result(NamedTuple):
    """One evaluation: a task, a data set and its metrics.

    Attributes:
        metrics: By canonical name (`top1`, `top5`) or, where we know none, by label; the unreadable too.
        extra: The keys that the public format does not name, as claims.
        own_input: What its `Dataset Args` state of an input other than the model's, such as 288 px.
    """

    task: str | None
    dataset: str | None
    split: Claim | None
    metrics: Mapping[str, Claim]
    location: Location
    snapshots: tuple[PublishedTable, ...]
    extra: Mapping[str, Claim]
    own_input: str = ""

    @property
    def known_as(self) -> str:
        """The data set by the name that it has here."""
        return canonical_dataset(self.dataset)

    @property
    def part(self) -> str | None:
        """The split, with the input where that is its own."""
        return ", ".join(filter(None, (str(self.split.value) if self.split else "", self.own_input))) or None

    @property
    def place(self) -> str:
        """The data set and its part in one word, such as `ImageNet/validation`."""
        return place_name(self.dataset, self.part)


class WeightsSource(NamedTuple):
    """A file of an entry's weights that can be fetched, as far as the entry states it.

    Attributes:
        url: Where it is.
        file_name: The last part of the address.
        digest_prefix: The hexadecimal tail of the file name, by convention the head of its
            SHA-256: 32 bits when it has eight digits, good for "is this probably the file" only.
        size_bytes: The claimed size.
        statements: What of this file is stated, with places: of the released one by its name, `SHA256`,
            `File Size` and witnesses, of any other by the witness that names it.
    """

    url: str
    file_name: str
    digest_prefix: str | None
    size_bytes: int | None
    statements: tuple[StatedFile, ...]


#: What a witness says of the files here.
AGREES, DENIES, SILENT = "agrees", "states another file", "is of a file that is not here"
DIFFERS = "differs: other tensors, or the same ones in another layout"


class Witness(NamedTuple):
    """A digest of these weights that another public place states.

    Attributes:
        claim: The whole digest, lower case; its text has the algorithm too, its source is the place.
        of: Which file was digested, one of `DIGESTED_FILES`; empty where only the tensors count.
        algorithm: One of `ALGORITHMS`; a fingerprint is of the tensors, whatever file they are in.
        commit: Of the place, where it has commits.
    """

    claim: Claim
    of: str
    algorithm: str
    commit: str | None

    @property
    def is_source(self) -> bool:
        """Whether its place is the very file, in a repo of a Hub: the weights can be fetched there too."""
        return str(self.claim.source).startswith("hf:")

    @property
    def page(self) -> str:
        """The place as an address that a browser opens."""
        from rexnet_hub.addresses import parse_hub_file

        at = parse_hub_file(str(self.claim.source))
        return at.page if at else str(self.claim.source)

    @property
    def name(self) -> str:
        """The place, and its commit."""
        return f"{self.claim.source}" + (f" at {self.commit}" if self.commit else "")

    @property
    def statement(self) -> StatedFile:
        """What it states, to be compared with a file."""
        facts: dict[str, Any] = {self.algorithm: self.claim.value}
        if self.algorithm not in ("sha256", "fingerprint"):
            facts = {"digests": facts}
        return StatedFile(by=f"the witness {self.name}", place=f"{self.claim.location}, Witnesses", **facts)

    def compare(self, released: Facts | None, converted: Facts | None, written: Collection[str]) -> str:
        """Compare what it states with the files that are here: AGREES, DENIES, DIFFERS or SILENT.

        Args:
            released: The released file, or what is taken for it.
            converted: The safetensors file made of it.
            written: Its digests as releases of safetensors write its tensors.
        """
        files = {"released": released, "safetensors": converted, "": converted}
        is_met = any(file is not None and self.statement.confirms(file) for file in files.values())
        if is_met or (self.of == "safetensors" and self.claim.value in written):
            return AGREES
        own = files.get(self.of)
        if self.of == "safetensors" and own is not None:
            return DIFFERS
        return SILENT if own is None or not self.statement.contradicts(own) else DENIES


def _require_each(claim: Claim, found: int, num_classes: int | None) -> None:
    if found != num_classes:
        problem = f"has {found} lines; it needs a name for each of {num_classes} classes, one a line"
        raise IndexReadError(f"{claim.location}: Labels {claim.text!r} {problem}")


_drafts: ContextVar[Mapping[Path, bytes]] = ContextVar("drafts", default=MappingProxyType({}))


@contextlib.contextmanager
def drafted(files: Mapping[Path, bytes]) -> Iterator[None]:
    """Read an index, inside, as it would be with other contents of files: by their resolved paths."""
    before = _drafts.set(files)
    try:
        yield
    finally:
        _drafts.reset(before)


def find_draft(file: Path) -> bytes | None:
    """Return what is read in place of a file; None where it is read itself."""
    return _drafts.get().get(real_path(file)) if _drafts.get() else None


def _beside(claim: Claim) -> Path:
    return claim.location.file.parent / str(claim.value)


def _read_beside(claim: Claim) -> str:
    """Read the file that a claim names in the index's folder."""
    file, stated = _beside(claim), f"{claim.location}: {claim.label} {claim.value!r}"
    try:
        if not real_path(file).is_relative_to(real_path(claim.location.file.parent)):
            raise IndexReadError(f"{stated} leaves the index's folder")
        if (data := find_draft(file)) is None:
            with open_regular(file) as stream:
                data = stream.read(MAX_TEXT_BYTES + 1)
        if not 0 < len(data) <= MAX_TEXT_BYTES:
            raise IndexReadError(f"{stated} is empty, or longer than {MAX_TEXT_BYTES} bytes")
        return data.decode()
    except FileProblem as error:
        raise IndexReadError(f"{stated} {error.problem}") from None
    except (OSError, ValueError) as error:
        raise IndexReadError(f"{stated} cannot be read: {error}") from None


#: What joins letters of Persian and parts of emoji, and spaces of other scripts: part of names, if not seen.
_JOINERS = dict.fromkeys((0x200C, 0x200D, 0xA0, 0x3000))


def is_line(text: str) -> bool:
    """Return whether a text is one line that a terminal shows and no file of lines breaks."""
    return text.translate(_JOINERS).isprintable()


def is_label(name: str) -> bool:
    """Return whether a text can be the name of a class: a line with something in it."""
    return bool(name.strip()) and is_line(name)


def split_released(url: str) -> tuple[str, str | None]:
    """Return an address's file name, and the digits that it gives of a digest: `a-1b4d.pth` gives four.

    None where it gives no digest; empty where the digits are missing, as in `a-.pth`.
    """
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    file_name = unquote(parts.fragment if parts.scheme == "hf" else parts.path).rpartition("/")[2]
    match = re.search(r"(?:-|\A(?=[0-9a-f]{8}))([0-9a-f]*)\.[^.]*\Z", file_name)
    return file_name, match[1] if match else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """The numbers that turn a picture into the batch that an accuracy was measured on.

    Attributes:
        input_px: Side of the square that the network sees.
        crop_fraction: Part of the resized short side that the centre crop keeps, in (0, 1].
        interpolation: Resampling filter, one of `INTERPOLATIONS`.
        mean: Of each channel in RGB order, of pixels in 0..1.
        std: Likewise.
        crop_mode: `center` resizes the short side and cuts the rest off, `squash` resizes both sides,
            `border` resizes the long side and fills up with the mean.
    """

    input_px: int
    crop_fraction: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_mode: str = CROP_MODES[0]


#: The fields that state a `Preprocessing`, by its attributes; a crop mode need not be stated.
INPUT_FIELDS = {
    "input_px": "image_size", "crop_fraction": "crop_pct", "interpolation": "interpolation",
    "mean": "image_mean", "std": "image_std",
}  # fmt: skip


def state_input(spec: Preprocessing) -> dict[str, Any]:
    """State a network's input as the Metadata of an entry does, by labels."""
    values = {field: getattr(spec, name) for name, field in INPUT_FIELDS.items()}
    values |= {"crop_mode": spec.crop_mode} if spec.crop_mode != CROP_MODES[0] else {}
    return {METADATA_LABELS[field]: [*v] if isinstance(v, tuple) else v for field, v in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """All that is claimed of a model, its collection's claims included; or what a family shares.

    Attributes:
        witnesses: What other public places state of the weights.
        unread: The claims that nobody can read, in the file's order, but those that results hold.
        class_names: Of an entry that stands in a repo, those that the config there has.
        others: The entries that are the `Same As` it, each another name of it.
        siblings: The models of its collection, its own among them, in the index's order; they name none.
    """

    name: str
    location: Location
    collection: Entry | None = None
    paper: Paper | None = None
    current_paper: Paper | None = None
    license: Claim | None = None
    code: Claim | None = None
    weights: Claim | None = None
    config: Claim | None = None
    readme: Claim | None = None
    image: Claim | None = None
    trusted_key: Claim | None = None
    metadata: Mapping[str, Claim] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    extra: Mapping[str, Claim] = field(default_factory=dict)
    witnesses: tuple[Witness, ...] = ()
    unread: tuple[Claim, ...] = ()
    class_names: tuple[str, ...] | None = None
    others: tuple[Entry, ...] = ()
    siblings: tuple[Entry, ...] = field(default=(), compare=False, repr=False)

    @property
    def other_names(self) -> tuple[str, ...]:
        """What else it is called."""
        return tuple(other.name for other in self.others)

    @property
    def is_in_repo(self) -> bool:
        """Whether it stands in the receipt of the repo that it is of, and in no index."""
        return self.location.file.name == RECEIPT_FILE

    def claim(self, name: str) -> Claim | None:
        """Find what is stated of a figure or an attribute.

        Args:
            name: As queries name it, such as `parameters` or `license`.

        Returns:
            The claim; what cannot be read hides what else is stated. None where nothing is.
        """
        unread = (claim for claim in self.unread if claim.field == name)
        own = getattr(self, name) if name in ATTRIBUTES else self.metadata.get(name)
        return next(unread, None) or own or self.metric(name)

    def value(self, name: str) -> Value | None:
        """Find the value of a field of Metadata.

        Args:
            name: As queries name it, such as `image_size`.

        Returns:
            The value in the field's own unit; None where nothing is claimed.
        """
        claim = self.metadata.get(name)
        return None if claim is None else claim.value

    def require_name(self) -> None:
        """Refuse a name that must be no folder's.

        Raises:
            IndexReadError: It is one.
        """
        if danger := find_name_danger(self.name):
            raise IndexReadError(f"{self.location}: {self.name[:80]!a} can name no folder: it {danger}")

    @property
    def architecture(self) -> str:
        """The network's name: the entry's `ID`, else its own name."""
        return str(self.value("id") or self.name)

    def metric(self, name: str) -> Claim | None:
        """Find a metric's claim.

        Args:
            name: Such as `top1`.

        Returns:
            The claim on the first data set that the entry gives it of; None where it gives none.
        """
        return next((result.metrics[name] for result in self.results if name in result.metrics), None)

    def said(self, name: str) -> Value | None:
        """Find what maintainers say in a field beside Metadata.

        Args:
            name: Such as `description` or `base_model`.

        Returns:
            What they say; None where they say nothing.
        """
        claim = self.extra.get(name)
        return None if claim is None else claim.value

    @property
    def named_license(self) -> Claim | None:
        """The licence of the weights as people call it: `License Name`, else `License`."""
        return self.extra.get("license_name") or self.license

    @property
    def license_id(self) -> str | None:
        """The licence's id on the Hub: `other` of one that has a name of its own."""
        if "license_name" in self.extra:
            return "other"
        return str(self.license.value).lower() if self.license else None

    def cites(self, title: str) -> bool:
        """Return whether the entry's paper has this title, as first given or now."""
        return title in (paper.title for paper in (self.paper, self.current_paper) if paper)

    @property
    def released(self) -> WeightsSource | None:
        """The released file, or None when the entry names no weights."""
        if self.weights is None or not self.weights.value:
            return None
        url = str(self.weights.value)
        file_name, tail = split_released(url)
        prefix = tail if tail and len(tail) >= LEAST_DIGITS else None
        digest, size = self.extra.get("sha256"), self.metadata.get("file_size")
        size_bytes = size.value if size else None
        stated: list[tuple[Claim | None, dict[str, Any]]] = [
            (self.weights, {"sha256": prefix}),
            (digest, {"sha256": str(digest.value)} if digest else {}),
            (size, {"size_bytes": size_bytes}),
        ]
        statements = (
            StatedFile(by="the index", place=f"{claim.location}, {claim.label}", **facts)
            for claim, facts in stated
            if claim is not None and None not in facts.values()
        )
        witnesses = (witness.statement for witness in self.witnesses if witness.of == "released")
        return WeightsSource(
            url=url,
            file_name=file_name,
            digest_prefix=prefix,
            size_bytes=size_bytes,
            statements=(*statements, *witnesses),
        )

    @property
    def source_urls(self) -> tuple[str, ...]:
        """The addresses of `sources`, in their order."""
        released = [str(self.weights.value)] if self.weights and self.weights.value else []
        named = (str(each.claim.source) for each in self.witnesses if each.is_source)
        return tuple(sorted(dict.fromkeys((*released, *named)), key=lambda url: url.startswith("http")))

    @property
    def sources(self) -> tuple[WeightsSource, ...]:
        """All files of the weights: what needs no pickle, or is on this machine, before what the web has."""
        released = self.released
        stated = {str(each.claim.source): each.statement for each in self.witnesses if each.is_source}
        return tuple(
            released
            if released and url == released.url
            else WeightsSource(
                url=url,
                file_name=split_released(url)[0],
                digest_prefix=None,
                size_bytes=None,
                statements=(stated[url],),
            )
            for url in self.source_urls
        )

    def source_of(self, sha256: str | None) -> WeightsSource | None:
        """Return the source that a file of this digest is; of any that no other has the released one."""
        others = (source for source in self.sources if source != self.released)
        return next((each for each in others if each.statements[0].sha256 == sha256), self.released)

    @property
    def tensor_statements(self) -> tuple[StatedFile, ...]:
        """What the witnesses of the tensors state, whatever file these are in."""
        return tuple(witness.statement for witness in self.witnesses if not witness.of)

    def compare_witnesses(
        self, released: Facts | None, converted: Facts | None, written: Collection[str] = ()
    ) -> dict[Witness, str]:
        """Compare each witness with the files that are here; arguments as of `Witness.compare`."""
        return {witness: witness.compare(released, converted, written) for witness in self.witnesses}

    @property
    def labels_file(self) -> Path | None:
        """The file that `Labels` names; None where it names ImageNet's classes, or none."""
        claim = self.metadata.get("labels")
        return None if claim is None or is_imagenet(claim.text) else _beside(claim)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes in the file of `Labels`; None where it names no file, or no count of them.

        Raises:
            IndexReadError: The file cannot be read, or has not one name for each class.
        """
        if self.class_names is not None:
            return self.class_names
        claim, num_classes = self.metadata.get("labels"), self.value("num_classes")
        if claim is None or num_classes is None:
            return None  # without a count nothing is compared; whoever builds the network asks for it
        if self.labels_file is None:
            _require_each(claim, IMAGENET_CLASSES, num_classes)
            return None
        labels = tuple(_read_beside(claim).splitlines())
        _require_each(claim, len(labels), num_classes)
        if not (all(map(str.strip, labels)) and is_line("".join(labels))):  # one by one is nine times slower
            wrong = [f"line {at}: {label!r}" for at, label in enumerate(labels, 1) if not is_label(label)]
            problem = f"has lines that are no name that people can read: {list_some(wrong)}"
            raise IndexReadError(f"{claim.location}: Labels {claim.text!r} {problem}")
        return labels

    @property
    def license_text(self) -> str | None:
        """The text of the file of `License File`; None where it names none, or an address.

        Raises:
            IndexReadError: The file cannot be read.
        """
        claim = self.extra.get("license_file")
        return None if claim is None or "://" in claim.value else _read_beside(claim)

    @property
    def unstated_input(self) -> list[str]:
        """The fields of its input settings that are missing, or 0 where they are divided by."""
        values = {name: self.value(name) for name in INPUT_FIELDS.values()}
        return [name for name, value in values.items() if not value or (name == "image_std" and 0 in value)]

    @property
    def preprocessing(self) -> Preprocessing:
        """The entry's input settings, for whoever loads, evaluates or stages it.

        Raises:
            IndexReadError: A setting is missing; all that are missing are named.
        """
        if absent := self.unstated_input:
            missing = f"{', '.join(absent)} missing or 0"
            raise IndexReadError(f"{self.location}: {self.name} does not state its input settings: {missing}")
        values: dict[str, Any] = {name: self.value(name) for name in INPUT_FIELDS.values()}
        mean, std = ([float(number) for number in values[name]] for name in ("image_mean", "image_std"))
        return Preprocessing(
            input_px=int(values["image_size"]),
            crop_fraction=float(values["crop_pct"]),
            interpolation=str(values["interpolation"]),
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
            crop_mode=str(self.value("crop_mode") or CROP_MODES[0]),
        )

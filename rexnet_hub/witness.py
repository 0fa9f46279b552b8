"""Re-check a repo with the standard library alone.

    python witness.py FOLDER|RECORD [--weights-sha256 DIGEST]

A second opinion, on purpose without a line of the rest of this project: it reads the safetensors header on
its own, digests the file and every tensor, counts, and compares all of it with `receipt.json`, `config.json`,
`golden.json` (whose network it cannot run) and, in a signed repo, `statement.json` (whose signature it cannot
check). The accuracy in each record is counted again from the predictions beside it; a record alone is enough.
Exit 0: everything holds. 1: something does not, or nothing states the config, and is named. 2: misused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import stat
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

# As a header says it: as torch says it, and the bytes of an item.
DTYPES = {
    "BOOL": ("bool", 1), "U8": ("uint8", 1), "I8": ("int8", 1), "F8_E5M2": ("float8_e5m2", 1),
    "F8_E4M3": ("float8_e4m3fn", 1), "F8_E4M3FNUZ": ("float8_e4m3fnuz", 1), "F8_E8M0": ("float8_e8m0fnu", 1),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 1), "I16": ("int16", 2), "U16": ("uint16", 2), "F16": ("float16", 2),
    "BF16": ("bfloat16", 2), "I32": ("int32", 4), "U32": ("uint32", 4), "F32": ("float32", 4),
    "C64": ("complex64", 8), "F64": ("float64", 8), "I64": ("int64", 8), "U64": ("uint64", 8),
}  # fmt: skip
MAX_HEADER_BYTES = 8 << 20
MAX_JSON_BYTES = 16 << 20
CHUNK_BYTES = 1 << 20
MAX_FLOAT = 3.4028234663852886e38  # of 32 bits
MAX_INPUT = 3 << 22


class Tensor(NamedTuple):
    """A tensor as the header says it; offsets count from the end of the header."""

    name: str
    code: str
    shape: tuple[int, ...]
    start: int
    end: int


class Weights(NamedTuple):
    """The weights, as they were read."""

    sha256: str
    size_bytes: int
    tensors: tuple[Tensor, ...]
    tensor_sha256: dict[str, str]

    @property
    def parameters(self) -> int:
        """Count the trainable numbers: weights and biases."""
        ends = ("weight", "bias")
        return sum(math.prod(t.shape) for t in self.tensors if t.name.rpartition(".")[2] in ends)


class Unsound(Exception):  # noqa: N818 - says what a file is
    """A file is not what it must be to be read at all."""


def main(words: list[str] | None = None) -> int:
    """Check a folder and print each thing that does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("place", type=Path, metavar="FOLDER|RECORD")
    parser.add_argument("--weights-sha256", metavar="DIGEST", help="what the weights must be")
    args = parser.parse_args(words)
    held: list[str] = []
    try:
        if args.place.is_file():
            wrong = list(check_evidence(args.place, args.weights_sha256, held))
        else:
            weights = read_and_digest(args.place / "model.safetensors")
            wrong = list(check(args.place, weights, args.weights_sha256, held))
            tensors = f"{len(weights.tensors)} tensors, {weights.parameters} parameters"
            held.append(f"{args.place}: holds: {tensors}, sha256 {weights.sha256}")
    except Unsound as error:
        wrong = [str(error)]
    except OSError as error:
        wrong = [f"{error.filename or args.place}: cannot be read: {error.strerror}"]
    for problem in wrong or held:
        print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in problem))
    return 1 if wrong else 0


def check(folder: Path, weights: Weights, sha256: str | None, held: list[str]) -> Iterator[str]:
    """List each thing that does not hold; what was counted and holds is added to the last argument."""
    if sha256 is not None and sha256.lower() != weights.sha256:
        yield f"model.safetensors: sha256 is {weights.sha256}, given was {sha256}"
    receipt = _read_json(folder / "receipt.json")
    yield from check_receipt(receipt, weights)
    files = _object(receipt, "files")
    stated = {name: files[name] for name in files.keys() - {"README.md"}}  # to which people add lines
    yield from _compare("receipt.json", stated, _digests(folder, stated))
    if "config.json" not in files and not (folder / "statement.json").exists():
        yield "config.json: no receipt.json or statement.json states what it must be"
    config = _read_json(folder / "config.json")
    yield from check_classifier(config, weights)
    if (folder / "statement.json").exists():
        yield from check_statement(folder, _read_json(folder / "statement.json"), weights)
    for record in sorted(folder.glob("*.record.json")):
        yield from check_evidence(record, weights.sha256, held)
    if (folder / "golden.json").exists():
        yield from check_answers(_read_json(folder / "golden.json"), config, weights)


def check_evidence(file: Path, weights_sha256: str | None, held: list[str]) -> Iterator[str]:
    """Count a record's predictions again: a line of JSON, labels, five classes an image, a SHA-256."""
    record, answers = _read_json(file), file.with_name(file.name.replace(".record.json", ".predictions"))
    digest, size_bytes = _digest(answers)
    with answers.open("rb") as stream:
        line, numbers = stream.readline(MAX_JSON_BYTES), array("H")
        try:
            head = json.loads(line, object_pairs_hook=_no_twins)
            images = head["images"]
            numbers.fromfile(stream, min(6 * images, size_bytes))
        except (ValueError, TypeError, KeyError, EOFError, MemoryError, RecursionError) as error:
            raise Unsound(f"{answers}: is no predictions file: {str(error)[:100]}") from None
        end = stream.read()
    if end.hex() != _digest(answers, 0, size_bytes - 32)[0]:
        yield f"{answers.name}: is damaged: it does not end with the digest of the rest"
    if sys.byteorder == "big":
        numbers.byteswap()
    labels, classes = numbers[:images], numbers[images:]
    right = [sum(a == b for a, b in zip(labels, classes[at::5], strict=True)) for at in range(5)]
    found = {"top1_count": right[0], "top5_count": sum(right), "predictions_sha256": digest}
    found |= {key: head.get(key) for key in ("images", "model", "manifest_sha256", "tensors_sha256")}
    found |= {"weights_sha256": weights_sha256} if weights_sha256 else {}
    yield from _compare(file.name, record, found)
    held.append(f"{file.name}: holds: {right[0]} and {sum(right)} of {images} images of {record.get('data')}")


def check_answers(golden: dict[str, Any], config: dict[str, Any], weights: Weights) -> Iterator[str]:
    """Compare whose the golden logits are, how many, and the digest of the input that SHA-256 draws."""
    yield from _compare("golden.json", golden, {"golden": 1, "weights_sha256": weights.sha256})
    classes = config.get("num_classes") or config.get("num_features")
    shape = _object(config, "pretrained_cfg").get("input_size")
    sides = shape if isinstance(shape, list) else [0]
    count = math.prod(sides) if all(type(side) is int and side > 0 for side in sides) else 0
    if not 0 < count <= MAX_INPUT:
        raise Unsound(f"config.json: pretrained_cfg: input_size is {shape}")
    seeds = (f"{golden.get('seed')}/{number}".encode() for number in range(-(-count // 32)))
    drawn = b"".join(hashlib.sha256(seed).digest() for seed in seeds)[:count]
    digest = hashlib.sha256(b"".join(struct.pack("<f", (byte - 128) / 64) for byte in drawn)).hexdigest()
    for name in sorted({"seeded", *_object(golden, "answers")}):
        answer = _object(_object(golden, "answers"), name)
        found = {"input_shape": shape} | ({"input_sha256": digest} if name == "seeded" else {})
        yield from _compare(f"golden.json: {name}", answer, found)
        logits = _list(answer, "logits")
        if len(logits) != classes or not all(type(x) in (int, float) and abs(x) <= MAX_FLOAT for x in logits):
            yield f"golden.json: {name}: has not {classes} finite logits"


def check_receipt(receipt: dict[str, Any], weights: Weights) -> Iterator[str]:
    """Compare the receipt's output and every one of its tensors with the file."""
    found = {"sha256": weights.sha256, "size_bytes": weights.size_bytes}
    yield from _compare("receipt.json: output", _object(receipt, "output"), found)
    lines = [line for line in _list(receipt, "tensors") if isinstance(line, dict)]
    stated = {line.get("name"): line for line in lines}
    tensors = {tensor.name: tensor for tensor in weights.tensors}
    for name in sorted({*map(str, stated)} ^ tensors.keys()):
        yield f"receipt.json: tensor {name} is {'only in the file' if name in tensors else 'not in the file'}"
    for name in sorted(tensors.keys() & stated.keys()):
        line, tensor = stated[name], tensors[name]
        real = (DTYPES[tensor.code][0], list(tensor.shape), weights.tensor_sha256[name])
        if (line.get("dtype"), line.get("shape"), line.get("sha256")) != real:
            yield f"receipt.json: tensor {name} is another: found {real[0]} {real[1]} sha256 {real[2]}"


def check_classifier(config: dict[str, Any], weights: Weights) -> Iterator[str]:
    """Compare the number of classes, and of features where the classifier is called `head.fc`."""
    shapes, classes = {each.name: each.shape for each in weights.tensors}, config.get("num_classes")
    own = shapes.get("head.fc.weight", (classes, config.get("num_features")))
    if len(own) != 2:
        yield f"model.safetensors: head.fc.weight has the shape {own}"
    elif classes and not any(len(shape) > 1 and shape[0] == own[0] for shape in shapes.values()):
        yield f"model.safetensors: has no classifier of {classes} classes"
    else:
        yield from _compare("config.json", config, {"num_classes": own[0], "num_features": own[1]})


def check_statement(folder: Path, statement: dict[str, Any], weights: Weights) -> Iterator[str]:
    """Compare every file's digest and the counts with the statement."""
    stated = _object(statement, "files")
    there = {file.name for file in folder.iterdir()} - {"statement.json", "model.sig"}
    yield from _compare("statement.json", stated, _digests(folder, stated.keys() | there))
    counts = {"parameters": weights.parameters, "tensors": len(weights.tensors)}
    yield from _compare("statement.json", statement, counts)


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    there = {file.name for file in folder.iterdir()}
    return {name: _digest(folder / name)[0] if name in there else "no such file" for name in sorted(names)}


def _compare(what: str, stated: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    for key, value in found.items():
        if stated.get(key) != value:
            yield f"{what}: {key} is {stated.get(key)}, found {value}"


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    return dict(document[key]) if isinstance(document.get(key), dict) else {}


def _list(document: dict[str, Any], key: str) -> list[Any]:
    return list(document[key]) if isinstance(document.get(key), list) else []


def read_and_digest(file: Path) -> Weights:
    """Read a safetensors file: its header strictly, its data only to be digested."""
    sha256, size_bytes = _digest(file)
    with file.open("rb") as stream:
        head = stream.read(8)
        if len(head) < 8:
            raise Unsound(f"{file}: is too short for a header")
        (length,) = struct.unpack("<Q", head)
        if length > min(MAX_HEADER_BYTES, size_bytes - 8):
            raise Unsound(f"{file}: says that its header has {length} bytes")
        tensors = _read_header(file, stream.read(length), size_bytes - 8 - length)
    digests = {
        tensor.name: _digest(file, 8 + length + tensor.start, tensor.end - tensor.start)[0]
        for tensor in tensors
    }
    return Weights(sha256=sha256, size_bytes=size_bytes, tensors=tensors, tensor_sha256=digests)


def _read_header(file: Path, data: bytes, data_bytes: int) -> tuple[Tensor, ...]:
    try:
        header = json.loads(data, object_pairs_hook=_no_twins)
        header.pop("__metadata__", None)
        tensors = [
            Tensor(str(name), str(row["dtype"]), tuple(row["shape"]), *row["data_offsets"])
            for name, row in header.items()
        ]
        tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unsound(f"{file}: its header is not sound: {str(error)[:100]}") from None
    at = 0
    for tensor in tensors:
        numbers = (*tensor.shape, tensor.start, tensor.end)
        if tensor.code not in DTYPES or any(type(n) is not int or n < 0 for n in numbers):
            raise Unsound(f"{file}: tensor {tensor.name[:80]!a} has an odd dtype, shape or offset")
        if tensor.end - tensor.start != math.prod(tensor.shape) * DTYPES[tensor.code][1]:
            raise Unsound(f"{file}: tensor {tensor.name[:80]!a} has not the bytes that its shape takes")
        if tensor.start != at:
            raise Unsound(f"{file}: there is a gap or an overlap before tensor {tensor.name[:80]!a}")
        at = tensor.end
    if at != data_bytes:
        raise Unsound(f"{file}: has {data_bytes} bytes of data, its tensors take {at}")
    return tuple(tensors)


def _no_twins(items: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(items)) != len(items):
        raise ValueError("a key stands twice in one object")
    return dict(items)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        with _open(file) as stream:
            document = json.loads(stream.read(MAX_JSON_BYTES), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise Unsound(f"{file}: cannot be read: {str(error)[:100]}") from None
    if not isinstance(document, dict):
        raise Unsound(f"{file}: holds no object")
    return document


def _open(file: Path) -> BinaryIO:
    """Open a file; a pipe or a device, which may have no end, is refused."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise Unsound(f"{file}: is no regular file")
    return file.open("rb")


def _digest(file: Path, start: int = 0, length: int = sys.maxsize) -> tuple[str, int]:
    """Digest a file, or a part of it, and count its bytes."""
    sha256, size_bytes = hashlib.sha256(), 0
    with _open(file) as stream:
        stream.seek(start)
        while chunk := stream.read(min(CHUNK_BYTES, length - size_bytes)):
            sha256.update(chunk)
            size_bytes += len(chunk)
    if size_bytes < length < sys.maxsize:
        raise Unsound(f"{file}: became shorter while it was read")
    return sha256.hexdigest(), size_bytes


if __name__ == "__main__":
    sys.exit(main())

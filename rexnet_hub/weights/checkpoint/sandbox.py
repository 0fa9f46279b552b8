"""Open a file of weights that cannot change while it is read, and list its tensors.

A pickle is listed in a child process with limits, so that even a crash is a refusal. A safetensors header
is bounded JSON, and is read here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from rexnet_hub.errors import CheckpointError
from rexnet_hub.identity import Identity
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.records import parse_record
from rexnet_hub.weights.checkpoint.container import is_safetensors, list_tensors
from rexnet_hub.weights.checkpoint.manifest import Manifest, require_sound
from rexnet_hub.weights.digest import ByteSource, FileDigest, private_copy, write_all

MEMORY_BYTES = 256 << 20
CPU_SECONDS = 15
# The checksums of a zip container take time in proportion; a slow machine does 50 MB a second.
BYTES_PER_CPU_SECOND = 50_000_000
NO_GUARDS = (
    "is a pickle, and Windows has no limits to read one under: convert it on Linux, macOS or in WSL "
    "(rexnet-hub convert or stage) and bring the safetensors file or the folder here"
)
# How much longer than its CPU seconds a child may take by the clock.
PATIENCE = 4

_VERSION = ("manifest", 1)
_CHILD = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from rexnet_hub.weights.checkpoint.sandbox import serve; serve(sys.argv[2])"
)


@contextlib.contextmanager
def opened_weights(
    file: Path, *, folder: Path | None = None, identity: Identity | None = None, wrapper: str | None = None
) -> Iterator[tuple[ByteSource, FileDigest, Manifest]]:
    """Open a file of weights, digested before anything is parsed, its tensors listed.

    Args:
        folder: The disk that has room for a private copy.
        wrapper: The key of the state dict that is meant, where the file has several.

    Raises:
        FileProblem: The file cannot be read, or changed meanwhile.
        MismatchError: It is not the file that is stated.
        CheckpointError: It was refused, or reading it broke a limit.
    """
    identity = identity or Identity()
    with private_copy(file, folder=folder, also=identity.digests) as (copy, digest):
        identity.require(file, digest)
        yield copy, digest, list_in_child(copy, wrapper=wrapper)


def list_in_child(source: ByteSource, *, wrapper: str | None = None) -> Manifest:
    """List the tensors of a file, safely whatever it holds.

    Args:
        source: A private copy; the child reads the same open file.

    Raises:
        CheckpointError: The file was refused, or reading it broke a limit.
    """
    if is_safetensors(source):
        return list_tensors(source, wrapper=wrapper)
    if sys.platform == "win32":
        raise source.refuse(NO_GUARDS)
    seconds = CPU_SECONDS + source.size_bytes // BYTES_PER_CPU_SECOND
    request = json.dumps({"name": source.name, "wrapper": wrapper, "seconds": seconds})
    exit_code, output = _ask_child(source, request)
    if exit_code == -signal.SIGALRM:
        raise source.refuse(f"could not be read within {PATIENCE * seconds} seconds")
    if exit_code != 0:
        raise source.refuse(
            f"broke the process that read it (exit {exit_code}, limits {MEMORY_BYTES >> 20} MiB "
            f"and {seconds} s): it is damaged or hostile"
        )
    kind, _, answer = output.partition(b" ")
    if kind == b"problem":
        raise source.refuse(answer.decode())
    return require_sound(source, parse_record(Manifest, answer, version=_VERSION, max_bytes=len(answer)))


def _ask_child(source: ByteSource, request: str) -> tuple[int, bytes]:
    """List the tensors in a new process; return its exit code and its answer."""
    import subprocess  # the child, which imports this module too, needs none

    # Isolated, without site packages: nothing of the surroundings is imported.
    command = [sys.executable, "-I", "-S", "-c", _CHILD, str(PACKAGE_DIR.parent), request]
    child = subprocess.run(command, stdin=source.descriptor, capture_output=True, check=False, env={})
    return child.returncode, child.stdout


def serve(request: str) -> None:
    """Answer one request on standard output: the child's whole life. The file is its standard input."""
    import rexnet_hub.weights.checkpoint.pickled  # noqa: F401 - before the limits: reading imports nothing

    options = json.loads(request)
    set_limits(options["seconds"])
    source = ByteSource(name=options["name"], descriptor=0, size_bytes=os.fstat(0).st_size)
    try:
        manifest = list_tensors(source, wrapper=options["wrapper"])
        answer = "manifest " + json.dumps(dict([_VERSION]) | vars(manifest), default=vars)
    except CheckpointError as error:
        answer = f"problem {error.problem}"
    except MemoryError:
        answer = f"problem takes more than {MEMORY_BYTES >> 20} MiB to read: it is damaged or hostile"
    write_all(1, answer.encode(errors="backslashreplace"))


def set_limits(cpu_seconds: int) -> None:
    """Bound what this process may take: memory, time, no new files, no core dump."""
    if sys.platform == "win32":
        raise NotImplementedError(NO_GUARDS)
    import resource

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE * cpu_seconds)
    limits = (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, limit in limits:
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard < 0 else min(limit, hard), hard))

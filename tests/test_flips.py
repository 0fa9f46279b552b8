"""A flipped bit in any file of a repo is found by `verify`, and by a load in every file that it reads."""

import random

import pytest
from cases import slow

from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.errors import RexnetHubError
from rexnet_hub.index import read_lock
from rexnet_hub.layout import CARD_FILE, CONFIG_FILE, RECEIPT_FILE, REPO_FILES, WEIGHTS_FILE
from rexnet_hub.verify import FALSE, verify_model

FEW, MANY = 6, 500


def flip(file, at, bit):
    """Turn one bit of a file over; once more, and it is as it was."""
    with file.open("r+b") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ bit]))


def silent(file, find, count):
    """List the flips of a file, drawn by its name, that are not found."""
    draw, size_bytes = random.Random(file.name), file.stat().st_size
    passed = []
    for _ in range(count):
        at, bit = draw.randrange(size_bytes), 1 << draw.randrange(8)
        flip(file, at, bit)
        try:
            if not find():
                passed.append((at, bit))
        except RexnetHubError:
            pass
        finally:
            flip(file, at, bit)
    return passed


@pytest.fixture
def verify(entry, checkpoint, repo, own_index):
    """Verify the repo: which claims are false, without the released file or with it."""
    measured = read_lock().of(entry.name)

    def false_claims(checkpoint=None):
        findings = verify_model(entry, checkpoint=checkpoint, repo=repo, measured=measured)
        return [finding.claim for finding in findings if finding.verdict == FALSE]

    assert false_claims() == false_claims(checkpoint) == []
    return false_claims


COUNTS = [FEW, slow(MANY)]


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", REPO_FILES)
def test_a_flip_is_found_by_verify(name, count, verify, repo, checkpoint):
    """Anywhere in any file; whether the released file is here makes no difference."""
    assert silent(repo / name, verify, count) == []
    assert silent(repo / name, lambda: verify(checkpoint), FEW) == []


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE, RECEIPT_FILE])
def test_a_flip_is_found_by_a_load(name, count, repo):
    """Anywhere in weights, config and receipt; the preprocessing is read from the latter two."""
    assert silent(repo / name, lambda: AutoModel.from_pretrained(repo) and False, count) == []
    if name != WEIGHTS_FILE:
        assert silent(repo / name, lambda: AutoImageProcessor.from_pretrained(repo) and False, count) == []


def test_a_flip_that_nobody_looks_for_is_silent(repo):
    """The check says no: a load reads no card."""
    assert len(silent(repo / CARD_FILE, lambda: AutoModel.from_pretrained(repo) and False, 2)) == 2


@pytest.mark.parametrize("line_end", ["\x0b", *map(slow, ("\x0c", "\x1c", "\x85", " "))])
def test_only_a_line_feed_ends_a_line_of_a_card(verify, repo, line_end):
    """What Python too takes for the end of a line is another text."""
    card = (repo / CARD_FILE).read_text()
    (repo / CARD_FILE).write_text(card.replace("\n## ", f"{line_end}## ", 1))
    assert verify() == ["card"]

"""A licence's own text is one file more of the repo: stated, compared, published, signed and loaded."""

import shutil

import pytest

from rexnet_hub.auto import AutoModel
from rexnet_hub.errors import FileProblem, SignatureProblem
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.index import Measured, load_index
from rexnet_hub.locate import find_repo
from rexnet_hub.publish import plan_publish, publish_all, stage
from rexnet_hub.publish.local import list_staged
from rexnet_hub.signing import verify_signature
from rexnet_hub.verify import FALSE, verify_model
from rexnet_hub.weights.receipt import read_receipt

pytestmark = [
    pytest.mark.usefixtures("licensed", "quick_claims"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]
TEXT = "The Small Licence, version 1\n\nDo as you would be done by. \N{COPYRIGHT SIGN}\n"
SAID = "  License Name: Small Licence\n  License File: terms.txt\n"


@pytest.fixture
def licensed(own_small_index):
    """The small index, whose model has a licence of its own, its text beside the index."""
    file = own_small_index / "small.yml"
    file.write_text(
        file.read_text().replace("  License: MIT\n", "").replace("- Name: small\n", f"- Name: small\n{SAID}")
    )
    (own_small_index / "terms.txt").write_bytes(TEXT.encode())
    return own_small_index


@pytest.fixture
def repo(small_index, tmp_path):
    """The staged repo of the small model with its licence."""
    released = next(small_index.parent.glob("*.pth"))
    return stage(load_index().find("small"), released, tmp_path / "repo" / "small", measured=Measured())


def false(folder):
    return {
        f.claim: f.found for f in verify_model(load_index().find("small"), repo=folder) if f.verdict == FALSE
    }


def test_a_staged_repo_has_the_licence_as_the_entry_names_it(repo):
    """The text is staged byte for byte, the receipt states it, the card links it, and verify finds it so."""
    assert (repo / "LICENSE").read_bytes() == TEXT.encode()
    assert "LICENSE" in read_receipt(repo / "receipt.json").files
    card = (repo / "README.md").read_text()
    assert "license: other\nlicense_name: Small Licence\nlicense_link: LICENSE\n" in card
    assert '"license": "other"' in (repo / "config.json").read_text()
    assert false(repo) == {}
    assert set(list_staged(repo)) == {
        "LICENSE",
        "README.md",
        "config.json",
        "model.safetensors",
        "receipt.json",
    }


def test_another_text_is_found(repo, licensed):
    """A licence that was changed, removed, or is another in the index since is no more what was staged."""
    (repo / "LICENSE").write_text("Do as you like.\n")
    assert "LICENSE not as written" in false(repo)["files"]
    (repo / "LICENSE").unlink()
    assert false(repo) == {"files": "LICENSE not as written", "license": "another, or none"}
    with pytest.raises(FileProblem, match="is not a whole repo: LICENSE missing"):
        list_staged(repo)
    (repo / "LICENSE").write_bytes(TEXT.encode())
    assert false(repo) == {}
    (licensed / "terms.txt").write_text("Version 2\n")
    assert false(repo) == {"license": "another, or none"}


def test_a_licence_that_nothing_states_belongs_to_no_repo(small_staged, tmp_path):
    """A LICENSE beside a staged repo whose receipt states none is still refused."""
    folder = shutil.copytree(small_staged, tmp_path / "small")
    (folder / "LICENSE").write_text("MIT\n")
    with pytest.raises(FileProblem, match="holds what belongs to no repo: LICENSE"):
        list_staged(folder)


def publish(to="hf:org", **options):
    (outcome,) = publish_all(["small"], to, apply=True, **options)
    return outcome


@pytest.mark.slow
def test_a_licence_is_published_and_let_go(hub, licensed):
    """The file is of the commit, found done again, changed with the index, and removed only when told to."""
    assert publish().problem is None
    repo = hub.repos["org/small"]
    assert repo.files()["LICENSE"] == TEXT.encode()
    head = repo.head
    assert (publish().problem, repo.head) == (None, head)
    (licensed / "terms.txt").write_text("Version 2\n")
    assert publish().problem is None
    assert repo.files()["LICENSE"] == b"Version 2\n"
    file = licensed / "small.yml"
    file.write_text(file.read_text().replace(SAID, "  License: MIT\n"))
    assert "LICENSE of an earlier publication would be removed; --drop-files" in str(publish().problem)
    assert publish(drop_files=True).problem is None
    assert "LICENSE" not in repo.files()


@pytest.mark.parametrize("to", ["hf:org", "folder"])
def test_a_licence_of_others_is_not_overwritten(hub, repo, tmp_path, to):
    """A LICENSE that somebody else put there stops the publication, unless it is the same text."""
    target = tmp_path / "folder"
    if to == "folder":
        to = target
        (target / "small").mkdir(parents=True)
        (target / "small" / "LICENSE").write_bytes(b"theirs\n")
    else:
        hub.create("org/small", {"LICENSE": b"theirs\n"})
    (stop,) = plan_publish(repo, to).stops
    assert stop.startswith("LICENSE there is of others and would be overwritten")
    if to == target:
        (target / "small" / "LICENSE").write_bytes(TEXT.encode())
    else:
        hub.push("org/small", {"LICENSE": TEXT.encode()})
    assert plan_publish(repo, to).stops == ()


@pytest.mark.slow
def test_a_signed_repo_has_it_signed(hub, licensed, keys, tmp_path):
    """A signature is of the licence too: the repo is checked and loaded with it, and never with another."""
    private, public = keys
    assert publish(tmp_path / "folder", sign_key=private, sign_version=1).problem is None
    folder = tmp_path / "folder" / "small"
    assert "LICENSE" in verify_signature(folder, public, name="small").files
    assert publish(sign_key=private, sign_version=1).problem is None
    found = find_repo("org/small", Access(trusted_key=public))
    assert (found.folder / "LICENSE").read_bytes() == TEXT.encode()
    assert AutoModel.from_pretrained("org/small", trusted_key=public).num_classes == 10
    (folder / "LICENSE").write_text("another\n")
    with pytest.raises(SignatureProblem, match="not the signed one: LICENSE"):
        verify_signature(folder, public, name="small")
    (folder / "LICENSE").unlink()
    with pytest.raises(SignatureProblem):
        verify_signature(folder, public, name="small")


@pytest.mark.slow
def test_a_release_is_gone_back_to_with_its_licence(hub, licensed):
    """An earlier release comes back whole, its licence with it."""
    assert publish(tag="v1").problem is None
    (licensed / "terms.txt").write_text("Version 2\n")
    assert publish(tag="v2").problem is None
    assert publish(back_to="v1", tag="v1.1").problem is None
    assert hub.repos["org/small"].files()["LICENSE"] == TEXT.encode()

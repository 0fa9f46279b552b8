"""What people wrote into a card on the Hub stays when we publish again; what both wrote is a stop."""

import shutil

import pytest
from huggingface_hub import HfApi, ModelCard, hf_api, hf_hub_download, metadata_update

from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.index import load_index
from rexnet_hub.patience import Patience
from rexnet_hub.publish import publish_all
from rexnet_hub.signing import sign_repo, verify_signature

QUICK = Patience(step_seconds=5, attempts=3, wait_seconds=0)
THEIRS = "Fine-tuned by us on flowers.\n\n"

pytestmark = [
    pytest.mark.usefixtures("own_small_index", "quick_claims"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]


def publish(source="small", **options):
    """Publish as the command does, and return what became of it."""
    (outcome,) = publish_all([str(source)], "hf:org", patience=QUICK, **{"apply": True} | options)
    return outcome


def card_of(hub):
    return hub.repos["org/small"].files()["README.md"].decode()


def fields_of(hub):
    """Read the card's metadata as the Hub's client does."""
    return ModelCard(card_of(hub)).data.to_dict()


def edit(hub, old, new):
    """Edit the card as people do in the Hub's editor."""
    card = card_of(hub)
    assert old in card
    api = HfApi(endpoint=hub.url)
    api.upload_file(
        path_or_fileobj=card.replace(old, new).encode(), path_in_repo="README.md", repo_id="org/small"
    )


def download(hub, folder):
    """Download all files with the Hub's client to a folder of their own."""
    folder.mkdir()
    for name in hub.repos["org/small"].files():
        shutil.copyfile(hf_hub_download("org/small", name), folder / name)
    return folder


def add_words(hub):
    edit(hub, "## Use it\n", f"{THEIRS}## Use it\n")


def reindex(index, old, new):
    file = index / "small.yml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.slow
def test_people_and_we_write_one_card(hub, own_small_index, monkeypatch, tmp_path):
    """A paragraph and a tag of people stand through two publications with ours; the repo holds and loads."""
    monkeypatch.setattr(hf_api.api, "endpoint", hub.url)  # which is read when the client is imported
    assert publish().problem is None
    add_words(hub)
    tags = [*fields_of(hub)["tags"], "flowers"]
    metadata_update("org/small", {"language": "en", "tags": tags}, overwrite=True)
    assert main(["verify", "small", "--repo", str(download(hub, tmp_path / "edited"))]) == 0
    for number in ("78.5", "79.25"):
        reindex(own_small_index, "77.86" if number == "78.5" else "78.5", number)
        outcome = publish()
        assert (outcome.problem, outcome.plan.stops) == (None, ())
        assert card_of(hub).count(f"\n\n{THEIRS}## Use it\n") == 1
        assert (fields_of(hub)["tags"], fields_of(hub)["language"]) == (tags, "en")
        assert f"| ○ {number} % |" in card_of(hub)
        head, releases = hub.repos["org/small"].head, dict(hub.repos["org/small"].tags)
        assert publish(apply=False).plan.is_done
        assert publish().published.commit == head
        assert (hub.repos["org/small"].head, hub.repos["org/small"].tags) == (head, releases)
        assert main(["verify", "small", "--repo", str(download(hub, tmp_path / number))]) == 0
    AutoModel.from_pretrained("org/small")


def test_a_staged_folder_takes_in_what_people_wrote(hub, own_small_index, tmp_path):
    """By either road the bytes are one; the folder itself stays as it is."""
    publish()
    add_words(hub)
    reindex(own_small_index, "77.86", "78.5")
    staged = tmp_path / "staged" / "small"
    assert main(["stage", "small", "--out", str(staged)]) == 0
    before = {file.name: file.read_bytes() for file in staged.iterdir()}
    by_name, by_folder = publish(apply=False), publish(staged)
    assert by_folder.problem is None
    assert by_name.plan.files == by_folder.plan.files
    assert THEIRS in card_of(hub)
    assert {file.name: file.read_bytes() for file in staged.iterdir()} == before


def test_a_staged_card_in_another_layout_is_ours_later(hub, own_small_index, tmp_path):
    """What the client or a person wrote anew in a staged folder is published in our layout, and known."""
    staged = tmp_path / "staged" / "small"
    assert main(["stage", "small", "--out", str(staged), "--to", "hf:org"]) == 0
    card = str(ModelCard((staged / "README.md").read_text())).replace(
        "license: mit\n", "license: mit # all\n"
    )
    (staged / "README.md").write_text(card)
    assert publish(staged).problem is None
    reindex(own_small_index, "77.86", "78.5")
    assert publish().problem is None
    assert "\n# all\nlicense: mit\n" in card_of(hub)
    assert "| ○ 78.5 % |" in card_of(hub)


@pytest.mark.slow
def test_a_request_takes_in_what_people_wrote(hub, own_small_index):
    """A pull request keeps their lines, and is opened once."""
    publish()
    add_words(hub)
    reindex(own_small_index, "77.86", "78.5")
    requests = [publish(as_pr=True).published.request for _ in range(2)]
    assert requests == ["refs/pr/1"] * 2
    card = hub.repos["org/small"].files("refs/pr/1")["README.md"].decode()
    assert THEIRS in card
    assert "| ○ 78.5 % |" in card


def test_a_conflict_is_a_stop_that_shows_the_lines(hub, own_small_index, capsys):
    """Their number in the place of ours: what we wrote, theirs and our new one are printed."""
    publish()
    add_words(hub)
    edit(hub, "| ○ 77.86 % |", "| ○ 80 % |")
    reindex(own_small_index, "77.86", "78.5")
    head = hub.repos["org/small"].head
    assert main(["publish", "small", "--to", "hf:org", "--apply"]) == 1
    said = capsys.readouterr()
    for text in ("77.86 %", "80 %", "78.5 %"):
        assert f"| Top-1 accuracy | ○ {text} |" in said.err
    assert "or let our card win with --drop-edits" in said.err
    assert "  written there: Fine-tuned by us on flowers." in said.out
    assert hub.repos["org/small"].head == head
    assert publish(drop_edits=True).problem is None
    assert "| ○ 78.5 % |" in card_of(hub)
    assert "flowers" not in card_of(hub)


def test_a_signed_folder_takes_nothing_in(hub, own_small_index, tmp_path, keys):
    """Signed before, it must not change, and the stop says so; signed while publishing, it is merged."""
    private, public = keys
    publish()
    add_words(hub)
    reindex(own_small_index, "77.86", "78.5")
    staged = tmp_path / "staged" / "small"
    assert main(["stage", "small", "--out", str(staged), "--to", "hf:org"]) == 0
    sign_repo(staged, private, entry=load_index().find("small"), version=1)
    outcome = publish(staged)
    assert "would lose 1 line" in outcome.problem
    assert "--sign KEY" in outcome.problem
    for source in (staged, "small"):
        outcome = publish(source, sign_key=private, sign_version=2)
        assert outcome.problem is None
        assert THEIRS in card_of(hub)
        folder = download(hub, tmp_path / ("folder" if source is staged else "name"))
        assert verify_signature(folder, public, name="small").version == 2


@pytest.fixture
def keys(tmp_path):
    """A key to sign with, and the one to check with."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def squash(hub):
    repo = hub.repos["org/small"]
    repo.branches["main"] = repo.commit(None, repo.commits[repo.head].tree, "squashed")


@pytest.mark.slow
def test_where_nothing_shows_what_is_ours_nothing_is_merged(hub, own_small_index):
    """After a squash the receipt still tells our unchanged card; once ours changes, the stop says why."""
    publish()
    add_words(hub)
    publish()
    squash(hub)
    assert publish(apply=False).plan.stops == ()
    assert publish().problem is None
    squash(hub)
    reindex(own_small_index, "77.86", "78.5")
    outcome = publish()
    assert "nothing shows which are ours" in outcome.problem
    assert "with --drop-edits they go" in outcome.problem
    assert THEIRS in card_of(hub)
    assert publish(drop_edits=True).problem is None


@pytest.mark.slow
def test_a_release_that_is_published_again_loses_nothing_unsaid(hub, own_small_index):
    """Its bytes are those that its tag names; people's lines since are a stop, those of then stay theirs."""
    publish(tag="v1")
    edit(hub, "## Licence\n", "Words of then.\n\n## Licence\n")
    reindex(own_small_index, "77.86", "78.5")
    publish(tag="v2")
    released = card_of(hub)
    assert "Words of then." in released
    add_words(hub)
    reindex(own_small_index, "78.5", "79.25")
    publish(tag="v3")
    outcome = publish(back_to="v2")
    assert "would lose 1 line" in outcome.problem
    assert outcome.plan.edits == (THEIRS.strip(),)
    assert publish(back_to="v2", drop_edits=True).problem is None
    assert card_of(hub) == released
    outcome = publish()
    assert outcome.problem is None
    assert card_of(hub) == released.replace("78.5", "79.25")
    assert publish(back_to="v1").plan.edits == ("Words of then.",)


def test_stand_ins_ask_nothing_of_a_real_hub(hub, monkeypatch):
    """They are refused before the card there is read."""
    monkeypatch.setattr("rexnet_hub.publish.plan.is_loopback", lambda url: False)
    assert "its weights are stand-ins" in publish().problem
    assert hub.log == []


def test_no_message_makes_peoples_lines_ours(hub, own_small_index):
    """A commit of people that bears the marks of ours is not believed: the receipt states our card."""
    publish()
    repo = hub.repos["org/small"]
    last = repo.commits[repo.head]
    theirs = card_of(hub).replace("## Use it\n", f"{THEIRS}## Use it\n")
    added = f"Card-Added: {theirs[: theirs.index(THEIRS)].count(chr(10)) + 1}-"
    for mark in ("", f"{added}{9 * '9'}", f"{added}1", f"{added}{'9' * 5000}"):
        hub.push("org/small", {"README.md": theirs.encode()}, last.title, f"{last.message}\n{mark}")
    reindex(own_small_index, "77.86", "78.5")
    assert publish().problem is None
    assert card_of(hub) == theirs.replace("77.86", "78.5")


def test_a_merged_request_whose_message_was_cut_is_ours(hub, own_small_index):
    """The Hub merges a pull request under a message of its own; what we wrote in it goes when ours does."""
    publish()
    reindex(own_small_index, "- Name: small\n", "- Name: small\n  Description: Second words.\n")
    assert publish(as_pr=True).problem is None
    hub.push("org/small", hub.repos["org/small"].files("refs/pr/1"), "Publish small (#1)", "- Publish small")
    add_words(hub)
    reindex(own_small_index, "Second", "Third")
    assert publish().problem is None
    card = card_of(hub)
    assert THEIRS in card
    assert ("Second words." in card, "Third words." in card) == (False, True)


@pytest.mark.slow
def test_a_folders_card_is_merged_or_a_stop(own_small_index, tmp_path):
    """What people wrote into a folder's card stays while ours is the same; a change of ours is a stop."""
    card = tmp_path / "out" / "small" / "README.md"

    def to_folder(**options):
        (outcome,) = publish_all(["small"], tmp_path / "out", apply=True, **options)
        return outcome

    assert to_folder().problem is None
    edited = card.read_text().replace("## Use it\n", f"{THEIRS}## Use it\n")
    card.write_text(edited)
    assert to_folder().problem is None
    reindex(own_small_index, "77.86", "78.5")
    assert "nothing shows which are ours" in to_folder().problem
    assert card.read_text() == edited
    assert to_folder(drop_edits=True).problem is None
    assert "| ○ 78.5 % |" in card.read_text()
    assert THEIRS not in card.read_text()


def test_a_card_that_is_no_text_is_left(hub, own_small_index):
    """What is not UTF-8 cannot be written back as it was, so it is never merged."""
    publish()
    hub.push("org/small", {"README.md": card_of(hub).encode() + b"\xff theirs\n"})
    reindex(own_small_index, "77.86", "78.5")
    assert "nothing shows which are ours" in publish().problem

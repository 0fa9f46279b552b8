"""A repo belongs to more people than us: a publication removes its own files only, and only when told to."""

import hashlib
from dataclasses import replace

import pytest
from loopback import READ

from rexnet_hub.cli import main
from rexnet_hub.errors import PublishError
from rexnet_hub.index import load_index
from rexnet_hub.patience import Patience
from rexnet_hub.publish import apply_plan, describe_plan, plan_publish, publish_all
from rexnet_hub.signing import sign_repo
from rexnet_hub.weights.receipt import read_receipt, render_receipt

QUICK = Patience(step_seconds=5, attempts=3, wait_seconds=0)
THEIRS = {
    ".eval_results/imagenet.yaml": b"top1: 77.8\n",
    "LICENSE": b"MIT\n",
    "onnx/model.onnx": b"\x08\x07",
    "picture.png": b"\x89PNG",
}

pytestmark = [
    pytest.mark.usefixtures("own_small_index", "quick_claims"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]


@pytest.fixture
def private_key(tmp_path):
    """A key to sign with."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    formats = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = tmp_path / "private.pem"
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *formats))
    return file


def publish(staged, **options):
    return apply_plan(plan_publish(staged, "hf:org", patience=QUICK, **options), patience=QUICK)


def changed(staged):
    """Change the staged card, as a person may: a line more."""
    (staged / "README.md").write_text((staged / "README.md").read_text() + "\nmore\n")
    return {file.name: file.read_bytes() for file in staged.iterdir()}


def told(plan):
    return "\n".join(describe_plan(plan))


def test_files_of_others_stay(hub, staged, files):
    """What people put beside ours is no difference, stays through the next commit, and the plan names it."""
    publish(staged)
    repo, head = hub.repos["org/small"], hub.push("org/small", THEIRS)
    plan = plan_publish(staged, "hf:org")
    assert (plan.is_done, plan.others) == (True, tuple(sorted(THEIRS)))
    assert (publish(staged).commit, len(repo.tags)) == (head, 1)
    ours = changed(staged)
    plan = plan_publish(staged, "hf:org")
    assert "of others, and stays: .eval_results/imagenet.yaml, LICENSE" in told(plan)
    assert {change.kind for change in plan.changes} == {"keep", "change"}
    published = publish(staged)
    assert repo.files() == ours | THEIRS
    assert repo.tags[published.tag] == repo.head


@pytest.mark.parametrize("on", ["POST .*/commit/", "POST .*/tag/"])
def test_files_of_others_are_no_difference_after_a_fault(hub, staged, files, on):
    """A commit or tag whose answer is lost is found done in a repo with other people's files."""
    hub.create("org/small", THEIRS)
    hub.fault(on, "lost")
    published = publish(staged)
    repo = hub.repos["org/small"]
    assert repo.files() == files | THEIRS
    assert (repo.tags, len(repo.commits)) == ({published.tag: repo.head}, 3)


def test_a_request_beside_files_of_others_is_found(hub, staged, files):
    """A pull request in a repo with other people's files is opened once, and removes none."""
    hub.create("org/small", THEIRS)
    first, second = (publish(staged, as_pr=True, token=READ) for _ in range(2))
    assert first.request == second.request == "refs/pr/1"
    assert hub.repos["org/small"].files("refs/pr/1") == files | THEIRS


def test_a_repo_that_somebody_fills_while_it_is_made_is_left(hub, staged):
    """Made and filled by another between plan and apply, with a card of theirs: nothing is overwritten."""
    plan = plan_publish(staged, "hf:org", patience=QUICK)
    card = {"README.md": b"# theirs\n"}
    hub.fault("POST /api/repos/create", "before", call=lambda: hub.create("org/small", card))
    with pytest.raises(PublishError, match="appeared since the plan was made"):
        apply_plan(plan, patience=QUICK)
    assert hub.repos["org/small"].files() == card


@pytest.mark.parametrize("to", ["hf:org", "folder"])
def test_a_signature_is_never_lost_unsaid(hub, staged, private_key, tmp_path, to):
    """The same run without a key stops, on a Hub and in a folder; told to, it drops the signature."""
    to = to if to == "hf:org" else tmp_path / "folder"
    signed = publish_all(["small"], to, apply=True, sign_key=private_key, sign_version=1)
    assert [outcome.problem for outcome in signed] == [None]
    plan = plan_publish(staged, to)
    assert [change.name for change in plan.changes if change.kind == "remove"] == [
        "model.sig",
        "statement.json",
    ]
    (outcome,) = publish_all(["small"], to, apply=True)
    assert "the signature there would be lost" in outcome.problem
    assert "--drop-signature" in outcome.problem
    (outcome,) = publish_all(["small"], to, apply=True, drop_signature=True)
    assert (outcome.problem, outcome.published is None) == (None, False)
    (outcome,) = publish_all(["small"], to, apply=True)
    assert outcome.plan.is_done


def test_a_file_of_ours_is_removed_only_when_told(hub, staged, files):
    """A file that the receipt at the head states, and still holds, is ours; one that changed is theirs."""
    receipt = read_receipt(staged / "receipt.json")
    extra = {"LICENSE": b"MIT\n", "NOTICE": b"ours\n"}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in extra.items()}
    older = render_receipt(replace(receipt, files={**receipt.files, **digests})).encode()
    hub.create("org/small", files | extra | {"receipt.json": older, "NOTICE": b"theirs now\n"})
    plan = plan_publish(staged, "hf:org", patience=QUICK)
    assert plan.others == ("NOTICE",)
    with pytest.raises(
        PublishError, match="LICENSE of an earlier publication would be removed; --drop-files"
    ):
        apply_plan(plan, patience=QUICK)
    publish(staged, drop_files=True)
    assert hub.repos["org/small"].files() == files | {"NOTICE": b"theirs now\n"}


def test_a_signature_of_others_is_asked_about(hub, staged, files):
    """Beside our files somebody else's signature would be a false one: it goes only when told."""
    hub.create("org/small", {"model.sig": b"{}", "LICENSE": b"theirs"})
    with pytest.raises(PublishError, match="the signature there would be lost"):
        publish(staged)
    publish(staged, drop_signature=True)
    assert hub.repos["org/small"].files() == files | {"LICENSE": b"theirs"}


def test_a_signed_repo_takes_the_next_signature(hub, staged, private_key):
    """Signed again, nothing is lost, so nothing is asked."""
    entry = load_index().find("small")
    for version in (1, 2):
        sign_repo(staged, private_key, entry=entry, version=version)
        assert publish(staged).commit == hub.repos["org/small"].head


def staged_by_command(out, *words):
    assert main(["stage", "small", "--out", str(out), *words]) == 0
    return out


@pytest.mark.parametrize("to", ["hf:org", "hf:org/another", "folder"])
def test_a_folder_and_a_name_publish_the_same_bytes(hub, tmp_path, to):
    """By either road the bytes and the tag are one, wherever the folder was staged for; the folder stays."""
    to = to if to.startswith("hf:") else tmp_path / "out"
    (by_name,) = publish_all(["small"], to, apply=True)
    for place in ((), ("--to", "hf:org")):
        staged = staged_by_command(tmp_path / f"staged{len(place)}" / "small", *place)
        before = {file.name: file.read_bytes() for file in staged.iterdir()}
        (outcome,) = publish_all([str(staged)], to)
        assert (outcome.problem, outcome.plan.stops, outcome.plan.is_done) == (None, (), True)
        assert outcome.plan.files == by_name.plan.files
        assert {file.name: file.read_bytes() for file in staged.iterdir()} == before
    if isinstance(to, str):
        card = next(iter(hub.repos.values())).files()["README.md"].decode()
        assert "local-dir:" not in card
        assert f'"hf-hub:org/{"another" if "another" in to else "small"}"' in card


def test_lines_that_a_person_wrote_into_a_staged_card_are_published(hub, tmp_path):
    """Only the lines that name the place are rendered anew."""
    staged = staged_by_command(tmp_path / "staged" / "small")
    with (staged / "README.md").open("a") as card:
        card.write("\nFrom our own pen.\n")
    (outcome,) = publish_all([str(staged)], "hf:org", apply=True)
    assert outcome.problem is None
    card = hub.repos["org/small"].files()["README.md"].decode()
    assert card.endswith("\nFrom our own pen.\n")
    assert '"hf-hub:org/small"' in card


def test_a_folder_that_was_signed_for_another_place_is_refused(hub, tmp_path, private_key):
    """Another card would break its signature: it is staged for the place, or signed as it is published."""
    entry = load_index().find("small")
    staged = staged_by_command(tmp_path / "staged" / "small")
    sign_repo(staged, private_key, entry=entry, version=1)
    (outcome,) = publish_all([str(staged)], "hf:org")
    assert "is signed with a card for no place on a Hub" in outcome.problem
    (outcome,) = publish_all([str(staged)], "hf:org", sign_key=private_key, sign_version=1)
    assert (outcome.problem, outcome.plan.stops) == (None, ())
    right = staged_by_command(tmp_path / "right" / "small", "--to", "hf:org")
    sign_repo(right, private_key, entry=entry, version=1)
    (outcome,) = publish_all([str(right)], "hf:org", apply=True)
    assert outcome.problem is None
    assert '"hf-hub:org/small"' in hub.repos["org/small"].files()["README.md"].decode()

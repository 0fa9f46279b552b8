"""A repo belongs to more people than us: a publication removes its own files only, and only when told to."""

import hashlib
import json
from dataclasses import replace

import pytest
from loopback import READ

from rexnet_hub.auto import AutoImageProcessor
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_lines_that_a_person_wrote_into_a_staged_card_are_published(hub, tmp_path):
    """Only the lines that name the place are rendered anew; by name the lines are published too."""
    staged = staged_by_command(tmp_path / "staged" / "small")
    with (staged / "README.md").open("a") as card:
        card.write("\nFrom our own pen.\n")
    (outcome,) = publish_all([str(staged)], "hf:org", apply=True)
    assert outcome.problem is None
    card = hub.repos["org/small"].files()["README.md"].decode()
    assert card.endswith("\nFrom our own pen.\n")
    assert '"hf-hub:org/small"' in card
    (outcome,) = publish_all(["small"], "hf:org")
    assert outcome.plan.is_done


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


def test_a_revert_is_published(hub, own_small_index, staged, files, tmp_path):
    """Published, changed, put back, published again: the old files are the head, their tag is found done."""
    index = own_small_index / "small.yml"
    before = index.read_text()
    first = publish(staged)
    index.write_text(before.replace("License: MIT", "License: Apache-2.0"))
    second = publish(staged_by_command(tmp_path / "changed" / "small"))
    index.write_text(before)
    again = publish(staged)
    repo = hub.repos["org/small"]
    assert (repo.head, again.tag, repo.files()) == (again.commit, first.tag, files)
    assert repo.tags == {first.tag: first.commit, second.tag: second.commit}
    assert len({first.commit, second.commit, again.commit}) == 3
    assert plan_publish(staged, "hf:org").is_done


@pytest.mark.parametrize("tag", [None, "v1"])
@pytest.mark.parametrize("what", ["edit", "squash", "force-push", "deleted tag", "another's commit"])
def test_a_tag_is_found_done_or_made_again(hub, staged, files, what, tag):
    """Whatever people did to history, card or tag, the next run ends in our files and their tag."""
    first = publish(staged, tag=tag)
    repo = hub.repos["org/small"]
    older = repo.commits[first.commit].parent
    tree = repo.commits[first.commit].tree
    match what:
        case "edit":
            hub.push("org/small", {"README.md": files["README.md"] + b"\nTheirs.\n"})
        case "squash":
            repo.branches["main"] = repo.commit(None, tree, "squashed")
        case "force-push":
            repo.branches["main"] = older
        case "deleted tag":
            repo.tags.clear()
        case _:
            hub.push("org/small", {"LICENSE": b"theirs"})
    published = publish(staged, tag=tag, drop_edits=what == "edit")
    assert repo.files().items() >= files.items()
    assert (published.commit, published.tag) == (repo.head, first.tag)
    assert {name: repo.files(name) for name in repo.tags} == {first.tag: files}
    assert plan_publish(staged, "hf:org", tag=tag).is_done


def test_a_race_for_a_tag_ends_well_on_equal_files_only(hub, staged, files):
    """Somebody sets the tag while we do: on equal files it is as good, on others it is not moved."""
    publish(staged, tag="v1")
    repo, first = hub.repos["org/small"], hub.repos["org/small"].head
    again = hub.push("org/small", {"LICENSE": b"theirs"})
    hub.fault("POST .*/tag/", "before", call=lambda: repo.tags.update(v2=first))
    assert (publish(staged, tag="v2").commit, repo.tags["v2"]) == (again, first)
    empty = repo.commits[first].parent
    hub.fault("POST .*/tag/", "before", call=lambda: repo.tags.update(v3=empty))
    with pytest.raises(PublishError, match=f"the tag v3 is on {empty}, and is not moved"):
        publish(staged, tag="v3")


def test_our_card_is_ours_after_a_squash(hub, staged):
    """Where the history is gone, the receipt still tells our card from a person's."""
    publish(staged)
    repo = hub.repos["org/small"]
    repo.branches["main"] = repo.commit(None, repo.commits[repo.head].tree, "squashed")
    text = (staged / "README.md").read_text()
    (staged / "README.md").write_text(text.replace("## Licence", "## The licence"))
    assert plan_publish(staged, "hf:org").edits == ()


def test_releases_are_listed_loaded_and_gone_back_to(hub, own_small_index, capsys):
    """Two releases are named, each loads, and one command makes the first the head and the name's again."""

    def listed(source):
        assert main(["versions", source, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        return {row["tag"]: (row["commit"], row["is_head"], row["is_loaded"]) for row in rows}

    def run(*words):
        code = main(["publish", "small", "--to", "hf:org", "--apply", "--record", *words])
        return code, capsys.readouterr()

    assert run("--tag", "v1")[0] == 0
    index = own_small_index / "small.yml"
    index.write_text(index.read_text().replace("Crop Pct: '0.875'", "Crop Pct: '0.9'"))
    assert run("--tag", "v2")[0] == 0
    repo = hub.repos["org/small"]
    first, second = repo.tags["v1"], repo.tags["v2"]
    assert list(listed("small").items()) == [("v2", (second, True, True)), ("v1", (first, False, False))]
    processor = AutoImageProcessor.from_pretrained("small", revision="v1")
    assert processor.preprocessing.crop_fraction == 0.875
    code, said = run("--back-to", "v1")
    assert (code, repo.files(), repo.files("v2")["README.md"]) == (
        0,
        repo.files("v1"),
        repo.files(second)["README.md"],
    )
    assert "as it was: crop_pct is false: stated 0.9, found 0.875" in said.out
    assert (repo.tags, len({first, second, repo.head})) == ({"v1": first, "v2": second}, 3)
    assert list(listed("small").items()) == [("v2", (second, False, False)), ("v1", (first, True, True))]
    assert {row[2] for row in listed("hf:org/small").values()} == {False}
    code, said = run("--back-to", "v9")
    assert (code, "has no release v9; rexnet-hub versions hf:org/small" in said.err) == (1, True)
    assert main(["versions", "small"]) == 0
    assert "head, loaded" in capsys.readouterr().out
    for nowhere, code in (("hf:org/none", 1), ("hf:none", 2), ("nobody", 1)):
        assert main(["versions", nowhere]) == code
        assert capsys.readouterr().err.startswith("error: ")


def test_what_is_no_whole_release_is_not_gone_back_to(hub, staged, files):
    """A tag on damaged weights, on half a repo: whoever set it, the plan stops and says why."""
    publish(staged, tag="v1")
    repo = hub.repos["org/small"]
    weights = files["model.safetensors"]
    repo.tags["flipped"] = hub.push(
        "org/small", {"model.safetensors": weights[:-1] + bytes([weights[-1] ^ 1])}
    )
    repo.tags["half"] = repo.commits[repo.tags["v1"]].parent
    (flipped,) = publish_all(["small"], "hf:org", back_to="flipped", apply=True)
    assert "weights_digest is false" in flipped.problem
    (half,) = publish_all(["small"], "hf:org", back_to="half", apply=True)
    assert "config.json" in half.problem
    assert repo.head == repo.tags["flipped"]

"""What others change of what we published, or of what the index cites, is found and said; nothing else is."""

import copy
import hashlib
import json
import re
import textwrap
from dataclasses import replace
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from loopback import READ
from lying_server import serving

from rexnet_hub.cli import main

OTHER, DIGITS = b"weights of somebody else, " * 9, "5ffbf9" * 16
SOURCES = """\
  Sources:
    License: {at}/authors/net/blob/61debcc/README.md#license
"""
MORE = """\
  Witnesses:
  - Place: https://huggingface.co/timm/small/blob/main/model.safetensors
    Of: safetensors
    Algorithm: sha256
    Digest: {sha256}
  - Place: {at}/open/zoo/blob/7ef5b91/model.yml
    Of: other
    Algorithm: sha384
    Digest: {sha384}
    Commit: 7ef5b91
"""
TABLES = """\
    Sources:
    - URL: {at}/timm/models/blob/a7d0a8b5/results.csv
      Date: '2021-01-03'
      Metrics: {{Top 1 Accuracy: 77.858}}
    - URL: {at}/timm/models/blob/4e5207c7/results.csv
      Date: '2025-10-30'
      Metrics: {{Top 1 Accuracy: 77.862}}
"""
ROW = "model,top1,top5,param_count\nsmaller,1.000,2.000,0.1\nsmall.in1k,{},93.890,4.80\n"
README, YML = "/authors/net/raw/{}/README.md", "/open/zoo/raw/HEAD/model.yml"
TABLE = "/timm/models/raw/{}/results.csv"
PLACE, STATED = "/open/other/raw/{}/net.py", b"acc1=0.7786, size=14_351_299, macs=0.415, params='4,796,186'\n"
LEDGER = {
    "version": 1,
    "places": [
        {
            "name": "another zoo",
            "url": "{at}/open/other/blob/cbe2ac6/net.py",
            "figures": [
                {"field": "top1", "values": {"small": "77.86"}},
                {"field": "parameters", "cause": "unknown", "values": {"small": "4796186"}},
                {"field": "file_size", "cause": "unknown", "values": {"small": "14351299"}},
                {"field": "flops", "cause": "unknown", "values": {"small": "0.415 G"}},
            ],
        },
        {
            "name": "a page for people",
            "url": "{at}/open/badge",
            "figures": [{"field": "top1", "values": {"small": "77.9"}}],
        },
    ],
}


@pytest.fixture(scope="module")
def origin(small_index, certificate):
    """The servers of everybody who is cited, over TLS, and the text of an index that cites them."""
    released = next(small_index.parent.glob("*.pth"))
    with serving(b"", certificate) as server:
        at = f"https://127.0.0.1:{server.server_address[1]}"
        honest = {
            f"/dir/{released.name}": released.read_bytes(),
            README.format("61debcc"): b"MIT\n",
            README.format("HEAD"): b"MIT\n",
            YML: f"sha384: {DIGITS.upper()}\n".encode(),
            TABLE.format("a7d0a8b5"): ROW.format("77.858").encode(),
            TABLE.format("4e5207c7"): ROW.format("77.862").encode(),
            TABLE.format("HEAD"): ROW.format("77.862").encode(),
            PLACE.format("cbe2ac6"): STATED,
            PLACE.format("HEAD"): STATED,
        }
        sha256 = hashlib.sha256(OTHER).hexdigest()
        text = (small_index / "small.yml").read_text()
        text = text.replace(released.as_uri(), f"{at}/dir/{released.name}")
        text = text.replace("Models:\n", SOURCES.format(at=at) + "Models:\n")
        text = text.replace("  Results:\n", MORE.format(at=at, sha256=sha256, sha384=DIGITS) + "  Results:\n")
        text = text.replace(
            "    Image Size: '224'\n", f"    Image Size: 224\n    File Size: {released.stat().st_size}\n"
        )
        yield SimpleNamespace(
            server=server, honest=honest, text=text + TABLES.format(at=at), released=released.name,
            ledger=json.dumps(LEDGER).replace("{at}", at),
        )  # fmt: skip


@pytest.fixture(scope="module")
def published_once():
    """The Hub's repos and the lock after the one publication of all these tests."""
    return {}


@pytest.fixture
def zoo(hub, origin, published_once, certificate, tmp_path, monkeypatch, capsys):
    """A published model with sources of every kind, all as the index states them."""
    from rexnet_hub import drift

    index = tmp_path / "index"
    index.mkdir()
    (index / "small.yml").write_text(origin.text)
    (index / "ledger.json").write_text(origin.ledger)
    origin.server.files, origin.server.modes = dict(origin.honest), ["honest"]
    for name, value in {"INDEX": index, "ALLOW": "127.0.0.1"}.items():
        monkeypatch.setenv(f"REXNET_HUB_{name}", str(value))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for name in ("PATIENCE", "POLICY"):
        monkeypatch.setattr(drift, name, replace(getattr(drift, name), wait_seconds=0))
    if not published_once:
        hub.create("timm/small", {"model.safetensors": OTHER})
        assert main(["publish", "small", "--to", "hf:org", "--apply", "--record", "--tag", "v1"]) == 0
        published_once.update(repos=copy.deepcopy(hub.repos), lock=(index / "lock.json").read_bytes())
        capsys.readouterr()
    hub.repos.update(copy.deepcopy(published_once["repos"]))
    (index / "lock.json").write_bytes(published_once["lock"])
    files, repo = origin.server.files, hub.repos["org/small"]
    return SimpleNamespace(
        hub=hub, server=origin.server, files=files, repo=repo, index=index,
        released=f"/dir/{origin.released}",
        text=lambda name: repo.files()[name].decode(),
        token=lambda value: monkeypatch.setenv("HF_TOKEN", value),
        anonymous=lambda: monkeypatch.delenv("HF_TOKEN"),
    )  # fmt: skip


def run(capsys, *words):
    """Run a command: (exit code, its lines, what it says beside them)."""
    code = main(list(words))
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def push(zoo, name, old, new):
    """Commit a file of ours with other words in it, as somebody else would."""
    text = zoo.text(name)
    assert old in text
    zoo.hub.push("org/small", {name: text.replace(old, new).encode()}, title="Improve it")


def rename(zoo):
    zoo.hub.repos["org/new"] = zoo.hub.repos.pop("org/small")
    zoo.hub.moved["org/small"] = "org/new"


def squash(zoo):
    tree = zoo.repo.commits[zoo.repo.head].tree
    zoo.repo.commits.clear()
    zoo.repo.branches["main"] = zoo.repo.commit(None, tree, "squashed")
    zoo.repo.tags.clear()


def hide(zoo):
    zoo.repo.private = True
    zoo.anonymous()


def squash_tagged(zoo):
    squash(zoo)
    zoo.repo.tags["v1"] = zoo.repo.head


def move_tag_and_squash(zoo):
    squash(zoo)
    zoo.repo.tags["v1"] = zoo.hub.push("org/small", {"model.safetensors": OTHER})


def remove(*names):
    """Delete files as somebody else would."""

    def plant(zoo):
        tree = {
            path: stored for path, stored in zoo.repo.commits[zoo.repo.head].tree.items() if path not in names
        }
        zoo.repo.branches["main"] = zoo.repo.commit(zoo.repo.head, tree, "Tidy up")

    return plant


def point(zoo):
    """Publish the text that git-lfs keeps in place of the weights, as who pushes without it does."""
    text = b"version https://git-lfs.github.com/spec/v1\n"
    tree = zoo.repo.commits[zoo.repo.head].tree
    tree["model.safetensors"] = zoo.repo.put(text)


def go_back(zoo):
    zoo.repo.branches["main"] = zoo.repo.commits[zoo.repo.head].parent


def gate(zoo):
    zoo.repo.gated = True
    zoo.token(READ)


def swap_receipt(zoo):
    push(zoo, "receipt.json", '"stand_in": true', '"stand_in": false')


def relicense(zoo):
    file = zoo.index / "small.yml"
    file.write_text(file.read_text().replace("License: MIT", "License: Apache-2.0"))


def publish_unrecorded(zoo):
    repo, head = zoo.repo, zoo.repo.head
    title, message = repo.commits[head].title, repo.commits[head].message
    zoo.hub.push("org/small", {"model.safetensors": OTHER}, title, message)


def relock(zoo):
    """Record what is there now as the release v1."""
    zoo.repo.tags["v1"] = zoo.repo.head
    lock = zoo.index / "lock.json"
    lock.write_text(re.sub(r'"commit": "\w+"', f'"commit": "{zoo.repo.head}"', lock.read_text()))


def record_others(zoo):
    """Record other weights of the publication than those that it has."""
    lock = zoo.index / "lock.json"
    lock.write_text(re.sub(r'"weights_sha256": "\w+"', f'"weights_sha256": "{"0" * 64}"', lock.read_text()))


#: What is planted, and the line that says it.
PLANTED = {
    "weights": (
        lambda zoo: zoo.hub.push("org/small", {"model.safetensors": OTHER}, title="Better\x1b[2J weights"),
        r"head is false: stated \w{40}, found \w{40}, model\.safetensors changed "
        r"\(commits since \(1\): Better\\x1b\[2J weights\)",
    ),
    "config": (
        lambda zoo: push(zoo, "config.json", "bicubic", "bilinear"),
        r"interpolation is false: stated bicubic, found bilinear",
    ),
    "card": (
        lambda zoo: push(zoo, "README.md", "77.86", "87.86"),
        r"card is false: stated .*77\.86.*found .*87\.86",
    ),
    "receipt": (swap_receipt, r"head is false: .*receipt\.json changed \(commits since \(1\): Improve it\)"),
    "licence": (
        lambda zoo: push(zoo, "README.md", "license: mit", "license: other"),
        "license is false: stated mit, found other",
    ),
    "licence of the index": (relicense, "license is false: stated apache-2.0, found mit"),
    "not recorded": (publish_unrecorded, r"head is false: .*since \(1\): .* \(as we publish\)"),
    "tag moved": (
        lambda zoo: zoo.repo.tags.update(v1=zoo.repo.commits[zoo.repo.head].parent),
        r"release is false: stated v1 on \w{40}, weights \w{64}, found v1 on \w{40} with other files",
    ),
    "weights of a release": (record_others, r"release is false: .*, weights 0{64}, found weights \w{64}"),
    "tag deleted": (lambda zoo: zoo.repo.tags.clear(), r"release is false: .*, found no tag v1 "),
    "history": (squash, r"release is false: .*, found no such commit any more; no tag v1 "),
    "history, the tag as it was": (
        squash_tagged,
        r"release is false: .*, found no such commit any more \(lock",
    ),
    "history, the tag on others": (
        move_tag_and_squash,
        r"release is false: .*, found no such commit any more; v1 on \w{40} with other files \(",
    ),
    "a pointer for the weights": (point, r"release is false: .*, found weights gone \("),
    "set back": (
        go_back,
        r"head is false: .* gone \(not after the lock's commit; the last \(1\): initial commit\)",
    ),
    "card removed": (
        remove("README.md"),
        r"card is false: stated \d+ lines, found none to read \(README\.md",
    ),
    "receipt removed": (
        remove("receipt.json"),
        r"files is false: stated all as written, found receipt\.json, which",
    ),
    "renamed": (rename, r"repo is false: stated hf:org/small, found hf:org/new "),
    "private": (hide, r"repo is false: stated hf:org/small, found no such repo, or it is private "),
    "removed": (
        lambda zoo: zoo.hub.repos.pop("org/small"),
        r"repo is false: stated hf:org/small, found no such repo",
    ),
    "gated": (gate, r"repo is false: stated hf:org/small, found .*it is gated"),
    "half": (
        lambda zoo: zoo.repo.commits[zoo.repo.head].tree.pop("config.json"),
        r"files is false: stated a whole repo, found org/small: .*config\.json",
    ),
    "witness on the Hub": (
        lambda zoo: zoo.hub.push("timm/small", {"model.safetensors": OTHER[1:]}),
        r"witness is false: stated sha256:\w{64}, found \w{64} \(https://huggingface\.co/timm/small/blob/",
    ),
    "witness's repo": (lambda zoo: zoo.hub.repos.pop("timm/small"), r"witness is false: .*found timm/small"),
    "witness": (
        lambda zoo: zoo.files.update({YML: b"sha384: 00\n"}),
        r"witness is false: stated .*, found another",
    ),
    "witness's file": (lambda zoo: zoo.files.pop(YML), r"witness is false: .*answers 404"),
    "figure": (
        lambda zoo: zoo.files.update({TABLE.format("HEAD"): ROW.format("77.9").encode()}),
        r"table is false: stated top1 77\.862, found small\.in1k,77\.9,93\.890,4\.80 \(.*\.csv, at HEAD\)",
    ),
    "row": (
        lambda zoo: zoo.files.update({TABLE.format("HEAD"): b"model,top1\nsmaller,77.862\n"}),
        r"table is false: stated top1 77\.862, found no line that names the model \(.*at HEAD\)",
    ),
    "another's row": (
        lambda zoo: zoo.files.update(
            {TABLE.format("HEAD"): ROW.format("77.9").encode() + b"not-small,77.862\n"}
        ),
        r"table is false: stated top1 77\.862, found small\.in1k,77\.9,93\.890,4\.80 \(",
    ),
    "table as cited": (
        lambda zoo: zoo.files.update({TABLE.format("a7d0a8b5"): ROW.format("77.9").encode()}),
        r"table is false: stated top1 77\.858, found small\.in1k,77\.9,.*at a7d0a8b5\)",
    ),
    "table": (
        lambda zoo: zoo.files.pop(TABLE.format("HEAD")),
        r"table is false: stated .*, found .*answers 404",
    ),
    "source": (
        lambda zoo: zoo.files.pop(README.format("61debcc")),
        r"source is false: stated .*README\.md, found .*404",
    ),
    "source's head": (lambda zoo: zoo.files.pop(README.format("HEAD")), r"source is false: .*answers 404"),
    "a place's figures": (
        lambda zoo: zoo.files.update({PLACE.format("cbe2ac6"): STATED.replace(b"86", b"87")}),
        r"source is false: stated top1 77\.86, parameters 4796186, found no such number \(another zoo, http",
    ),
    "a place": (
        lambda zoo: zoo.files.pop(PLACE.format("cbe2ac6")),
        r"source is false: stated .*net\.py, found .*answers 404",
    ),
    "released file's size": (
        lambda zoo: zoo.files.update({zoo.released: zoo.files[zoo.released] + b"x"}),
        r"weights is false: stated https://127.*\.pth, found .*its size in bytes is \d+",
    ),
    "released file": (
        lambda zoo: zoo.files.pop(zoo.released),
        r"weights is false: stated https.*answers 404",
    ),
}


def test_nothing_planted_is_nothing_said(zoo, capsys):
    """All is as it is stated: no line, the count of what was asked, exit code 0; as JSON each finding."""
    code, lines, said = run(capsys, "watch")
    assert (code, lines) == (0, [])
    assert re.fullmatch(r"\d+ holds, 0 false, 0 not reached\n", said)
    assert main(["watch", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    asked = {
        "repo",
        "release",
        "head",
        "card",
        "license",
        "weights_digest",
        "weights",
        "witness",
        "table",
        "source",
    }
    assert asked <= {finding["claim"] for finding in found if finding["verdict"] == "holds"}


@pytest.mark.parametrize(("plant", "line"), PLANTED.values(), ids=PLANTED)
def test_drift_is_found(zoo, capsys, plant, line):
    """Whatever others changed, watch ends with 1 and a line that says what, stated, found and where."""
    plant(zoo)
    code, lines, _ = run(capsys, "watch")
    assert code == 1
    assert [said for said in lines if re.match(f"small: {line}", said)], "\n".join(lines)
    assert all(said.startswith("small: ") and said.isprintable() for said in lines)


def test_what_people_add_is_named_and_is_no_drift(zoo, capsys):
    """Commits, files and lines of others, and another text at a source's head, end with 0, a line each."""
    zoo.hub.push("org/small", {"README.md": zoo.text("README.md").encode() + b"\nTheirs.\n"}, "Say more")
    zoo.hub.push("org/small", {"onnx/model.onnx": b"\x08"}, "Add ONNX")
    zoo.hub.push("timm/small", {"README.md": b"timm's"})
    zoo.files[README.format("HEAD")] = b"Apache-2.0\n"
    code, lines, said = run(capsys, "watch")
    assert code == 0
    assert [line.partition(":")[2].partition(":")[0] for line in lines] == [
        " head is changed",
        " others is changed",
        " source is changed",
    ]
    assert lines[0].endswith("weights and config the same (commits since (2): Add ONNX; Say more)")
    assert "found onnx/model.onnx" in lines[1]
    assert lines[2].endswith("found there; its head has another text (cited for license)")
    assert ", 0 false, 0 not reached" in said


@pytest.mark.parametrize(
    "plant", [remove("README.md"), lambda zoo: zoo.hub.push("org/small", {"README.md": b"\xff"}, "Tidy up")]
)
def test_a_card_that_is_gone_is_one_claim(zoo, capsys, plant):
    """Neither its licence nor the receipt's digest of it is said besides; nor of one that is no text."""
    plant(zoo)
    code, lines, _ = run(capsys, "watch")
    assert (code, [line.split(" is ")[0] for line in lines]) == (1, ["small: head", "small: card"])


def test_another_commit_of_the_same_files_has_none_since(zoo, capsys):
    """After a force-push the lock's commit is in no history, so nothing is counted from it."""
    head = zoo.repo.commits[zoo.repo.head]
    zoo.repo.branches["main"] = zoo.repo.commit(head.parent, head.tree, "Said again")
    code, (line,), _ = run(capsys, "watch")
    assert code == 0
    assert line.endswith("the same (not after the lock's commit; the last (2): Said again; initial commit)")


def test_very_much_is_said_in_short(zoo, capsys):
    """A title, a table's line or a list of files without end leaves a line to read; JSON has it whole."""
    added = {f"data/{number:04}.txt": b"" for number in range(2000)}
    zoo.hub.push("org/small", added, title="Add " + "data" * 9999)
    zoo.files[TABLE.format("HEAD")] = b"<html>" + b" small" * 99999
    code, lines, _ = run(capsys, "watch")
    assert (code, len(lines)) == (1, 3)
    assert max(map(len, lines)) < 2000
    assert "data/0001.txt" in lines[1]
    assert "and 1,990 more" in lines[1]
    main(["watch", "--json"])
    assert "data" * 9999 in capsys.readouterr().out


@pytest.fixture
def trusted(zoo, capsys, monkeypatch, tmp_path):
    """The index demands a key's signature, and the published model has it."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem, public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(private.private_bytes(pem, *plain))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    text = private.public_key().public_bytes(pem, public).decode()
    trust(zoo, "|\n" + textwrap.indent(text, "    ").rstrip())
    sign = ["--sign", str(tmp_path / "key.pem"), "--version-counter", "1", "--tag", "signed"]
    assert main(["publish", "small", "--to", "hf:org", "--apply", "--record", *sign]) == 0
    capsys.readouterr()
    return zoo


def trust(zoo, signer):
    file = zoo.index / "small.yml"
    file.write_text(file.read_text().replace("  Weights:", f"  Trusted Key: {signer}\n  Weights:", 1))


def test_a_signature_is_checked_where_it_is_published(trusted, capsys):
    """It holds; one of other bytes is false, and the repo is named, not the folder that it was read to."""
    assert run(capsys, "watch")[:2] == (0, [])
    trusted.hub.push("org/small", {"README.md": trusted.text("README.md").encode() + b"\nTheirs.\n"})
    code, lines, _ = run(capsys, "watch")
    assert code == 1
    (line,) = (line for line in lines if line.startswith("small: signature is false: "))
    assert "not the signed one: README.md" in line
    assert "(org/small: is not what" in line


def test_a_published_model_without_the_signature_that_the_index_demands_is_false(trusted, capsys):
    """Whoever took it away, or never gave it: nobody can load that by its name."""
    remove("model.sig", "statement.json")(trusted)
    code, lines, _ = run(capsys, "watch")
    assert code == 1
    assert "small: signature is false: stated Trusted Key, found no model.sig" in lines[-1]


def test_a_signature_that_nobody_can_check_now_is_not_reached(zoo, capsys, monkeypatch, tmp_path):
    """Where Sigstore's keys cannot be read, a signature by an identity neither holds nor is false."""
    monkeypatch.setenv("REXNET_HUB_SIGSTORE", str(tmp_path / "none.json"))
    trust(zoo, "https://github.com/org/zoo/.github/workflows/m.yml@refs/heads/main@https://example.org")
    zoo.hub.push("org/small", {"model.sig": b"{}", "statement.json": b"{}"})
    relock(zoo)
    code, (line,), _ = run(capsys, "watch")
    assert (
        code,
        line.startswith("small: signature is not reached: stated Trusted Key, found Sigstore's"),
    ) == (75, True)


@pytest.mark.parametrize("head", [STATED.replace(b"4_351", b"0"), None], ids=["another", "gone"])
def test_a_figure_that_a_place_states_no_more_is_named(zoo, capsys, head):
    """What the ledger states is of a commit: what the head has otherwise, or that it moved, is said."""
    zoo.files.pop(PLACE.format("HEAD"))
    zoo.files |= {PLACE.format("HEAD"): head} if head else {}
    code, (line,), _ = run(capsys, "watch")
    left = (
        "file_size 14351299" if head else "top1 77.86, parameters 4796186, file_size 14351299, flops 0.415 G"
    )
    assert (code, line[: line.index(" (")]) == (
        0,
        f"small: source is changed: stated {left}, found its head has it no more",
    )


def test_a_place_whose_head_cannot_be_read_is_not_reached(zoo, capsys, monkeypatch):
    """Nobody knows what its head says, so the watch is not green."""
    from rexnet_hub import drift

    zoo.files[PLACE.format("HEAD")] = STATED * 9
    monkeypatch.setattr(drift, "MAX_TEXT_BYTES", len(STATED) * 8)
    code, (line,), _ = run(capsys, "watch")
    assert (code, "small: source is not reached: stated https://" in line) == (75, True)


def test_a_word_in_a_table_is_no_figure(zoo, capsys):
    """What is cited beside the numbers is looked for in no row."""
    file = zoo.index / "small.yml"
    file.write_text(file.read_text().replace("Accuracy: 77.862}", "Accuracy: 77.862, Note: fast}"))
    assert run(capsys, "watch")[:2] == (0, [])


def test_a_table_that_is_gone_is_one_finding_for_all_its_models(zoo, capsys):
    """Two models are cited from the same table: that it is not there is said once, another figure of each."""
    file = zoo.index / "small.yml"
    text = file.read_text()
    file.write_text(text + text[text.index("- Name: small\n") :].replace("Name: small", "Name: small.in1k"))
    other = {TABLE.format("HEAD"): ROW.format("77.9").encode()}
    for answer, count in (
        (lambda: zoo.files.pop(TABLE.format("HEAD")), 1),
        (lambda: zoo.files.update(other), 2),
    ):
        answer()
        code, lines, _ = run(capsys, "watch")
        assert (code, len([line for line in lines if " table is false: " in line])) == (1, count)


def test_releases_are_listed_after_a_squash(zoo, capsys):
    """That the lock's commit is gone keeps nobody from listing what is there; the name loads none of it."""
    squash(zoo)
    zoo.repo.tags["v2"] = zoo.repo.head
    assert main(["versions", "small", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["tag"], row["is_head"], row["is_loaded"]) == ("v2", True, False)


def test_a_repo_that_a_token_sees_is_named_private(zoo, capsys):
    """Who looks with a token is told that nobody else can, and the rest is checked."""
    zoo.repo.private = True
    code, lines, _ = run(capsys, "watch")
    assert (code, lines) == (
        0,
        ["small: repo is changed: stated hf:org/small, found private (read with a token)"],
    )


def test_a_renamed_repo_is_checked_where_it_is(zoo, capsys):
    """One line says that it was renamed, none that its files are gone."""
    rename(zoo)
    code, lines, said = run(capsys, "watch")
    assert (code, len(lines), "1 false" in said) == (1, 1, True)


def test_other_bytes_of_the_same_size_need_them_all(zoo, capsys):
    """A size cannot tell them, and the finding says so; --fetch does."""
    data = zoo.files[zoo.released]
    zoo.files[zoo.released] = data[:-1] + bytes([data[-1] ^ 1])
    assert run(capsys, "watch")[:2] == (0, [])
    main(["watch", "--json"])
    (finding,) = (each for each in json.loads(capsys.readouterr().out) if each["claim"] == "weights")
    assert "its size alone: --fetch compares each byte" in finding["note"]
    code, (line,), _ = run(capsys, "watch", "--fetch")
    assert (code, "small: weights is false: " in line, "SHA-256" in line) == (1, True, True)
    zoo.files[zoo.released] = data
    assert run(capsys, "watch", "--fetch")[:2] == (0, [])


@pytest.mark.parametrize(
    "place", ["https://huggingface.co/timm/own/resolve/main/w.safetensors", "hf:timm/own@{}#w.safetensors"]
)
def test_weights_on_a_hub_are_checked_by_its_record(zoo, capsys, place):
    """Released weights that are a file of a repo on the Hub are not downloaded; other ones are found."""
    file = zoo.index / "small.yml"
    repo = zoo.hub.create("timm/own")
    for extra, verdict in ((b"", "holds"), (b"x", "false")):
        zoo.hub.push("timm/own", {"w.safetensors": zoo.files[zoo.released] + extra})
        address = place.format(repo.head)
        file.write_text(re.sub(r"  Weights: .*\n", f"  Weights: {address}\n", file.read_text()))
        main(["watch", "--json"])
        (finding,) = (each for each in json.loads(capsys.readouterr().out) if each["claim"] == "weights")
        assert finding["verdict"] == verdict, finding
    assert not zoo.hub.requests("own/resolve")


@pytest.mark.parametrize("who", ["hub", "server", "both", "token"])
def test_who_does_not_answer_is_no_drift_and_not_green(zoo, capsys, monkeypatch, who):
    """No answer is said as that, with exit code 75; where something is false besides, it is 1."""
    if who == "token":
        monkeypatch.setenv("HF_TOKEN", "hf_SENTINELexpired")
    if who in ("hub", "both"):
        zoo.hub.gone = True
    if who in ("server", "both"):
        zoo.server.modes = ["status 503"]
    code, lines, said = run(capsys, "watch")
    assert code == 75
    assert all(" is not reached: stated " in line for line in lines)
    assert f"0 false, {len(lines)} not reached" in said
    if who == "server":
        zoo.repo.tags.clear()
        assert run(capsys, "watch")[0] == 1


def refuse(on, status):
    return lambda zoo: zoo.hub.fault(on, "status", status=status, times=-1)


@pytest.mark.parametrize(
    "plant",
    [
        lambda zoo: zoo.token("hf_unknown"),
        *(refuse("GET /api/models/org/small", status) for status in (400, 401, 403, 418)),
        refuse("/org/small/resolve/", 403),
        refuse("GET /org/small/", 403),  # the store
        refuse("GET /api/models/timm/small", 403),
        lambda zoo: zoo.hub.fault("/api/models/org", "redirect", location="https://example.org/", times=-1),
    ],
)
def test_a_hub_that_refuses_to_answer_is_not_reached(zoo, capsys, plant):
    """A token that it does not know, a wall before it, a redirect elsewhere: none settles what is there."""
    plant(zoo)
    code, lines, _ = run(capsys, "watch")
    assert (code, len(lines) >= 1) == (75, True)
    assert all(" is not reached: " in line for line in lines), lines


@pytest.mark.parametrize("on", ["GET /api/models/org/small", "/org/small/resolve/", "GET /org/small/"])
@pytest.mark.parametrize("status", [404, 410, 451])
def test_what_the_hub_says_is_gone_is_missed(zoo, capsys, on, status):
    """Repo, file or stored object: that it is not there is an answer."""
    refuse(on, status)(zoo)
    code, lines, _ = run(capsys, "watch")
    assert (code, [line for line in lines if " is not reached: " in line]) == (1, [])


def test_a_text_without_end_is_not_read_to_it(zoo, capsys, monkeypatch):
    """A cited text that is larger than any text is not reached."""
    monkeypatch.setattr("rexnet_hub.drift.MAX_TEXT_BYTES", 10)
    code, lines, _ = run(capsys, "watch")
    assert (code, len(lines)) == (75, 5)
    assert all("is longer than 10 bytes" in line for line in lines)


def test_a_released_file_of_no_length_is_not_reached(zoo, capsys):
    """A server that does not say how long its file is has not answered the question; read whole, it has."""
    zoo.server.modes = ["unsized"]
    code, (line,), _ = run(capsys, "watch")
    assert (code, "the server does not say how long the file is" in line) == (75, True)
    assert run(capsys, "watch", "--fetch")[:2] == (0, [])


def test_a_watch_that_asks_nobody_is_misuse(zoo, capsys, monkeypatch):
    """Offline, or of an index that cites nobody, it ends with 2; of an unknown model with 1."""
    assert main(["watch", "nobody"]) == 1
    file = zoo.index / "small.yml"
    kept = re.sub(
        r"  Sources:\n.*\n|  Witnesses:\n(  .*\n)+?(?=  Results)|    Sources:\n(.*\n)+", "", file.read_text()
    )
    file.write_text(re.sub("Weights: https://[^/]+", "Weights: file://", kept))
    (zoo.index / "lock.json").unlink()
    (zoo.index / "ledger.json").unlink()
    code, lines, said = run(capsys, "watch")
    assert (code, lines, "nothing to watch" in said) == (2, [], True)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, lines, said = run(capsys, "watch", "small")
    assert (code, lines, "HF_HUB_OFFLINE" in said) == (2, [], True)
    for target in ("hf:org", "hf:org/small"):
        code, lines, said = run(capsys, "verify", target)
        assert (code, lines, "HF_HUB_OFFLINE" in said) == (2, [], True)


def test_verify_checks_a_repo_or_each_of_an_organisation(zoo, capsys):
    """`verify hf:ORG` is of every repo there, also of one that the lock does not know; others are named."""
    assert main(["verify", "hf:org/small", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {each["model"] for each in found} == {"small"}
    assert {"release", "head", "card", "tensors", "weights_locked"} <= {each["claim"] for each in found}
    zoo.hub.create("org/stranger", {"README.md": b"ours?"})
    code, lines, _ = run(capsys, "verify", "hf:org")
    assert code == 0
    assert "of no model of the index" in "\n".join(lines)
    (zoo.index / "lock.json").unlink()
    code, lines, _ = run(capsys, "verify", "hf:org")
    assert (code, "not in the lock" in "\n".join(lines)) == (0, True)
    push(zoo, "config.json", "bicubic", "bilinear")
    code, lines, _ = run(capsys, "verify", "hf:org")
    assert (code, "interpolation" in "\n".join(lines)) == (1, True)


def test_the_table_says_what_is_wrong_in_full(zoo, capsys, monkeypatch):
    """A cause that no column holds stands below it, as wide as the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    zoo.hub.push(
        "org/small", {"model.safetensors": zoo.repo.files()["model.safetensors"], "config.json": b"{"}
    )
    for plant, code, cause in (
        (lambda: None, 1, "config.json changed"),
        (lambda: setattr(zoo.hub, "gone", True), 75, "does not answer"),
    ):
        plant()
        found, lines, _ = run(capsys, "verify", "hf:org/small")
        assert (found, max(map(len, lines)) <= 80) == (code, True)
        assert cause in " ".join(line.strip() for line in lines)


def test_a_locked_repo_that_is_gone_from_its_organisation_is_missed(zoo, capsys):
    """What the lock has there is asked for though the Hub lists it no more."""
    zoo.hub.repos.pop("org/small")
    assert run(capsys, "verify", "hf:org")[0] == 1


def test_a_renamed_repo_is_of_its_model_in_its_organisation_too(zoo, capsys):
    """It is no repo of no model: one finding is false, and nothing else is said of the new name."""
    rename(zoo)
    assert main(["verify", "hf:org", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {each["model"] for each in found} == {"small"}
    assert [each["found"] for each in found if each["verdict"] == "false"] == ["hf:org/new"]


@pytest.mark.parametrize("status", [403, 500])
def test_an_organisation_that_is_not_listed_is_not_reached(zoo, capsys, status):
    """What the lock has there is checked all the same; the exit code says to ask again."""
    refuse("GET /api/models$", status)(zoo)
    assert main(["verify", "hf:org", "--json"]) == 75
    found = json.loads(capsys.readouterr().out)
    assert [each["model"] for each in found if each["verdict"] == "not reached"] == ["org"]
    assert "release" in {each["claim"] for each in found if each["verdict"] == "holds"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["hf:org/stranger"], 1, "no repo of a model of the index is named 'hf:org/stranger'"),
        (["hf:nobody"], 2, "nothing to verify"),
        (["hf:org/a/b"], 2, "is no target"),
        (["hf:org", "--repo", "folder"], 2, "no use for repo"),
        (["small", "hf:org"], 2, "small: is no repo on the Hub"),
    ],
)
def test_verify_refuses_what_makes_no_sense(zoo, capsys, words, code, says):
    """A repo of no model, nothing to check, no target, an option for files: each is said in one line."""
    found = run(capsys, "verify", *words)
    assert found[:2] == (code, [])
    assert says in found[2]


def test_a_repo_that_does_not_answer_hides_no_other(zoo, capsys, tmp_path):
    """It is not reached, in JUnit an error; the others are checked, here one with another model's card."""
    zoo.hub.create("org/second", zoo.repo.files())
    file = zoo.index / "small.yml"
    text = file.read_text()
    file.write_text(text + text[text.index("- Name: small\n") :].replace("Name: small", "Name: second"))
    zoo.hub.fault("GET /api/models/org/small", "status", times=99)
    junit = tmp_path / "junit.xml"
    code, lines, _ = run(capsys, "verify", "hf:org", "--junit", str(junit))
    report = "\n".join(lines)
    assert (code, "second" in report, "1 not reached" in report) == (1, True, True)
    assert 'errors="1"' in junit.read_text()


@pytest.mark.parametrize(("name", "code"), [("LICENSE", 0), ("../LICENSE", 1), ("a/LICENSE", 1)])
def test_a_file_that_only_the_receipt_knows_is_ours(zoo, capsys, name, code):
    """What the receipt states beside the usual files is read and compared; no name leads out of the repo."""
    from rexnet_hub.weights.receipt import read_receipt, render_receipt

    place = zoo.index / "receipt.json"
    place.write_text(zoo.text("receipt.json"))
    receipt, digest = read_receipt(place), hashlib.sha256(b"MIT\n").hexdigest()
    stated = render_receipt(replace(receipt, files={**receipt.files, name: digest})).encode()
    zoo.hub.push("org/small", {"receipt.json": stated, name: b"MIT\n"})
    relock(zoo)
    assert main(["verify", "hf:org/small", "--json"]) == code
    files = [each["stated"] for each in json.loads(capsys.readouterr().out) if each["claim"] == "files"]
    assert code == 1 or "LICENSE" in files[0]

"""Witnesses: digests of the weights that other places state, each compared where it applies.

Oracles: hashlib, and the safetensors client. The forged file has the size and the first 32 bits that
the index states: its name is made of them, as somebody who forges 32 bits would see to from the other end.
"""

import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from receipts import retell

from rexnet_hub.auto import read_weights
from rexnet_hub.cli import main
from rexnet_hub.errors import MismatchError
from rexnet_hub.identity import Identity, StatedFile
from rexnet_hub.index import Measured, load_index
from rexnet_hub.index.entry import ALGORITHMS
from rexnet_hub.index.lock import Lock, read_lock, write_lock
from rexnet_hub.layout import find_cache_dir
from rexnet_hub.locate import find_repo
from rexnet_hub.measure import compare_measured, measure_model
from rexnet_hub.nets import find_network
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.site import render_site
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.verify import FALSE, HOLDS, NOT_MEASURED, verify_model
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.safetensors_file import digest_as_written

INDEX = """\
Models:
- Name: net
  Metadata: {{ID: test_efficientnet, Num Classes: 1000, Image Size: 224, Crop Pct: 0.875,
    Interpolation: bicubic, Image Mean: [0.485, 0.456, 0.406], Image Std: [0.229, 0.224, 0.225],
    File Size: {size}}}
  Weights: {url}
"""
#: What a witness can be, as `Of` and `Algorithm`.
KINDS = ["released sha256", "released sha384", "released sha512", "safetensors sha256", "fingerprint"]
#: The first words of what is said of a file that is known by 32 bits.
DOUBT = "nobody states the whole digest of the released file: it is known by the first 32 bits of its SHA-256"


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A genuine checkpoint and a forged one of its size, each named by the head of its digest."""
    folder = tmp_path_factory.mktemp("witnesses")
    made = {}
    for seed, name in enumerate(("genuine", "forged")):
        draw = torch.Generator().manual_seed(seed)
        tensors = {
            tensor: torch.rand(shape, generator=draw) if dtype == "float32" else torch.zeros(shape).long()
            for tensor, (dtype, shape) in find_network("test_efficientnet").plan().tensors.items()
        }
        torch.save(tensors, folder / "any", _use_new_zipfile_serialization=False)
        prefix = hashlib.sha256((folder / "any").read_bytes()).hexdigest()[:8]
        made[name] = (folder / "any").rename(folder / f"{name}-{prefix}.pth")
    return made


@pytest.fixture(scope="session")
def digests(files, tmp_path_factory):
    """What witnesses of the genuine file state, by kind."""
    state = torch.load(files["genuine"], weights_only=True)
    client = tmp_path_factory.mktemp("client") / "model.safetensors"
    safetensors.torch.save_file(state, client, metadata={"format": "pt"})
    lines = sorted(
        f"{str(tensor.dtype).removeprefix('torch.')} {'x'.join(str(n) for n in tensor.shape if n != 1)} "
        f"{hashlib.sha256(tensor.numpy().tobytes()).hexdigest()}"
        for tensor in state.values()
    )
    text = "".join(f"{line}\n" for line in ["rexnet_hub weights 1", *lines])
    of = {kind: hashlib.new(kind.split()[1], files["genuine"].read_bytes()) for kind in KINDS[:3]}
    of["safetensors sha256"] = hashlib.sha256(client.read_bytes())
    of["fingerprint"] = hashlib.sha256(text.encode())
    return {kind: digest.hexdigest() for kind, digest in of.items()}


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Write the index that every command reads: a file, and what each witness states of it."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setenv("REXNET_HUB_INDEX", str(folder))

    def write(file, witnesses=()):
        text = INDEX.format(size=file.stat().st_size, url=file.as_uri())
        for number, (kind, digest) in enumerate(witnesses):
            *of, algorithm = kind.split()
            text += "  Witnesses:\n" if number == 0 else ""
            text += f"  - Place: https://example.org/{number}/model.md\n    Algorithm: {algorithm}\n"
            text += f"    Digest: '{digest}'\n    Commit: 'abcdef{number}'\n" + "".join(
                f"    Of: {word}\n" for word in of
            )
        (folder / "index.yml").write_text(text)
        return load_index(folder).find("net")

    return write


def lie(digest):
    """Change one digit of a digest, not its first eight."""
    return digest[:-1] + ("0" if digest[-1] != "0" else "1")


def load(name="net"):
    """Load a model's tensors, as `AutoModel` does."""
    return read_weights(find_repo(name))


def verdicts(entry, **files):
    """Give the verdicts of `verify` on the witnesses, in their order."""
    return [finding.verdict for finding in verify_model(entry, **files) if finding.claim == "witness"]


def test_our_safetensors_is_the_clients_own_byte_for_byte(files, digests, tmp_path):
    """What a hub states of a file that the safetensors client wrote is the digest of our conversion."""
    receipt = convert_checkpoint(files["genuine"], tmp_path / "model.safetensors")

    assert receipt.output.sha256 == digests["safetensors sha256"]
    assert receipt.output.fingerprint == digests["fingerprint"]


#: The digests of `TINY` as releases of the safetensors client wrote it, with `format: pt` and bare.
WRITTEN = {
    "0.2.8": "a116ce7dfca807a5ddb6c9d6272f2f7d973f496d8294750dc99b52cb8d51ccc3",
    "0.2.8 bare": "b1c73fe0f738466e7179c26d991a3a5604384d1fea3a323e1e13e9bef56bc277",
    "0.3.0 bare": "53ef502bbe7f01f1ed625f08e9b35a7a28de68bd366d3a961c4d826fc50fb833",
    "0.3.1": "4c8ce7fb99558f056946051db13169e6e7ff8d025ce20950222cbf5824723c77",
    "0.3.1 bare": "9b54378cededab5082ff9b04b9bdc8a5c2c9bb504ea2ace1196c37132b5ce0fb",
}
TINY = {
    "stem.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "norm.steps": torch.tensor(7),
    "a": torch.arange(3, dtype=torch.float32),
    "half": torch.arange(2, dtype=torch.float16),
}


@pytest.mark.parametrize("metadata", [{"format": "pt"}, None])
def test_the_file_of_every_release_of_the_client_is_known(metadata, tmp_path):
    """From whichever file of the tensors, and by each algorithm; one number changed, and none of them is."""
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(TINY, file, metadata=metadata)
    own, known = digest_file(file).sha256, set(digest_as_written(file, ["sha256", "sha384"]))
    assert own not in known  # who asks has digested the file
    known.add(own)
    assert set(WRITTEN.values()) <= known
    assert hashlib.sha384(file.read_bytes()).hexdigest() in known

    safetensors.torch.save_file(TINY | {"norm.steps": torch.tensor(8)}, file)
    assert known.isdisjoint(digest_as_written(file, ["sha256", "sha384"]))


def test_a_file_that_timm_pushed_is_a_witness(files, zoo, tmp_path, capsys):
    """What timm saves has no metadata: its digest agrees wherever the converted file is here."""
    bare = tmp_path / "bare.safetensors"
    safetensors.torch.save_file(torch.load(files["genuine"], weights_only=True), bare)
    entry = zoo(files["genuine"], [("safetensors sha256", hashlib.sha256(bare.read_bytes()).hexdigest())])

    assert main(["convert", "net", "--out", str(tmp_path / "net.safetensors")]) == 0
    assert "1 of 1 witnesses agreed" in capsys.readouterr().err
    assert verdicts(entry, checkpoint=files["genuine"]) == [HOLDS]
    repo = write_staged(entry, files["genuine"], tmp_path / "net").folder
    assert verdicts(entry, repo=repo) == [HOLDS]
    assert len(measure_model(entry, repo=repo).witnesses) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_witness_that_agrees_is_said_everywhere(kind, files, digests, zoo, tmp_path, capsys, caplog):
    """Fetch, convert, load, verify and lock each ask the witness that applies, and say that it agrees."""
    caplog.set_level(logging.INFO)
    entry, is_of_file = zoo(files["genuine"], [(kind, digests[kind])]), kind.startswith("released")
    agreed = "net: 1 of 1 witnesses agreed: https://example.org/0/model.md at abcdef0\n"

    assert main(["fetch", "net"]) == 0
    assert (agreed in capsys.readouterr().err) == is_of_file
    assert main(["convert", "net", "--out", str(tmp_path / "net.safetensors")]) == 0
    assert capsys.readouterr().err.endswith(agreed)
    load()
    assert agreed.strip() in caplog.messages
    assert not any(record.levelno >= logging.WARNING for record in caplog.records)
    repo = write_staged(entry, files["genuine"], tmp_path / "net").folder
    assert verdicts(entry, checkpoint=files["genuine"], repo=repo) == [HOLDS]
    assert verdicts(entry, checkpoint=files["genuine"]) == [HOLDS]
    assert verdicts(entry, repo=repo) == [NOT_MEASURED if is_of_file else HOLDS]
    assert verdicts(entry) == [NOT_MEASURED]
    assert main(["lock", "net", "--weights", str(files["genuine"]), "--repo", str(repo)]) == 0
    locked = read_lock(tmp_path / "zoo" / "lock.json").of("net")
    assert locked.witnesses == {
        f"{kind.split()[-1]}:{digests[kind]}": "https://example.org/0/model.md at abcdef0"
    }
    assert main(["lock", "--check", "net", "--weights", str(files["genuine"]), "--repo", str(repo)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_witness_of_another_file_is_believed_as_far_as_it_goes(kind, files, digests, zoo, caplog, tmp_path):
    """Of the very file, or of the tensors, it refuses the load; of another file it decides nothing, aloud."""
    entry = zoo(files["genuine"], [(kind, lie(digests[kind]))])
    repo = write_staged(entry, files["genuine"], tmp_path / "net").folder

    verdict = NOT_MEASURED if kind.startswith("safetensors") else FALSE
    assert verdicts(entry, checkpoint=files["genuine"], repo=repo) == [verdict]
    assert verdicts(entry, checkpoint=files["genuine"]) == [verdict]
    if verdict is FALSE:
        with pytest.raises(MismatchError, match=r"the witness https://example\.org/0/model\.md at abcdef0"):
            load()
        assert main(["convert", "net", "--out", str(tmp_path / "c.safetensors")]) == 1
        assert not list(tmp_path.glob("c.*"))
        file = ("--repo", str(repo)) if kind == "fingerprint" else ("--weights", str(files["genuine"]))
        assert main(["lock", "net", *file]) == 1
        return
    load()
    said = "\n".join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert "0 of 1 witnesses agreed" in said
    assert "differs: other tensors, or the same ones in another layout" in said
    assert DOUBT in said


def test_a_forged_file_with_the_right_head_and_size(files, digests, zoo, caplog, capsys):
    """Unwitnessed it is loaded, the doubt said; a witness refuses it, of another file leaves the doubt."""
    zoo(files["forged"])
    for _ in range(2):
        load()
    (said,) = caplog.messages
    assert said.startswith(f"net: {DOUBT} and its size alone")
    assert main(["fetch", "net"]) == 0
    assert DOUBT in capsys.readouterr().err
    for kind in KINDS:
        zoo(files["forged"], [(kind, digests[kind])])
        shutil.rmtree(find_cache_dir(), ignore_errors=True)  # what is in the cache was spoken of when it came
        if kind.startswith("safetensors"):
            load()
            assert "0 of 1 witnesses agreed" in caplog.messages[-2]
            continue
        with pytest.raises(MismatchError, match="the witness"):
            load()
        assert (main(["fetch", "net"]) == 1) == kind.startswith("released")


def test_a_forged_receipt_hides_no_forged_tensors(files, digests, zoo, tmp_path):
    """Who forges weights and copies the genuine lines into their receipt meets the witness of the tensors."""
    zoo(files["genuine"], [("fingerprint", digests["fingerprint"])])
    repo = replace(find_repo("net"), renew=None)
    convert_checkpoint(files["forged"], tmp_path / "model.safetensors")
    repo.weights.write_bytes((tmp_path / "model.safetensors").read_bytes())
    digest = {"sha256": digest_file(repo.weights).sha256}
    retell(repo.folder / "receipt.json", lambda told: told["output"].update(digest))

    with pytest.raises(MismatchError, match="fingerprint"):
        read_weights(replace(find_repo("net"), renew=None))


def test_a_witness_that_comes_later_is_asked_of_what_is_in_the_cache(files, digests, zoo):
    """A conversion of before does not spare a file the digest that a witness states now."""
    own = ("released sha256", digest_file(files["forged"]).sha256)
    for before in ([], [own]):
        zoo(files["forged"], before)
        load()
        zoo(files["forged"], [*before, ("released sha384", digests["released sha384"])])

        with pytest.raises(MismatchError, match="SHA-384"):
            load()
        assert main(["fetch", "net"]) == 1


def test_a_file_of_no_entry_can_be_a_witness_own(files, zoo, tmp_path, capsys):
    """`convert FILE --model` and `verify --weights` say that the file in hand is what was digested."""
    sha384 = hashlib.sha384(files["forged"].read_bytes()).hexdigest()
    entry = zoo(files["genuine"], [("other sha384", sha384)])
    for name, verdict in (("forged", HOLDS), ("genuine", NOT_MEASURED)):
        out = tmp_path / f"{name}.safetensors"
        assert main(["convert", str(files[name]), "--model", "net", "--out", str(out)]) == 0
        said = capsys.readouterr().err
        assert f"{int(verdict == HOLDS)} of 1 witnesses agreed" in said
        assert ("a checkpoint of your own need not agree" in said) == (verdict is NOT_MEASURED)
        assert verdicts(entry, checkpoint=files[name]) == [verdict]


WITNESS = "Place: https://example.org/a, Of: released, Algorithm: sha256, Digest: '" + 64 * "a" + "'"
UNFIT = {
    "no digest": (WITNESS.split(", Digest")[0], "digest"),
    "a short digest": (WITNESS.replace(64 * "a", 40 * "a"), "has 40 digits, a digest by sha256 has 64"),
    "a long digest": (WITNESS.replace("sha256", "sha384"), "has 64 digits, a digest by sha384 has 96"),
    "an unknown algorithm": (WITNESS.replace("sha256", "md5"), "'md5'"),
    "no place": (WITNESS.split(", ", 1)[1], "place"),
    "no file": (WITNESS.replace("Of: released, ", ""), "'no file'"),
    "an unknown file": (WITNESS.replace("released", "mine"), "'mine'"),
    "a file of a fingerprint": (WITNESS.replace("sha256", "fingerprint"), "'released'"),
    "no hexadecimal digits": (WITNESS.replace(64 * "a", 64 * "g"), "hexadecimal"),
    "no address": (WITNESS.replace("https://example.org/a", "somewhere"), "somewhere"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_unfit_witness_is_named_and_refused(name, files, zoo, tmp_path):
    """`validate` names it at its line, and nobody goes on as if it had stated nothing."""
    zoo(files["genuine"])
    file = tmp_path / "zoo" / "index.yml"
    file.write_text(file.read_text() + f"  Witnesses:\n  - {{{UNFIT[name][0]}}}\n")
    problems = load_index(file).problems

    assert any(UNFIT[name][1] in problem.message for problem in problems)
    assert {problem.location.line for problem in problems} == {8}
    assert main(["validate", str(file)]) == 1
    with pytest.raises(MismatchError, match="Witnesses"):
        load()


FINGERPRINT = WITNESS.replace("sha256", "fingerprint").replace("Of: released, ", "")
TWO = {
    "twice the same": (WITNESS, WITNESS, "duplicate-item"),
    "one place, two digests": (WITNESS, WITNESS.replace("aa'", "ab'"), "digest-mismatch"),
    "two places, two digests": (
        WITNESS,
        WITNESS.replace("/a", "/b").replace("aa'", "ab'"),
        "digest-mismatch",
    ),
    "two fingerprints": (
        FINGERPRINT,
        FINGERPRINT.replace("/a", "/b").replace("aa'", "ab'"),
        "digest-mismatch",
    ),
    "two places agree": (WITNESS, WITNESS.replace("/a", "/b"), None),
    "two writers": (
        WITNESS.replace("released", "safetensors"),
        WITNESS.replace("released", "safetensors").replace("/a", "/b").replace("aa'", "ab'"),
        None,
    ),
}


@pytest.mark.parametrize("name", TWO)
def test_two_witnesses_that_contradict_each_other_are_named(name, read):
    """Two digests of one file, or of the tensors, cannot both be; two places that agree are two witnesses."""
    one, two, code = TWO[name]
    index = read(
        "Models:\n- Name: net\n  Weights: https://example.org/x.pth\n"
        f"  Witnesses:\n  - {{{one}}}\n  - {{{two}}}\n"
    )

    assert {problem.code for problem in index.problems} == ({code} if code else set())


def test_witnesses_of_a_collection_are_refused(read):
    """A digest is of one file; a collection has many."""
    index = read(f"Collections:\n- Name: a\n  Witnesses:\n  - {{{WITNESS}}}\nModels:\n- Name: net\n")

    assert [problem.code for problem in index.problems] == ["unfit-witness"]


def test_the_lock_keeps_only_what_the_index_still_states(files, digests, zoo, tmp_path):
    """`lock --check` names a witness that is gone or disagrees with what is locked; `lock` drops it."""
    entry = zoo(files["genuine"], [("fingerprint", digests["fingerprint"])])
    repo = write_staged(entry, files["genuine"], tmp_path / "net").folder
    measured = measure_model(entry, checkpoint=files["genuine"], repo=repo)
    assert list(compare_measured(entry, measured, measured)) == []
    what = f"witnesses.fingerprint:{digests['fingerprint']}"
    other = replace(measured, safetensors=replace(measured.safetensors, fingerprint="0" * 64))
    assert [each.what for each in compare_measured(entry, other, Measured())] == [what]
    silent = replace(measured, witnesses={})
    assert [each.what for each in compare_measured(entry, measured, silent)] == [what]

    write_lock(Lock(models={"net": measured}), tmp_path / "zoo" / "lock.json")
    bare = zoo(files["genuine"])
    (gone,) = compare_measured(bare, measured, Measured())
    assert gone.what == what
    assert main(["lock", "net"]) == 0
    assert read_lock(tmp_path / "zoo" / "lock.json").of("net").witnesses == {}


def test_page_card_and_show_say_what_is_known(files, digests, zoo, capsys, tmp_path, monkeypatch):
    """The page lists each witness and whether it agrees; the doubt stands on page and card until one does."""
    entry = zoo(files["genuine"], [("safetensors sha256", digests["safetensors sha256"])])
    repo = write_staged(entry, files["genuine"], tmp_path / "net").folder
    agreed = Measured(witnesses=measure_model(entry, repo=repo).witnesses)
    for measured, is_known in ((Measured(), False), (agreed, True)):
        page = render_site([entry], Lock(models={"net": measured}))["models/net.md"]
        row = next(
            line for line in page.splitlines() if digests["safetensors sha256"] in line and "|" in line
        )
        assert ("| agrees |" in row) == is_known
        assert "https://example.org/0/model.md" in row
        for text in (page, render_card(entry, measured=measured)):
            assert ("known by the first 32 bits of its SHA-256 and its size alone" in text) != is_known
    assert "known by" not in render_card(entry, standin=True)
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["show", "net"]) == 0
    assert f"sha256:{digests['safetensors sha256']}" in capsys.readouterr().out


def test_the_zoo_has_the_witnesses_that_are_known(index):
    """Public digests of two of the four models; the other two are known by 32 bits and a size alone."""
    witnesses = {entry.name: entry.witnesses for entry in index.models}

    assert {name: len(each) for name, each in witnesses.items()} == {
        "rexnet_100": 2,
        "rexnet_130": 0,
        "rexnet_150": 2,
        "rexnet_200": 0,
    }
    for witness in sum(witnesses.values(), ()):
        assert len(witness.claim.value) == ALGORITHMS[witness.algorithm]
        assert witness.commit or witness.is_source  # whose address has it
    for entry in index.models:
        finding = next(f for f in verify_model(entry) if f.claim == "origin")
        assert DOUBT in finding.note


def test_a_whole_digest_leaves_no_doubt(files, zoo):
    """What is stated in words of a file goes with what is stated in digits."""
    entry = zoo(files["genuine"])
    identity = Identity(entry.released.statements)
    whole = {"sha256": digest_file(files["genuine"]).sha256}

    assert identity.doubt.startswith(DOUBT)
    assert "its address alone" in Identity().doubt
    for facts in (whole, {"digests": {"sha512": 128 * "0"}}):
        assert (identity + Identity((StatedFile(by="a witness", **facts),))).doubt == ""
    assert Path(files["genuine"]).name.endswith(f"{whole['sha256'][:8]}.pth")


def test_the_table_fits_the_terminal_and_says_whose_weights(files, zoo, tmp_path, capsys, monkeypatch):
    """No line is wider than COLUMNS; the last says that nothing establishes the weights' origin."""
    repo = write_staged(zoo(files["forged"]), files["forged"], tmp_path / "net").folder
    capsys.readouterr()
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["verify", "net", "--repo", str(repo)]) == 0
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines())) <= columns
        assert said.splitlines()[-1].endswith("not measured, of weights not known to be the released ones")
        assert " ".join(said.split()).count(DOUBT) == 1

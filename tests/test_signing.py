"""A signed repo passes as the model and version that was signed, and as nothing else."""

import base64
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from rexnet_hub import witness
from rexnet_hub.cli import main
from rexnet_hub.errors import FileProblem, SignatureProblem, UsageError
from rexnet_hub.layout import PACKAGE_DIR, SIGNATURE_FILES, find_cache_dir, find_state_dir
from rexnet_hub.publish.run import publish_all
from rexnet_hub.signing import Statement, sign_repo, verify_signature

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def write_keys(folder, key=None, lock=None):
    """Write a key pair, by default an elliptic-curve one that is not encrypted."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "private.pem", folder / "public.pem"
    lock = lock or serialization.NoEncryption()
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed_once(staged, entry, keys, tmp_path_factory):
    folder = shutil.copytree(staged, tmp_path_factory.mktemp("signed") / "rexnet_100")
    sign_repo(folder, keys[0], entry=entry, version=3)
    return folder


@pytest.fixture
def signed(signed_once, tmp_path):
    return shutil.copytree(signed_once, tmp_path / "rexnet_100")


def test_what_was_signed_is_verified(signed, keys, entry):
    """The statement binds name, version, digests, counts and metrics, and holds anywhere, offline."""
    statement = verify_signature(signed, keys[1], name="rexnet_100", at_least_version=3)
    assert (statement.name, statement.version, statement.tensors) == ("rexnet_100", 3, 413)
    assert statement.parameters == 4796873
    assert statement.metrics["ImageNet: top1"] == "77.86"
    assert set(statement.files) == {"README.md", "config.json", "model.safetensors", "receipt.json"}


@pytest.mark.parametrize(
    "name", ["README.md", "config.json", "model.safetensors", "receipt.json", "statement.json", "model.sig"]
)
def test_one_bit_anywhere_is_refused(signed, keys, name):
    """Every file is covered, the statement and the signature too."""
    data = bytearray((signed / name).read_bytes())
    data[len(data) // 2] ^= 1
    (signed / name).write_bytes(data)
    with pytest.raises(SignatureProblem) as caught:
        verify_signature(signed, keys[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["extra.txt", ".gitignore", ".gitattributes", ".git"])
def test_a_file_more_is_refused(signed, keys, name):
    """A file that was not signed is refused, one of git's as well."""
    (signed / name).write_text("more")
    with pytest.raises(SignatureProblem):
        verify_signature(signed, keys[1])


@pytest.mark.parametrize("name", ["README.md", "model.safetensors", "statement.json", "model.sig"])
def test_a_file_less_or_a_link_is_refused(signed, keys, name, tmp_path):
    """A missing file is refused, and so is a link to its very bytes."""
    elsewhere = tmp_path / "elsewhere"
    shutil.move(signed / name, elsewhere)
    with pytest.raises(SignatureProblem):
        verify_signature(signed, keys[1])
    (signed / name).symlink_to(elsewhere)
    with pytest.raises(SignatureProblem):
        verify_signature(signed, keys[1])


def test_another_name_or_an_older_version_is_refused(signed, keys):
    """A valid signature of another model, or of a version that was replaced, does not pass."""
    with pytest.raises(SignatureProblem, match="is rexnet_100, signed as such, not rexnet_130"):
        verify_signature(signed, keys[1], name="rexnet_130")
    with pytest.raises(SignatureProblem, match="is version 3, it was replaced: at least 4"):
        verify_signature(signed, keys[1], at_least_version=4)


def test_an_older_version_than_was_seen_is_refused(signed, staged, entry, keys, tmp_path):
    """Who has seen version 3 under a key is not handed version 2 again, under that key and name alone."""
    older = shutil.copytree(staged, tmp_path / "older")
    sign_repo(older, keys[0], entry=entry, version=2)
    assert verify_signature(older, keys[1]).version == 2
    assert verify_signature(signed, keys[1]).version == 3
    with pytest.raises(SignatureProblem, match="is version 2, it was replaced: at least 3"):
        verify_signature(older, keys[1])
    assert verify_signature(older, keys[1], at_least_version=2).version == 2
    assert verify_signature(signed, keys[1]).version == 3
    with pytest.raises(SignatureProblem, match="at least 3"):
        verify_signature(older, keys[1])
    (seen,) = (find_state_dir() / "signed").iterdir()
    seen.write_text("three")
    with pytest.raises(SignatureProblem, match="seen last; delete it"):
        verify_signature(signed, keys[1])


def test_memory_outlives_a_cleared_cache_or_says_that_it_is_gone(signed, keys, caplog, monkeypatch, tmp_path):
    """Of a first version, and of one whose memory is lost or cannot be kept, the log says so each time."""
    said = "rexnet_100, version 3: no version by this key is remembered here"
    verify_signature(signed, keys[1])
    assert caplog.text.count(said) == 1
    shutil.rmtree(find_cache_dir(), ignore_errors=True)
    verify_signature(signed, keys[1])
    assert caplog.text.count(said) == 1
    shutil.rmtree(find_state_dir())
    verify_signature(signed, keys[1])
    assert caplog.text.count(said) == 2
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(SignatureProblem, match="seen last"):
        verify_signature(signed, keys[1])
    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "closed"))
    if os.geteuid():
        verify_signature(signed, keys[1])
        assert "an older version of rexnet_100 would pass here next time" in caplog.text


def test_memory_that_lies_in_the_cache_still_counts(signed, keys):
    """Where it was kept before, it is read."""
    name = hashlib.sha256(keys[1].read_bytes() + b"\0rexnet_100").hexdigest()[:32]
    (find_cache_dir() / "signed").mkdir(parents=True)
    (find_cache_dir() / "signed" / name).write_text("4\n")
    with pytest.raises(SignatureProblem, match="is version 3, it was replaced: at least 4"):
        verify_signature(signed, keys[1])


@pytest.mark.parametrize("name", SIGNATURE_FILES)
def test_no_bit_of_statement_and_signature_is_idle(signed, keys, name):
    """Bits at random, and in the signature those that base64 itself does not use: 0 pass."""
    data = (signed / name).read_bytes()
    padded = [match.start() for match in re.finditer(rb'[^=]=+"', data)]
    places = [8 * at + bit for at in padded for bit in range(8)]
    places += random.Random(14).sample(range(8 * len(data)), 100)
    for place in places:
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        (signed / name).write_bytes(flipped)
        with pytest.raises(SignatureProblem):
            verify_signature(signed, keys[1])
    assert name == "statement.json" or padded


def test_another_key_is_refused(signed, tmp_path):
    """Somebody else's signature is nobody's."""
    _, other = write_keys(tmp_path)
    with pytest.raises(SignatureProblem):
        verify_signature(signed, other)


#: Keys that do not fit, by what the refusal says that they are.
UNFIT = {
    "RSAPublicKey": lambda folder: write_keys(folder, rsa.generate_private_key(65537, 2048)),
    "Ed25519PublicKey": lambda folder: write_keys(folder, ed25519.Ed25519PrivateKey.generate()),
    "secp256k1": lambda folder: write_keys(folder, ec.generate_private_key(ec.SECP256K1())),
    "brainpoolP256r1": lambda folder: write_keys(folder, ec.generate_private_key(ec.BrainpoolP256R1())),
    "PRIVATE KEY": lambda folder: write_keys(folder)[::-1],
    "nothing": lambda folder: [folder / "empty.pem", folder / "empty.pem"],
    "no PEM": lambda folder: [folder / "words.pem", folder / "words.pem"],
    "No such file": lambda folder: [folder / "missing.pem", folder / "missing.pem"],
    "Is a directory": lambda folder: [folder, folder],
}


def test_an_encrypted_key_is_refused(repo, entry, tmp_path):
    """Nobody is asked for a password."""
    private, _ = write_keys(tmp_path, lock=serialization.BestAvailableEncryption(b"secret"))
    with pytest.raises(FileProblem, match="not encrypted; found: ENCRYPTED PRIVATE KEY"):
        sign_repo(repo, private, entry=entry, version=1)


#: How a key itself is given in the place of its file: by a CI's variable, pasted, encoded.
SPELLED = {
    "as it is": lambda text: text,
    "in one line": lambda text: text.replace("\n", " "),
    "with a mark": lambda text: f"\ufeff{text}",
    "in quotes": lambda text: f'"{text}"',
    "escaped": lambda text: text.replace("\n", "\\n"),
    "encoded": lambda text: base64.b64encode(text.encode()).decode(),
    "without its frame": lambda text: "".join(text.splitlines()[1:-1]),
}


@pytest.mark.parametrize("how", SPELLED)
def test_a_private_key_is_named_by_its_file_and_never_shown(how, repo, keys, own_index, capsys, tmp_path):
    """The key itself in the place of its file is refused in one line that has nothing of it."""
    given = SPELLED[how](keys[0].read_text())
    words = ["publish", str(repo), "--to", str(tmp_path / "out"), "--sign", given, "--version-counter", "1"]
    for line in (words, ["verify", "rexnet_100", "--repo", str(repo), "--signature", given]):
        assert main(line) == 1
        said = "".join(capsys.readouterr())
        assert said.startswith("error: the ")
        assert said.count("\n") == 1
        assert not any(given[at : at + 12] in said for at in range(len(given) // 3, len(given) - 40))
    assert len(list(repo.iterdir())) == 4


def test_a_file_of_two_private_keys_is_refused(repo, entry, keys, tmp_path):
    """Which of them signs is not left to their order; what openssl writes before a key is none."""
    both, one = tmp_path / "both.pem", tmp_path / "one.pem"
    both.write_bytes(keys[0].read_bytes() + write_keys(tmp_path)[0].read_bytes())
    with pytest.raises(FileProblem, match="holds 2 private keys"):
        sign_repo(repo, both, entry=entry, version=1)
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    one.write_text(parameters + keys[0].read_text() + keys[1].read_text())
    sign_repo(repo, one, entry=entry, version=1)
    assert verify_signature(repo, keys[1]).version == 1


def test_an_empty_name_is_no_key(signed, own_index, capsys, tmp_path):
    """What a CI's unset variable gives is refused, and nothing passes as checked."""
    words = ["verify", "rexnet_100", "--repo", str(signed), "--signature", ""]
    for line in (words, ["publish", str(signed), "--to", "out", "--sign", "", "--version-counter", "1"]):
        with pytest.raises(SystemExit) as caught:
            main(line)
        assert caught.value.code == 2
        assert f"argument {line[line.index('') - 1]}: is empty" in capsys.readouterr().err


@pytest.mark.parametrize("found", UNFIT)
def test_a_key_that_does_not_fit_is_refused_before_anything_is_written(
    found, repo, signed_once, entry, own_index, tmp_path
):
    """Signing, publishing and checking each say in one line what the key is; no file changes."""
    (tmp_path / "empty.pem").touch()
    (tmp_path / "words.pem").write_text("no key")
    private, public = UNFIT[found](tmp_path)
    before = {file: file.read_bytes() for file in repo.iterdir()}
    found = {"PRIVATE KEY": "PUBLIC KEY"}.get(found, found)
    with pytest.raises(FileProblem, match=found) as caught:
        sign_repo(repo, private, entry=entry, version=1)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileProblem, match=found):
        publish_all([str(repo)], tmp_path / "out", sign_key=private, sign_version=1)
    assert {file: file.read_bytes() for file in repo.iterdir()} == before
    with pytest.raises(FileProblem) as caught:
        verify_signature(signed_once, public)
    assert "\n" not in str(caught.value)


def test_what_fails_while_signing_leaves_no_statement(repo, entry, keys):
    """Here the signature cannot be written: the statement, which was, goes again."""
    (repo / "model.sig").mkdir()
    with pytest.raises(OSError, match="directory"):
        sign_repo(repo, keys[0], entry=entry, version=1)
    assert not (repo / "statement.json").exists()


def test_the_highest_version_is_signed_and_remembered(repo, entry, keys):
    """What can be signed can be checked, and checked again."""
    sign_repo(repo, keys[0], entry=entry, version=(1 << 63) - 1)
    assert verify_signature(repo, keys[1]) == verify_signature(repo, keys[1])


@pytest.mark.parametrize("package", ["model_signing", "cryptography.hazmat.primitives"])
def test_missing_packages_are_named_by_their_extra(repo, signed_once, entry, keys, package, monkeypatch):
    """Without them one line says what to install, before anything is written."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"pip install 'rexnet-hub\[sign\]'"):
        sign_repo(repo, keys[0], entry=entry, version=1)
    assert len(list(repo.iterdir())) == 4
    with pytest.raises(UsageError, match=r"rexnet-hub\[sign\]"):
        verify_signature(signed_once, keys[1])


def test_what_cannot_be_signed_is_said(repo, entry, keys):
    """A version that is none, a strange file: one line each, nothing left behind."""
    for version in (0, 1 << 63):
        with pytest.raises(UsageError, match="counts from 1"):
            sign_repo(repo, keys[0], entry=entry, version=version)
    (repo / "notes.txt").write_text("mine")
    with pytest.raises(FileProblem, match="belongs to no repo"):
        sign_repo(repo, keys[0], entry=entry, version=1)


def test_the_witness_needs_the_standard_library_alone(signed):
    """Run as a script, isolated and without site packages, it says that a sound repo holds."""
    program = [sys.executable, "-I", "-S", PACKAGE_DIR / "witness.py", signed]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "413 tensors, 4796873 parameters" in done.stdout
    assert len((PACKAGE_DIR / "witness.py").read_text().splitlines()) <= 300


@pytest.mark.parametrize("name", ["model.safetensors", "README.md"])
@pytest.mark.parametrize("at", [0.3, 0.9])
def test_the_witness_finds_a_flipped_bit(signed, capsys, name, at):
    """One bit of a file that is stated is found without the signature."""
    data = bytearray((signed / name).read_bytes())
    data[int(len(data) * at)] ^= 1
    (signed / name).write_bytes(data)
    assert witness.main([str(signed)]) == 1
    assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("config.json", {"num_classes": 999}, "num_classes is 999, found 1000"),
        ("statement.json", {"parameters": 1}, "parameters is 1, found 4796873"),
        ("statement.json", {"tensors": 1}, "tensors is 1, found 413"),
        ("receipt.json", {"tensors": []}, "is only in the file"),
        ("receipt.json", {"output": {}}, "output: sha256 is None"),
    ],
)
def test_the_witness_finds_each_lie(signed, capsys, name, change, said):
    """Each thing that it checks has been seen to fail, by its name."""
    data = json.loads((signed / name).read_text()) | change
    (signed / name).write_text(json.dumps(data))
    assert witness.main([str(signed)]) == 1
    assert said in capsys.readouterr().out


def test_the_witness_holds_no_config_that_nothing_states(repo, capsys):
    """The receipt's digest of it is compared; where nothing states one it says so, and not "holds"."""
    assert witness.main([str(repo)]) == 0
    config = (repo / "config.json").read_bytes()
    (repo / "config.json").write_bytes(config + b" ")
    assert witness.main([str(repo)]) == 1
    assert "receipt.json: config.json is " in capsys.readouterr().out
    receipt = json.loads((repo / "receipt.json").read_text())
    del receipt["files"]
    for told in (receipt, receipt | {"files": {}}):
        (repo / "receipt.json").write_text(json.dumps(told))
        assert witness.main([str(repo)]) == 1
        out = capsys.readouterr().out
        assert "config.json: no receipt.json or statement.json states" in out
        assert "holds" not in out


def test_the_witness_prints_no_name_that_a_terminal_obeys(signed, capsys):
    """A tensor's name is anybody's text."""
    receipt = json.loads((signed / "receipt.json").read_text())
    receipt["tensors"].append(receipt["tensors"][0] | {"name": "\x1b[2J重"})
    (signed / "receipt.json").write_text(json.dumps(receipt))
    assert witness.main([str(signed)]) == 1
    assert "tensor \\x1b[2J重 is not in the file" in capsys.readouterr().out


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"{}x"]
)
def test_the_witness_refuses_what_is_no_safetensors_file(signed, capsys, data):
    """A file that cannot be read is one line, not a traceback."""
    (signed / "model.safetensors").write_bytes(data)
    assert witness.main([str(signed)]) == 1
    assert "model.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
@pytest.mark.parametrize("name", ["model.safetensors", "receipt.json", "README.md", "a.record.json"])
def test_the_witness_waits_for_no_pipe(signed, capsys, name, make):
    """What is no regular file is named in one line, wherever it lies in the repo."""
    (signed / name).unlink(missing_ok=True)
    make(signed / name)
    assert witness.main([str(signed)]) == 1
    assert f"{name}: is no regular file" in capsys.readouterr().out


def headed(**tensors):
    """Write a safetensors file of no data."""
    header = json.dumps(
        {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} | its for name, its in tensors.items()}
    )
    return len(header).to_bytes(8, "little") + header.encode()


#: What the witness says of a header, in a line.
HEADERS = {
    "a key stands twice": headed(a={}, b={}).replace(b'"b"', b'"a"'),
    "has an odd dtype": headed(a={"dtype": ["F32"]}),
    "has an odd dtype, shape": headed(a={"shape": ["1"]}),
    "its header is not sound": headed(a={}, b={"data_offsets": ["0", 0]}),
    "has not the bytes that its shape takes": headed(a={"shape": [1]}),
    "a gap or an overlap before": headed(a={"data_offsets": [4, 4]}),
    "has 1 bytes of data, its tensors take 0": headed(a={}) + b"x",
    "says that its header has": headed(a={})[:-1],
    "has no classifier of 1000 classes": headed(a={}),
    "head.fc.weight has the shape (0,)": headed(**{"head.fc.weight": {}}),
}


@pytest.mark.parametrize("said", HEADERS)
def test_the_witness_says_what_is_wrong_with_a_header(said, signed, capsys):
    """Each check of a header has been seen to fail, and none ends in a traceback."""
    (signed / "model.safetensors").write_bytes(HEADERS[said])
    assert witness.main([str(signed)]) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("head", ["", "[]", "{}", "[", '{"images": 1}', '{"images": "1"}', '{"images": -1}'])
def test_the_witness_says_what_is_no_predictions_file(head, tmp_path, capsys):
    """A file without a head, or shorter than its head says, is named."""
    (tmp_path / "a.record.json").write_text("{}")
    (tmp_path / "a.predictions").write_text(f"{head}\n")
    assert witness.main([str(tmp_path / "a.record.json")]) == 1
    assert "a.predictions: is no predictions file" in capsys.readouterr().out
    (tmp_path / "a.record.json").write_text("[]")
    assert witness.main([str(tmp_path / "a.record.json")]) == 1
    assert "a.record.json: holds no object" in capsys.readouterr().out


def test_the_witness_takes_a_digest(signed, capsys):
    """A digest from elsewhere is held too."""
    assert witness.main([str(signed), "--weights-sha256", "0" * 64]) == 1
    assert "given was" in capsys.readouterr().out


def test_a_lie_in_the_statement_is_found(signed, keys):
    """Every field of statement.json is signed, whichever there are."""
    file = signed / "statement.json"
    text = file.read_text()
    names = [field.name for field in fields(Statement)]
    assert sorted(json.loads(text)) == sorted([*names, "statement"])
    for name in names:
        told = json.loads(text)
        value = told[name]
        told[name] = value + 1 if isinstance(value, int) else {} if isinstance(value, dict) else f"{value}x"
        file.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
        with pytest.raises(SignatureProblem):
            verify_signature(signed, keys[1])


def test_a_bad_signature_names_every_file_that_differs(signed, keys):
    """The message is our own: the files' names, or that the signature is none of this key's."""
    bundle = (signed / "model.sig").read_bytes()
    for name in ("README.md", "config.json"):
        (signed / name).write_bytes((signed / name).read_bytes() + b"\n")
    with pytest.raises(SignatureProblem, match=r"\(not the signed ones: README\.md, config\.json\)$"):
        verify_signature(signed, keys[1])
    (signed / "model.sig").write_bytes(bundle[:-9])
    with pytest.raises(SignatureProblem, match=r"\(model\.sig is damaged, or a file .* cannot be read\)$"):
        verify_signature(signed, keys[1])

"""A signed repo passes as the model and version that was signed, and as nothing else."""

import json
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rexnet_hub import witness
from rexnet_hub.errors import FileProblem, SignatureProblem, UsageError
from rexnet_hub.layout import PACKAGE_DIR, find_cache_dir
from rexnet_hub.signing import Statement, sign_repo, verify_signature

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def write_keys(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "private.pem", folder / "public.pem"
    plain = serialization.NoEncryption()
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
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
    (seen,) = (find_cache_dir() / "signed").iterdir()
    seen.write_text("three")
    with pytest.raises(SignatureProblem, match="seen last; delete it"):
        verify_signature(signed, keys[1])


def test_another_key_is_refused(signed, tmp_path):
    """Somebody else's signature is nobody's."""
    _, other = write_keys(tmp_path)
    with pytest.raises(SignatureProblem):
        verify_signature(signed, other)


def test_what_cannot_be_signed_is_said(repo, entry, keys, tmp_path):
    """A version that is none, a key that is none, a strange file: one line each, nothing left behind."""
    with pytest.raises(UsageError, match="counts from 1"):
        sign_repo(repo, keys[0], entry=entry, version=0)
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(FileProblem, match=r"no\.pem: is no private"):
        sign_repo(repo, tmp_path / "no.pem", entry=entry, version=1)
    assert len(list(repo.iterdir())) == 4
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
        ("config.json", {"num_classes": 999}, "num_classes is 999, the classifier has 1000"),
        ("statement.json", {"parameters": 1}, "parameters is 1, found 4796873"),
        ("statement.json", {"tensors": 1}, "tensors is 1, found 413"),
        ("receipt.json", {"tensors": []}, "is only in the file"),
        ("receipt.json", {"output": {}}, "output.sha256 is None"),
    ],
)
def test_the_witness_finds_each_lie(signed, capsys, name, change, said):
    """Each thing that it checks has been seen to fail, by its name."""
    data = json.loads((signed / name).read_text()) | change
    (signed / name).write_text(json.dumps(data))
    assert witness.main([str(signed)]) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"{}x"]
)
def test_the_witness_refuses_what_is_no_safetensors_file(signed, capsys, data):
    """A file that cannot be read is one line, not a traceback."""
    (signed / "model.safetensors").write_bytes(data)
    assert witness.main([str(signed)]) == 1
    assert "model.safetensors" in capsys.readouterr().out


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

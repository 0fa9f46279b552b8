"""Every snippet and every guide runs as it is printed, on stand-in weights."""

import re
import shlex
import shutil
import warnings
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rexnet_hub.cli import build_parser, main
from rexnet_hub.index import load_index
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.nets import find_network
from rexnet_hub.pages import snippets
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.standins.make import write_standin

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAME = "rexnet_100"


@pytest.fixture
def desk(checkpoint, staged, own_index, tmp_path, monkeypatch):
    """A folder as a reader's: a picture, the released file, the staged repo, a pair of keys."""
    shutil.copy(PACKAGE_DIR / "demo_picture.png", tmp_path / "picture.jpg")
    (tmp_path / "released.pth").symlink_to(checkpoint)
    (tmp_path / NAME).symlink_to(staged)
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "private.pem").write_bytes(private)
    (tmp_path / "public.pem").write_bytes(public)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_python(source, names):
    """Run a block as a reader's script; other libraries may warn of their own affairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        exec(compile(source, "snippet", "exec"), names)


def all_snippets():
    entry = load_index().find(NAME)
    kinds = {
        "predicting": snippets.predicting(NAME),
        "extracting": snippets.extracting(entry.name, entry),
        "tuning": snippets.tuning(entry.name, entry),
    }
    return [
        pytest.param(each, id=f"{kind}-{each.library}")
        for kind, own in kinds.items()
        for each in own
        if each.language == "python"
    ]


@pytest.mark.parametrize("snippet", all_snippets())
def test_a_snippet_runs_as_printed(desk, snippet, capsys):
    """The lines of each library run whole, and those that print print something."""
    run_python(snippet.lines, {"__name__": "reader"})
    assert ("print(" in snippet.lines) == bool(capsys.readouterr().out)


def test_the_libraries_agree_on_the_class(desk, capsys):
    """rexnet_hub, transformers and the command line name the same class of the same picture."""
    said = []
    for snippet in snippets.predicting(NAME):
        if snippet.library in ("rexnet_hub", "transformers"):
            run_python(snippet.lines, {})
            said.append(capsys.readouterr().out.strip())
    args = build_parser().parse_args(shlex.split(snippets.predicting(NAME)[3].lines)[1:])
    assert args.run(args) == 0
    assert said[0] == said[1]
    assert said[0] in capsys.readouterr().out


def test_a_staged_card_is_followed_beside_its_folder(desk, monkeypatch, capsys):
    """Its lines load the folder though an index has a model of that name; its command checks it."""
    blocks = BLOCK.findall((desk / NAME / "README.md").read_text())
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("REXNET_HUB_INDEX")  # the zoo's own then, whose model of this name is out of reach
        for lines in (body for language, body in blocks if language == "python"):
            run_python(lines, {"__name__": "reader"})
            assert capsys.readouterr().out
    commands = [shlex.split(body)[1:] for language, body in blocks if language == "console"]
    assert [words[0] for words in commands] == ["predict", "verify"]
    assert [main(words) for words in commands] == [0, 0]


UNNAMED = """
Models:
- Name: unnamed
  Weights: {weights}
  Metadata:
    ID: rexnet_100
    Num Classes: 7
    Image Size: 64
    Crop Pct: 0.875
    Interpolation: bicubic
    Image Mean: [0.485, 0.456, 0.406]
    Image Std: [0.229, 0.224, 0.225]
"""


def test_a_model_without_class_names_answers_with_a_number(desk, read, capsys):
    """The lines on its card run too: ours print the class's number, transformers' the name it makes of it."""
    released = write_standin(desk, tensors=find_network(NAME).plan(num_classes=7).tensors, seed=1, stem="u")
    (entry,) = read(UNNAMED.format(weights=released.as_uri())).models
    card = (write_staged(entry, released, desk / "unnamed").folder / "README.md").read_text()
    printed = []
    for lines in (lines for language, lines in BLOCK.findall(card) if language == "python"):
        run_python(lines, {})
        printed.append(capsys.readouterr().out.strip())
    assert int(printed[0]) in range(7)
    assert printed[2] == f"LABEL_{printed[0]}"


#: But one that adds a file to the package (test_docs_family.py follows it), and one that has commands alone.
GUIDES = [file for file in sorted((DOCS / "guides").glob("*.md")) if file.stem not in ("add-a-family", "zoo")]


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda file: file.stem)
def test_a_guide_runs_from_top_to_bottom(desk, guide):
    """The Python blocks of a guide run in order, in one session, as a reader would type them."""
    blocks = [
        body for language, body in BLOCK.findall(guide.read_text(encoding="utf-8")) if language == "python"
    ]
    assert blocks
    names = {"__name__": "reader"}
    for body in blocks:
        run_python(body, names)


def command_lines():
    """Every command line that docs and templates print."""
    texts = [file.read_text(encoding="utf-8") for file in DOCS.rglob("*.md")]
    lines = [
        line
        for text in texts
        for language, body in BLOCK.findall(text)
        if language == "console"
        for line in re.sub(r" <<'END'\n.*?\nEND(?=\n)|\\\n", "", body, flags=re.DOTALL).splitlines()
    ]
    return sorted({line for line in lines if line.strip()})


def test_every_printed_command_is_one_that_exists():
    """Each command of the guides is taken by the parser, options and all."""
    assert len(command_lines()) >= 6
    for line in command_lines():
        program, *words = shlex.split(line)
        if program == "python":  # a file of the package that runs by itself
            assert (PACKAGE_DIR / words[0]).is_file()
            continue
        if program == "export":
            assert words[0].removeprefix("REXNET_HUB_INDEX=") in ("model_index", "my_index", "zoo")
            continue
        if program in ("mkdir", "cat", "cd", "unset"):  # of which test_hub_guide.py runs each
            continue
        assert program == "rexnet-hub"
        build_parser().parse_args(words)


def test_every_command_is_in_the_reference(site):
    """The page about the command line has a section for each command, with its options."""
    page = (site[0] / "reference" / "command-line.html").read_text(encoding="utf-8")
    parser = build_parser()
    (commands,) = [action for action in parser._actions if hasattr(action, "choices") and action.choices]
    for name in commands.choices:
        assert f'<h2 id="{name}">' in page


def test_every_public_name_is_in_the_python_reference(site):
    """Each public name of the package has its signature on the page."""
    import rexnet_hub

    page = (site[0] / "reference" / "python.html").read_text()
    wanted = set(rexnet_hub.__all__) - {"__version__"}
    assert {name for name in wanted if f'.{name}"' not in page} == set()
    assert '.unheard_of"' not in page


def test_a_block_that_fails_is_seen(desk):
    """The runner lets an error of a block through."""
    with pytest.raises(ZeroDivisionError):
        run_python("1 / 0", {})

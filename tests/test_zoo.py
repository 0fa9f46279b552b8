"""A zoo of one's own: begun by one command, found from its folder, and never kept in an installed package."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from rexnet_hub.cli import main
from rexnet_hub.edit import edit_entry
from rexnet_hub.index import load_index
from rexnet_hub.index.text_edits import append_model, read_index_file
from rexnet_hub.layout import chosen_index, find_index_above
from rexnet_hub.zoo import make_zoo

ROOT = Path(__file__).resolve().parent.parent
MODEL = """\
Models:
- Name: mine
  In Collection: zoo
  Metadata: {ID: rexnet_100, Num Classes: 2, Image Size: 224, Crop Pct: 0.9, Interpolation: bicubic}
  License: mit
"""


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Begin a zoo with labels and one model, and name no index."""
    monkeypatch.delenv("REXNET_HUB_INDEX", raising=False)
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    make_zoo(tmp_path / "zoo", labels=tmp_path / "names.txt")
    with (tmp_path / "zoo" / "model_index" / "models.yml").open("a") as file:
        file.write(MODEL)
    return tmp_path / "zoo"


def test_what_begins_a_zoo_is_valid(zoo, monkeypatch, capsys):
    """The index has no problem, its labels are the models', and an editor finds the schema."""
    monkeypatch.chdir(zoo)
    assert main(["validate", "--strict"]) == 0
    assert main(["list", "--names"]) == 0
    assert capsys.readouterr().out == "mine\n"
    assert load_index(zoo / "model_index").find("mine").labels == ("cat", "dog")
    first = (zoo / "model_index" / "models.yml").read_text().splitlines()[0]
    assert (zoo / "model_index" / first.partition("$schema=")[2]).resolve() == zoo / "schema.json"
    workflow = yaml.safe_load((zoo / ".github" / "workflows" / "models.yml").read_text())
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert steps.count("pip install rexnet-hub") == 2
    assert "rexnet_hub/**" not in str(workflow)
    assert workflow["env"] == {"REXNET_HUB_INDEX": "model_index"}


def test_the_first_model_stands_behind_what_began_the_zoo(tmp_path):
    """Begun without labels, the collection's last line is a comment, and stays with it as models come."""
    make_zoo(tmp_path)
    source = read_index_file(tmp_path / "model_index" / "models.yml")
    text = append_model(append_model(source, {"Name": "one"}), {"Name": "two"}).text
    assert text == f"{source.text}Models:\n- Name: one\n- Name: two\n"


def test_what_is_there_stays(zoo, capsys):
    """Begun again, no file is written over; one that is missing comes back."""
    (zoo / "mkdocs.yml").unlink()
    before = (zoo / "model_index" / "models.yml").read_text()
    assert main(["init", str(zoo)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{zoo / 'mkdocs.yml'}: written" in lines
    assert f"{zoo / 'model_index' / 'models.yml'}: was there, and stays as it is" in lines
    assert (zoo / "model_index" / "models.yml").read_text() == before


@pytest.mark.parametrize("text", [b"", b" \n", b"\xff\n", None])
def test_labels_that_are_none_begin_nothing(tmp_path, text, capsys):
    """An empty, binary or missing file of labels is named, and nothing is written."""
    if text is not None:
        (tmp_path / "names.txt").write_bytes(text)
    assert main(["init", str(tmp_path / "zoo"), "--labels", str(tmp_path / "names.txt")]) == 1
    assert "names.txt" in capsys.readouterr().err
    assert not (tmp_path / "zoo").exists()


def test_a_command_finds_the_index_by_option_variable_and_folder(zoo, tmp_path, monkeypatch, capsys):
    """`--index` wins over the variable, that over the folder here or above, that over the package's."""

    def names(*words):
        assert main(["list", "--names", *words]) == 0
        return capsys.readouterr().out.split()

    other = tmp_path / "other.yml"
    other.write_text("Models:\n- Name: other\n")
    monkeypatch.chdir(tmp_path)
    assert names() == [entry.name for entry in load_index(ROOT / "model_index").models]
    for folder in ("", "docs", "model_index", ".github/workflows"):
        monkeypatch.chdir(zoo / folder)
        assert names() == ["mine"]
    monkeypatch.setenv("REXNET_HUB_INDEX", str(other))
    assert names() == ["other"]
    assert names("--index", str(zoo / "model_index")) == names("--index", str(zoo)) == ["mine"]
    monkeypatch.delenv("REXNET_HUB_INDEX")
    (tmp_path / "model-index.yml").write_text("Models:\n- Name: file\n")
    monkeypatch.chdir(tmp_path)
    assert names() == ["file"]
    assert find_index_above(zoo / "docs") == zoo / "model_index"


def as_another(act):
    """Run an act in a fork as a user whom permissions bind, unlike root; return its result's text."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            said = act()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, str(said).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        return stream.read()


def test_a_folder_that_nobody_may_look_into_hides_no_index_above(zoo, seen_by_others):
    """The search goes past it; an index that may not be read is named by its own path."""
    (zoo / "shut" / "below").mkdir(parents=True)
    (zoo / "shut").chmod(0)
    assert as_another(lambda: find_index_above(zoo / "shut" / "below")) == str(zoo / "model_index")
    (zoo / "model_index").chmod(0)
    with chosen_index(zoo / "model_index"):
        said = as_another(load_index)
    assert said == f"FileProblem: {zoo / 'model_index'}: cannot be listed: Permission denied"
    for folder in ("shut", "model_index"):
        (zoo / folder).chmod(0o755)


def test_a_read_only_index_is_not_written(zoo, seen_by_others):
    """A file that is marked so stays, though its folder would let it be replaced; so does the lock."""
    (zoo / "model_index").chmod(0o777)
    (zoo / "model_index" / "models.yml").chmod(0o444)
    with chosen_index(zoo):
        said = as_another(lambda: edit_entry("mine", {"Title": "Mine"}))
    assert said.startswith(f"FileProblem: {zoo / 'model_index/models.yml'}: cannot be written: Permission")


@pytest.mark.parametrize("target", ["nowhere", "model_index"])
def test_a_link_that_leads_nowhere_is_said(zoo, target, monkeypatch, capsys):
    """In place of an index it hides the one above; within one a loop of links is a problem of its file."""
    (zoo / "docs" / "model_index").symlink_to(target)
    monkeypatch.chdir(zoo / "docs")
    for words in (["list"], ["edit", "mine", "Title=Mine"], ["validate"]):
        assert main(words) == 1
        assert f"{zoo / 'docs' / 'model_index'}: is a link that leads nowhere" in capsys.readouterr().err
    (zoo / "model_index" / "loop.yml").symlink_to("loop.yml")
    (problem,) = load_index(zoo / "model_index").errors
    assert "loop.yml cannot be read: Too many levels of symbolic links" in str(problem)


def test_what_python_loads_does_not_depend_on_the_folder(zoo, monkeypatch):
    """A script that stands in a folder of somebody's loads the models that it names, and no others."""
    monkeypatch.chdir(zoo)
    assert [entry.name for entry in load_index().models] == [
        entry.name for entry in load_index(ROOT / "model_index").models
    ]


def test_the_site_of_a_zoo_builds(zoo):
    """Its own configuration, without the package's pages, passes a strict build from any folder."""
    words = [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-f", str(zoo / "mkdocs.yml")]
    built = subprocess.run(words, cwd=zoo.parent, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    pages = {str(file.relative_to(zoo / "site")) for file in (zoo / "site").rglob("*.html")}
    assert {"index.html", "about.html", "models/mine.html"} <= pages


@pytest.mark.slow
def test_nothing_is_written_into_an_installed_package(tmp_path):
    """Each command that writes an index refuses the wheel's own, however it is named, and says what to do."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = (tmp_path / "dist").iterdir()
    site = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    own = site / "rexnet_hub" / "model_index"
    before = {file: file.read_bytes() for file in site.rglob("*") if file.is_file()}
    env = {key: value for key, value in os.environ.items() if key != "REXNET_HUB_INDEX"}
    env |= {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*given, cwd=tmp_path):
        words = [sys.executable, "-P", "-m", "rexnet_hub", *map(str, given)]
        return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)

    for words in (
        ["edit", "rexnet_100", "Title=x"],
        ["remove", "rexnet_100", "--index", own],
        ["lock", "rexnet_100"],
        ["validate", "--fix"],
        ["validate", "--fix", own / "rexnet.yml"],
        ["init", own.parent],
    ):
        refused = run(*words, cwd=own if words[0] == "lock" else tmp_path)
        assert refused.returncode == 2, (words, refused.stderr)
        assert "the next install would delete" in refused.stderr
        assert "rexnet-hub init DIR" in refused.stderr
    assert {file: file.read_bytes() for file in site.rglob("*") if file.is_file()} == before
    assert run("init", tmp_path / "new").returncode == 0
    for name in ("mkdocs.yml", "schema.json", ".github/workflows/models.yml", "model_index/models.yml"):
        assert (tmp_path / "new" / name).is_file()

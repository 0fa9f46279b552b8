"""The site's source for other builders: whole, from any index, and in no folder of others."""

import re
from pathlib import Path

import pytest
import yaml
from mkdocs.config import load_config
from mkdocs.structure.files import get_files, set_exclusions
from mkdocs.structure.nav import get_navigation

from rexnet_hub.cli import main

ROOT = Path(__file__).resolve().parent.parent


def read_config(folder):
    """Read a written configuration; a tag other than `!ENV` is an error here as for most builders."""
    return yaml.safe_load(without_variables((folder / "mkdocs.yml").read_text()))


def without_variables(text):
    return re.sub(r'!ENV \[REXNET_HUB_\w+, ""\]', "''", text)


def test_the_source_has_every_page_that_mkdocs_gets(tmp_path, capsys):
    """Pages by hand and generated ones stand in one folder, and each that the navigation names is there."""
    assert main(["docs", "write", str(tmp_path / "site")]) == 0
    docs = tmp_path / "site" / "docs"
    count = sum(file.is_file() for file in (tmp_path / "site").rglob("*"))
    assert capsys.readouterr().err == f"{tmp_path / 'site'}: {count} files\n"
    for file in (ROOT / "docs").rglob("*.md"):
        assert (docs / file.relative_to(ROOT / "docs")).read_bytes() == file.read_bytes()
    config = read_config(tmp_path / "site")
    named = [page for part in config["nav"] for group in part.values() for page in _pages(group)]
    assert len(named) > 20
    files = [*config["extra_css"], *config["extra_javascript"], *config["extra"]["polyfills"]]
    for path in ["models/rexnet_100.md", "models.json", *named, *files]:
        assert (docs / path).stat().st_size > 0, path


def _pages(group):
    if isinstance(group, str):
        return [group]
    return [page for each in group for page in (each.values() if isinstance(each, dict) else [each])]


def test_the_configuration_is_the_projects_own_without_our_plugin(tmp_path):
    """What another builder does not know is gone or written out; the rest is as it was."""
    assert main(["docs", "write", str(tmp_path / "site")]) == 0
    config, own = read_config(tmp_path / "site"), (ROOT / "mkdocs.yml").read_text()
    names = [each if isinstance(each, str) else next(iter(each)) for each in config["plugins"]]
    assert names == ["search", "offline"]
    own = own.replace("!relative $config_dir", str(ROOT)).replace("custom_dir: ", f"custom_dir: {ROOT}/")
    before = yaml.safe_load(without_variables(own))
    changed = {key for key in config if config[key] != before.get(key)}
    assert changed == {"plugins", "extra_css", "extra_javascript", "extra", "not_in_nav"}
    assert config["not_in_nav"].split() == ["/models/", "/families/", "decisions/0*"]
    assert before["extra"].items() < config["extra"].items()


def test_an_index_alone_has_a_site(tmp_path):
    """An index with no site beside it gets a new zoo's; a folder `docs` of something else stays out of it."""
    index = tmp_path / "elsewhere" / "models.yml"
    (index.parent / "docs").mkdir(parents=True)
    (index.parent / "docs" / "diary.md").write_text("# Mine\n")
    index.write_text("Models:\n- Name: swin\n  Metadata: {Parameters: 28300000}\n")
    assert main(["docs", "write", str(tmp_path / "site"), "--index", str(index)]) == 0
    docs = tmp_path / "site" / "docs"
    assert "28,300,000" in (docs / "models" / "swin.md").read_text()
    assert not (docs / "diary.md").exists()
    assert read_config(tmp_path / "site")["site_name"] == "elsewhere"
    listed = list_navigation(tmp_path / "site")
    assert "reference/python.md" in listed
    assert not any(path.startswith("models/") for path in listed)  # each of a thousand pages would list them


def list_navigation(folder):
    """List the pages that the navigation of a written site has."""
    config = load_config(str(folder / "mkdocs.yml"))
    files = get_files(config)
    set_exclusions(files, config)
    return {page.file.src_uri for page in get_navigation(files, config).pages}


def test_the_projects_own_pages_stay_in_the_navigation(tmp_path):
    """Those that stand among the models' too, unless the project itself lists them nowhere."""
    for name in ("choosing [1].md", "unlisted.md"):
        (tmp_path / "docs" / "models").mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / "models" / name).write_text("# Mine\n")
    assert write_small(tmp_path, "site_name: mine\nnot_in_nav: models/unlisted.md\n") == 0
    listed = {path for path in list_navigation(tmp_path / "site") if path.startswith("models/")}
    assert listed == {"models/choosing [1].md"}


@pytest.mark.parametrize("source", ["https://github.com/o/r/blob/abc/", ""])
def test_the_first_page_leads_to_where_the_zoo_is_kept(tmp_path, monkeypatch, source):
    """Where the environment says where the source of its pages is; else it has no such link."""
    monkeypatch.setenv("REXNET_HUB_SOURCE_URL", source)
    assert main(["docs", "write", str(tmp_path / "site")]) == 0
    page = (tmp_path / "site" / "docs" / "index.md").read_text()
    assert ("[Repository](https://github.com/o/r)." in page) == bool(source)
    assert ("Repository" in page) == bool(source)


def test_only_what_this_wrote_is_replaced(tmp_path, capsys):
    """A folder of others stays as it is; one that was written before is new, without what is no longer."""
    out = tmp_path / "site"
    assert main(["docs", "write", str(out)]) == 0
    (out / "docs" / "models" / "gone.md").write_text("old")
    assert main(["docs", "write", str(out)]) == 0
    assert not (out / "docs" / "models" / "gone.md").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mkdocs.yml").write_text("site_name: mine\n")
    capsys.readouterr()
    for taken in (tmp_path / "mine", tmp_path / "mine" / "mkdocs.yml"):
        assert main(["docs", "write", str(taken)]) == 1
        assert capsys.readouterr().err == f"error: {taken}: holds something else; name a new folder\n"
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["mkdocs.yml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nav: [", "is no YAML"),
        ("x: " + "[" * 3000, "is no YAML"),
        ("site_name: \xff", "is no YAML"),
        ("- a\n", "is no mapping of settings"),
        ("", "is no mapping of settings"),
        ("? [a]\n: b\n", "is no mapping of settings"),
        ("docs_dir: [a]\n", "docs_dir is no plain path"),
        ("docs_dir: !ENV [DOCS, docs]\n", "docs_dir is no plain path"),
        ("extra_css: a.css\nextra: [a]\n", "extra is no mapping; extra_css is no list"),
        ("not_in_nav: [a]\n", "not_in_nav is no text"),
        ("INHERIT: base.yml\n", "INHERIT is not followed: write its settings here"),
    ],
)
def test_a_configuration_that_is_none_is_said(tmp_path, capsys, text, said):
    """A `mkdocs.yml` that cannot be read is named, and nothing is written."""
    assert write_small(tmp_path, text) == 1
    assert f"{tmp_path / 'mkdocs.yml'}: {said}" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def write_small(project, config, out="site"):
    """Write the source of a project of one model, in a folder of the project."""
    (project / "mkdocs.yml").write_bytes(config.encode("latin-1"))
    index = project / "models.yml"
    index.write_text("Models:\n- Name: swin\n")
    return main(["docs", "write", str(project / out), "--index", str(index)])


def test_whatever_the_configuration_names_is_found_from_the_written_one(tmp_path, capsys):
    """Files beside it by their whole path, pages behind links too; each list is its own, ours in no shape."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.md").write_text("# Far\n")
    assert write_small(tmp_path, "site_name: mine\n") == 1
    assert f"docs_dir is {tmp_path / 'docs'}, and there is no such folder" in capsys.readouterr().err
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "docs" / "round").symlink_to(tmp_path / "docs")
    for plugins in ("{search: {}, rexnet-hub: {}}", "[search, {rexnet-hub: {}}]", "[search, rexnet-hub]"):
        text = """docs_dir:
extra_css: &own [own.css]
extra_javascript: *own
extra: &extra {round: *extra, polyfills: [own.js]}
theme: {name: material, custom_dir: theirs}
hooks: [hooks.py]
"""
        assert write_small(tmp_path, f"{text}plugins: {plugins}\n") == 0
        config = read_config(tmp_path / "site")
        assert [*config["plugins"]] == ["search"]
        assert config["extra_css"] == ["own.css", "assets/hub.css"]
        assert config["extra_javascript"][0] == "own.css"
        assert "assets/hub.css" not in config["extra_javascript"]
        assert "own.js" not in config["extra"]["polyfills"]
        assert config["theme"]["custom_dir"] == str(tmp_path / "theirs")
        assert config["hooks"] == [str(tmp_path / "hooks.py")]
    assert (tmp_path / "site" / "docs" / "link" / "far.md").exists()
    assert not (tmp_path / "site" / "docs" / "round").exists()


@pytest.mark.parametrize("out", ["docs/site", ".", "model_index/site"])
def test_what_the_site_is_made_of_holds_no_site(tmp_path, capsys, out):
    """A source among the pages by hand would be a page of the next; a folder with the index in it stays."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text(
        "# Written by `rexnet-hub docs write`, which replaces this folder.\n{}"
    )
    (tmp_path / "model_index").mkdir()
    (tmp_path / "model_index" / "models.yml").write_text("Models:\n- Name: swin\n")
    before = sorted(tmp_path.rglob("*"))
    command = ["docs", "write", str(tmp_path / out), "--index", str(tmp_path / "model_index")]
    assert main(command) == 1
    assert "which the site is made of; name another" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_of_the_index_is_said_and_the_others_have_their_pages(tmp_path, capsys):
    """As mkdocs would, the command fails where `validate` does, with the pages of what holds."""
    index = tmp_path / "models.yml"
    index.write_text("Models:\n- Name: good\n- Name: bad\n  Metadata: {Parameters: many}\n")
    assert main(["docs", "write", str(tmp_path / "site"), "--index", str(index)]) == 1
    assert "models.yml:4" in capsys.readouterr().err
    assert (tmp_path / "site" / "docs" / "models" / "good.md").exists()


def test_one_file_of_the_index_has_the_zoos_site(tmp_path):
    """A site of some of the models is the zoo's own, with its pages by hand."""
    index = ROOT / "model_index" / "rexnet.yml"
    assert main(["docs", "write", str(tmp_path / "site"), "--index", str(index)]) == 0
    docs = tmp_path / "site" / "docs"
    assert (docs / "guides" / "load.md").is_file()
    assert (docs / "models" / "rexnet_100.md").is_file()
    assert not (docs / "models" / "rexnetv1_1.0x.md").exists()

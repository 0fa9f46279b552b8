"""The site's source for other builders: whole, from any index, and in no folder of others."""

from pathlib import Path

import pytest
import yaml

from rexnet_hub.cli import main

ROOT = Path(__file__).resolve().parent.parent


def read_config(folder):
    """Read a written configuration; a tag such as `!ENV` is an error here as for most builders."""
    text = (folder / "mkdocs.yml").read_text().replace('!ENV [REXNET_HUB_SITE_URL, ""]', "''")
    return yaml.safe_load(text)


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
    assert names == ["search", "offline", "mkdocstrings"]
    own = own.replace("!relative $config_dir", str(ROOT)).replace('!ENV [REXNET_HUB_SITE_URL, ""]', "''")
    before = yaml.safe_load(own)
    changed = {key for key in config if config[key] != before.get(key)}
    assert changed == {"plugins", "extra_css", "extra_javascript", "extra"}


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
    [("nav: [", "is no YAML"), ("- a\n", "is no mapping of settings"), ("", "is no mapping of settings")],
)
def test_a_configuration_that_is_none_is_said(tmp_path, capsys, text, said):
    """A `mkdocs.yml` that cannot be read is named, and nothing is written."""
    (tmp_path / "mkdocs.yml").write_text(text)
    index = tmp_path / "models.yml"
    index.write_text("Models:\n- Name: swin\n")
    assert main(["docs", "write", str(tmp_path / "site"), "--index", str(index)]) == 1
    assert f"{tmp_path / 'mkdocs.yml'}: {said}" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_an_error_of_the_index_is_said_and_the_others_have_their_pages(tmp_path, capsys):
    """As mkdocs would, the command fails where `validate` does, with the pages of what holds."""
    index = tmp_path / "models.yml"
    index.write_text("Models:\n- Name: good\n- Name: bad\n  Metadata: {Parameters: many}\n")
    assert main(["docs", "write", str(tmp_path / "site"), "--index", str(index)]) == 1
    assert "models.yml:4" in capsys.readouterr().err
    assert (tmp_path / "site" / "docs" / "models" / "good.md").exists()

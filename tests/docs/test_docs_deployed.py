"""The workflow that publishes the site is run step by step, and what it published is seen in a browser."""

import functools
import json
import re
import shutil
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from built_site import BUILDER, ROOT, QuietHandler, build, is_local
from PIL import Image, ImageChops, ImageFilter

sys.path.append(str(ROOT / "tests" / "hub"))
from test_docs_pages import violations
from workflow_machine import Workflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the workflow's machine is a Linux"),
]
#: What builds it in the place of mkdocs.
ZENSICAL = "rexnet-hub docs write it && python -m zensical build --strict -f it/mkdocs.yml && mv it/site site"
CANONICAL = re.compile(r'<link rel="canonical" href="([^"]*)">')
PREVIEW = re.compile(r'<meta (?:property|name)="((?:og|twitter):[^"]*)" content="([^"]*)">')
SOURCE = re.compile(r'<a href="([^"]*)">Source of this page</a>')


class PagesHandler(QuietHandler):
    """Serves as GitHub Pages do: a project below its name, and its 404.html for whatever is not there."""

    def translate_path(self, path):
        """Find a file of the one project."""
        return super().translate_path(path.removeprefix("/zoo")) if path.startswith("/zoo/") else "/nowhere"

    def send_error(self, code, *_):
        """Send the project's page."""
        body = Path(self.directory, "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class DocsWorkflow(Workflow):
    """The workflow that publishes the site, to a folder that is served."""

    def __init__(self, folder):
        super().__init__("docs", folder, ROOT / "model_index", SimpleNamespace(url=""))
        self.published = folder / "artifacts" / "github-pages"
        handler = functools.partial(PagesHandler, directory=str(self.published))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/zoo"
        self.values |= {"steps.pages.outputs.base_url": self.url, "github.sha": "abc"}
        self.values["github.server_url"] = "https://forge.example"
        (step,) = (step for step in self.told["jobs"]["build"]["steps"] if step.get("name") == "Build")
        if BUILDER == "zensical":
            step["run"] = ZENSICAL

    def run_for(self, ref, *jobs):
        """Run jobs for main or for a tag."""
        if ref != "main" and ref not in self.git("-C", self.remote, "tag").split():
            self.git("-C", self.remote, "tag", ref, "main")
        kind = "branch" if ref == "main" else "tag"
        self.environment |= {"GITHUB_REF_NAME": ref, "GITHUB_REF_TYPE": kind}
        for job in jobs:
            is_green, printed = self.run(job)
            assert is_green, printed
            shutil.rmtree(self.folder / f"machine-{self.runs}")

    def versions(self):
        """Read which versions stand there; the first is the latest, and so are the pages of no version."""
        versions = json.loads((self.published / "versions.json").read_text())
        assert all((self.published / each["version"] / "index.html").is_file() for each in versions)
        files = [self.published / path for path in ("404.html", "latest/404.html")]
        assert files[0].read_bytes() == files[1].read_bytes()
        names = [each["version"] for each in versions]
        assert [each["aliases"] for each in versions] == [["latest"], *([] for _ in names[1:])]
        assert self.git("-C", self.remote, "show", "gh-pages:latest") == names[0]
        return names


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    """The workflow after a push to main."""
    made = DocsWorkflow(tmp_path_factory.mktemp("deployed"))
    made.push()
    made.run_for("main", "build", "deploy")
    yield made
    made.server.shutdown()
    made.server.server_close()
    shutil.rmtree(made.folder)


def read_pages(folder):
    """Read each page that is one: 404.html is of no address."""
    pages = {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*.html")}
    del pages["404.html"]
    assert len(pages) > 60
    return pages


def read_picture(file):
    """Read a picture, and which of its pixels are green: what is drawn of models, and no word."""
    with Image.open(file) as picture:
        red, green, _ = picture.convert("RGB").split()
        return picture.size, ImageChops.subtract(green, red).point(lambda value: 255 * (value > 16))


def test_each_release_has_a_folder_and_the_newest_is_the_latest(workflow):
    """Before the first it is main; one that mends an old version is not; nothing that was published goes."""
    workflow.git("-C", workflow.remote, "update-ref", "-d", "refs/heads/gh-pages")
    workflow.run_for("main", "deploy")
    assert workflow.versions() == ["dev"]
    for ref, versions in {
        "v0.9.0": ["0.9.0", "dev"],
        "v0.10.0": ["0.10.0", "0.9.0", "dev"],
        "v0.9.1": ["0.10.0", "0.9.1", "0.9.0", "dev"],
        "main": ["0.10.0", "0.9.1", "0.9.0", "dev"],
    }.items():
        workflow.run_for(ref, "deploy")
        assert workflow.versions() == versions
    assert len(workflow.git("-C", workflow.remote, "log", "--format=%h", "gh-pages").split()) == 1


def test_each_page_says_what_its_address_is_and_how_a_link_to_it_is_shown(workflow):
    """Of whatever version, it is the latest's; the map of the site has just these; the picture is there."""
    folder = workflow.published / "dev"
    size, _ = read_picture(folder / "preview.png")
    assert size == (1200, 630)
    wanted = {f"{workflow.url}/latest/{path}" for path in read_pages(folder)}
    for path, text in read_pages(folder).items():
        shown = dict(PREVIEW.findall(text))
        assert CANONICAL.findall(text) == [shown["og:url"]] == [f"{workflow.url}/latest/{path}"]
        assert shown["og:image"] == f"{workflow.url}/latest/preview.png"
        assert shown["og:title"] in text[text.index("<h1") :] or path == "index.html"
        assert shown["og:description"].startswith("A model zoo")
        assert (int(shown["og:image:width"]), int(shown["og:image:height"])) == size
    sitemap = ElementTree.parse(folder / "sitemap.xml").getroot()
    assert {each.text for each in sitemap.iter() if each.tag.endswith("}loc")} == wanted


def test_each_page_links_to_its_source(workflow):
    """To a file of the repository at that commit, of a model to the line where its entry begins."""
    for path, text in read_pages(workflow.published / "dev").items():
        (link,) = SOURCE.findall(text)
        file, _, line = link.removeprefix("https://forge.example/org/zoo/blob/abc/").partition("#L")
        assert (ROOT / file).exists(), (path, link)
        if path.startswith("models/"):
            said = (ROOT / file).read_text().splitlines()[int(line) - 1]
            assert said.strip() == f"- Name: {Path(path).stem}", path


@pytest.mark.parametrize("lost", ["/nowhere", "/latest/guides/nowhere.html", "/0.1.0/models/a/b/c"])
def test_what_is_not_there_is_said_in_the_sites_own_style(workflow, browser, lost):
    """At any depth the page has its colours, and its links lead back."""
    page = browser.new_page()
    wrong = []
    page.on("response", lambda r: wrong.append(r.url) if r.status >= 400 and lost not in r.url else None)
    page.on("request", lambda r: None if is_local(r.url) else wrong.append(r.url))
    assert page.goto(workflow.url + lost).status == 404
    assert page.locator("h1").inner_text() == "404 - Not found"
    page.get_by_role("button", name="Select version: ").wait_for()
    assert violations(page) == []
    look = "element => getComputedStyle(element).backgroundColor"
    colour = page.locator(".md-header").evaluate(look)
    for address in page.locator("a[href]").evaluate_all("links => links.map(link => link.href)"):
        assert address.startswith((workflow.url, "https://squidfunk", "https://zensical")), address
    page.get_by_role("link", name="All models").click()
    page.wait_for_url(f"{workflow.url}/latest/index.html")
    assert page.locator(".md-header").evaluate(look) == colour
    assert wrong == []
    page.close()


def test_a_reader_changes_the_version(workflow, browser):
    """The header lists the versions, each a link to its first page; nothing is asked of another host."""
    workflow.run_for("v0.9.0", "deploy")
    page = browser.new_page()
    wrong = []
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("request", lambda r: None if is_local(r.url) else wrong.append(r.url))
    page.goto(f"{workflow.url}/dev/guides/load.html")
    page.get_by_role("button", name="Select version: dev").focus()
    listed = page.locator(".md-version__link").all_inner_texts()
    assert listed == workflow.versions()
    page.locator(".md-version__link", has_text="0.9.0").click()
    page.wait_for_url(f"{workflow.url}/0.9.0/")
    page.get_by_role("button", name="Select version: 0.9.0").wait_for()
    assert violations(page) == []
    page.goto(f"{workflow.url}/")
    page.wait_for_url(f"{workflow.url}/latest/index.html")
    assert wrong == []
    page.close()


def test_without_an_address_no_page_states_one(tmp_path):
    """Built for a folder, nothing is absolute: no address, no picture, no source, no list of versions."""
    build(tmp_path / "site", REXNET_HUB_SITE_URL="")
    for text in read_pages(tmp_path / "site").values():
        assert not CANONICAL.search(text)
        assert not PREVIEW.search(text)
        assert not SOURCE.search(text)
        assert '"provider":"mike"' not in text.replace(" ", "")


def test_the_picture_beside_a_link_is_the_chart(browser, tmp_path):
    """`make chart` draws it of chart.svg: drawn here it is the same; without its least circle it is not."""
    _, kept = read_picture(ROOT / "docs" / "preview.png")
    chart = (ROOT / "docs" / "chart.svg").read_text()
    least = min(re.findall(r"<circle[^>]*/>", chart), key=lambda circle: float(circle.split('"')[-2]))
    context = browser.new_context(viewport={"width": 560, "height": 294}, device_scale_factor=2.142858)
    page, differ = context.new_page(), []
    for text in (chart, chart.replace(least, "")):
        (tmp_path / "chart.svg").write_text(text)
        page.goto(f"file://{tmp_path}/chart.svg")
        page.screenshot(path=tmp_path / "drawn.png")
        _, drawn = read_picture(tmp_path / "drawn.png")
        without_edges = ImageChops.difference(drawn, kept).filter(ImageFilter.MinFilter(3))
        differ.append(without_edges.getbbox() is not None)
    context.close()
    assert differ == [False, True]

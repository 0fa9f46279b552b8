"""Every internal link and anchor of the built site leads somewhere."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from built_site import ROOT
from entries import SEEDS

from rexnet_hub.index import load_index
from rexnet_hub.pages.site import render_site


class Links(HTMLParser):
    """Collects where a page's links lead and which anchors it has."""

    def __init__(self):
        super().__init__()
        self.targets, self.anchors = [], set()

    def handle_starttag(self, tag, attributes):
        """Take a tag's anchors and targets."""
        said = dict(attributes)
        self.anchors |= {said[key] for key in ("id", "name") if said.get(key)}
        for key in ("href", "src"):
            if said.get(key) and tag != "base":
                self.targets.append(said[key])


def read_links(folder):
    """Read all pages of a built site."""
    pages = {}
    for file in sorted(folder.rglob("*.html")):
        links = Links()
        links.feed(file.read_text(encoding="utf-8"))
        pages[file.relative_to(folder).as_posix()] = links
    return pages


def dead_links(folder):
    """Name each link that leads to no file of the site, or to no anchor of that page."""
    pages, dead = read_links(folder), []
    for page, links in pages.items():
        for target in links.targets:
            if urlsplit(target).scheme:
                continue
            path, anchor = urldefrag(urljoin("/" + page, target))
            path = unquote(urlsplit(path).path).lstrip("/") or "index.html"
            has_anchor = not anchor or path not in pages or unquote(anchor) in pages[path].anchors
            if not (folder / path).is_file() or not has_anchor:
                dead.append(f"{page}: {target}")
    return dead


def test_no_link_or_anchor_is_dead(site):
    """Pages, data, assets and anchors: all there."""
    folder, _ = site
    assert len(read_links(folder)) > 15
    # 404.html is served at any depth, so its links begin at the site's own address.
    assert [link for link in dead_links(folder) if not link.startswith("404.html")] == []


def test_a_dead_link_and_a_dead_anchor_are_found(tmp_path):
    """The crawl names both."""
    (tmp_path / "index.html").write_text(
        '<a href="no.html">x</a><a href="#no">y</a><a id="yes" href="#yes">z</a>'
    )
    assert dead_links(tmp_path) == ["index.html: no.html", "index.html: #no"]


def test_no_address_of_the_site_leads_outside_by_itself(site):
    """Only links that a reader presses lead elsewhere: no script, style, picture or font does."""
    folder, url = site
    for page in sorted(folder.rglob("*.html")):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        outside = [target for target in loads.found if urlsplit(target).scheme in ("http", "https")]
        assert [target for target in outside if not target.startswith(url)] == [], page


class Loads(HTMLParser):
    """Collects what a page loads by itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        """Take what a tag loads."""
        said = dict(attributes)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(said.get("src") or "")
        if tag == "link" and "canonical" not in (said.get("rel") or ""):
            self.found.append(said.get("href") or "")


@pytest.mark.parametrize("name", ["models.json", "models.csv", "schema.json", "llms.txt", "feed.json"])
def test_data_stands_beside_the_pages(site, name):
    """What machines read is in the built site."""
    assert (site[0] / name).stat().st_size > 50


def test_the_digest_to_compare_by_hand_is_on_the_models_page():
    """What the guide holds a file against, the page of that model prints under Files."""
    guide = (ROOT / "docs/guides/verify.md").read_text(encoding="utf-8").partition("## By hand")[2]
    (digest,) = re.findall(r"[0-9a-f]{64}", guide)
    page = render_site(load_index(SEEDS).models)["models/rexnet_100.md"]
    files = page.partition("## Files")[2].partition("## Training")[0]
    assert digest in files
    assert digest[::-1] not in files

"""The built site, served on loopback, and one browser for all tests."""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from entries import SEEDS

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
#: What builds the site that the tests look at.
BUILDER = os.environ.get("REXNET_HUB_TEST_BUILDER", "mkdocs")
NO_BROWSER = "these look at the site in a browser: install Chromium (apt-get install chromium, or the like)"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_):
        """Say nothing."""


def serve(folder):
    """Serve a folder on a free port of loopback."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def build(out, *, config=ROOT / "mkdocs.yml", strict=True, **environment):
    """Build a site, of the seed's four models if no index is named; return what its log says is wrong.

    Not quietly: mkdocs counts only the warnings that it prints.
    """
    if BUILDER == "zensical":
        return build_with_zensical(out, config=config, strict=strict, **environment)
    usual = {"NO_MKDOCS_2_WARNING": "1", "SOURCE_DATE_EPOCH": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(out)]
    done = subprocess.run(
        [*command, "--strict" if strict else "--no-strict"],
        env={"REXNET_HUB_INDEX": str(SEEDS)} | os.environ | usual | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("INFO "))


def build_with_zensical(out, *, config, strict, **environment):
    """Build the same site with the builder that follows mkdocs-material, which runs no plugin of ours."""
    source = out.with_name(f"{out.name}-source")
    for command in (
        ["rexnet_hub", "docs", "write", str(source)],
        ["zensical", "build", "-f", str(source / "mkdocs.yml"), *(["--strict"] if strict else [])],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=config.parent,
            env={"REXNET_HUB_INDEX": str(SEEDS)} | os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(source / "site", out, dirs_exist_ok=True)
    return ""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The project's own site, of the seed's four models: its folder and its address."""
    folder = tmp_path_factory.mktemp("site")
    server = serve(folder)
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    log = build(folder, REXNET_HUB_SITE_URL=url)
    assert log == ""
    yield folder, url
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests."""
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, site):
    """Open pages of the site; a console error, a page error or a request off loopback fails the test."""
    contexts, wrong = [], []

    def watch(page):
        page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if is_local(r.url) else wrong.append(f"request to {r.url}"))

    def open_one(path="index.html", *, width=1280, height=900, scheme="light", scripts=True, base=None):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=scripts,
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(8000)
        contexts.append(context)
        if opener.fault:
            plant(context, *opener.fault)
        page = context.new_page()
        watch(page)
        page.goto((base or site[1]) + path)
        if scripts and page.locator(".hub-overview").count():
            page.locator(".hub-plot").wait_for()
        return page

    opener: Any = open_one
    opener.wrong, opener.fault = wrong, None
    yield opener
    for context in contexts:
        context.close()
    assert wrong == [], "\n".join(wrong)


def plant(context, file, old, new):
    """Let a browser get one of the site's files with a fault in it, and not wait long for what it breaks."""

    def answer(route):
        response = route.fetch()
        text = response.text()
        assert old in text, f"{file} has no {old!r}"
        route.fulfill(response=response, body=text.replace(old, new))

    context.route(f"**/{file}*", answer)
    context.set_default_timeout(1500)
    context.add_init_script("window.planted = true")


def is_local(url):
    """Whether an address leads nowhere but to this machine."""
    return url.startswith(("http://127.0.0.1:", "file://", "data:", "blob:", "about:"))

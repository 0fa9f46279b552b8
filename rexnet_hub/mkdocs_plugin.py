"""Pass the generated pages to mkdocs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mkdocs.config.base import Config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, event_priority, get_plugin_logger
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from rexnet_hub.cli import build_parser
from rexnet_hub.errors import RexnetHubError
from rexnet_hub.index.problems import Problem
from rexnet_hub.layout import chosen_index, find_index_above, find_index_dir
from rexnet_hub.pages.site import POLYFILLS, SCRIPTS, STYLE
from rexnet_hub.site_source import DECISIONS, MANY, collect_generated
from rexnet_hub.terminal import printable

log = get_plugin_logger("rexnet-hub")

#: What a reader who searches wants last, and how much it weighs beside 1.
LAST, LAST_BOOST = (DECISIONS, "reference/problems.md", "speed.md"), 0.1


class Options(Config):
    """The plugin has none: any that is given is refused."""


class RexnetHubPlugin(BasePlugin[Options]):
    """Adds the pages, data and assets that `pages` renders; knows nothing else of them."""

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Link the site's own style and scripts; search in a folder needs a worker of the site's own too."""
        config.extra_css.append(STYLE)
        config.extra_javascript.extend(SCRIPTS)
        config.extra["polyfills"] = list(POLYFILLS)
        return config

    def on_files(self, files: Files, *, config: MkDocsConfig) -> Files:
        """Add what is rendered as if it stood in the docs folder."""
        self.found: dict[str, dict[str, object]] = {}
        decisions = {f.src_uri: f.content_string for f in files if f.src_uri.startswith(DECISIONS)}
        try:
            with chosen_index(_find_index(config)):
                pages = collect_generated(decisions, build_parser(), _warn)
        except RexnetHubError as error:
            raise PluginError("\n".join(map(printable, str(error).split("\n")))) from None
        for path, content in pages.items():
            level = InclusionLevel.NOT_IN_NAV if path.startswith(MANY) else InclusionLevel.UNDEFINED
            files.append(File.generated(config, path, content=content, inclusion=level))
        return files

    def on_page_markdown(self, markdown: str, *, page: Page, **_: object) -> None:
        """Rank what a reader does before why it was decided so, and a model by what it is, in the search.

        The theme reads whole pages: of a thousand models two fifths of the build, and a slow search.
        """
        search = page.meta.setdefault("search", {})
        if page.file.src_uri.startswith(LAST):
            search.setdefault("boost", LAST_BOOST)
        elif words := search.get("words"):
            search["exclude"] = True
            own = {"title": page.meta["title"], "tags": page.meta["tags"], "boost": search["boost"]}
            self.found[page.url] = {"location": page.url, "text": words, **own}

    @event_priority(-50)  # after the search has written its index, before it is copied for folders
    def on_post_build(self, *, config: MkDocsConfig) -> None:
        """Add what was noted to the search's index, and fix the search.

        Fix the theme's search, which takes some words with digits for others, then fails on a digit typed.

        lunr 2.3.9, lib/token_set.js, `toString`: a branch is written as its letter and a number with nothing
        between, so that two branches may read like one.
        """
        index = Path(config.site_dir, "search", "search_index.json")
        if index.is_file():
            searched = json.loads(index.read_text("utf-8"))
            for there in searched["docs"]:
                self.found.pop(there["location"], None)
            searched["docs"].extend(self.found.values())
            index.write_text(json.dumps(searched, separators=(",", ":")), "utf-8")
        for worker in Path(config.site_dir).glob("assets/javascripts/workers/search.*.js"):
            script = worker.read_text("utf-8")
            worker.write_text(re.sub(r"(\w)=\1\+(\w)\+(\w)\.id\b", r"\1=\1+\2+\3.id+','", script), "utf-8")

    def on_serve(self, server: object, *, config: MkDocsConfig, **_: object) -> None:
        """Render again when the index changes."""
        with chosen_index(_find_index(config)):
            server.watch(str(find_index_dir()))  # type: ignore[attr-defined]


def _warn(problem: Problem) -> None:
    """Make an error of the index a warning of the build, which a strict one does not pass."""
    log.warning("%s", printable(str(problem)))


def _find_index(config: MkDocsConfig) -> Path | None:
    """Find the index of the folder that the site's configuration is in, as commands find it from there."""
    return find_index_above(Path(config.config_file_path).absolute().parent)

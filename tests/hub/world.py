"""The world on this machine: all that the index names serves, with drawn weights under the released names.

`World` has a copy of the zoo's own index, in a git tree. In it GitHub and OpenVINO's store are one TLS server
(`world.web`), and huggingface.co is the loopback Hub (`world.hub`), with its repos at the very commits that
the index names. `world.serve("rexnet_100")` draws a model's weights, lets each of its sources serve them, and
writes their digests, prefixes and sizes into the copy, so that all that it states is true. What the index
cites besides is served as it must be; a model that was not asked for is not there. The weights are no
stand-ins: they bear no mark, so that everything is done with them that is done with released ones.

A fault is planted by changing what serves, or what the copy states:

    world.web.lies[world.path("rexnet_100")] = ["cut", "honest"]      # by request: modes of lying_server.py
    world.web.lies[world.path("rexnet_100")] = ["status 404"]         # GitHub has it no more
    world.web.files[world.stored("rexnet_100")] = other_bytes          # what GitHub leads to
    world.repo("rexnet_100").gated = True                              # HF_TOKEN may read, not more
    world.put("rexnet_100", drawn("rexnet_100", seed=1).safetensors)   # other weights at the same commit
    world.hub.repos.pop("timm/rexnet_100.nav_in1k")
    world.hub.fault("resolve", "drop", after_bytes=9)                  # and the other faults of loopback.py
    world.tell("  Digest: 'e26…", "  Digest: 'aaa…")                   # the copy states something else
    world.web.modes = ["status 503"]                                   # nobody of the web answers
"""

import functools
import hashlib
import io
import re
import shutil
import subprocess
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import safetensors.torch
import torch

from rexnet_hub.addresses import parse_hub_file
from rexnet_hub.auto import create_model
from rexnet_hub.index import load_index
from rexnet_hub.index.ledger import Ledger
from rexnet_hub.index.network import entry_classes
from rexnet_hub.layout import LEDGER_FILE, find_index_dir
from rexnet_hub.nets.families.rexnet.keymap import AUTHORS, AUTHORS_LITE
from rexnet_hub.records import parse_record

ZOO = find_index_dir()
WEIGHTS = "model.safetensors"
#: A text at a commit of a repository, as the index cites it.
CITED = re.compile(
    r"https://(?P<host>[^/\s]+)(?P<repo>/[^/\s]+/[^/\s]+)/blob/(?P<at>[^/\s]+)(?P<path>/[^#\s'\"},]+)"
)
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")


class Drawn(NamedTuple):
    """Drawn weights: as torch saved them then, as timm pushes them, and a pickle of no use to anybody."""

    pickled: bytes
    safetensors: bytes
    other: bytes


@functools.cache
def drawn(name, seed=0):
    """Draw a model's weights: the same ones in the released layout and in timm's."""
    entry = load_index(ZOO).find(name)
    torch.manual_seed(seed)
    state = create_model(entry.architecture, num_classes=entry_classes(entry)).state_dict()
    names: Mapping[str, str] = {each: each for each in state}
    if entry.location.file.name == "rexnet_authors.yml":
        names = (AUTHORS_LITE if "lite" in entry.architecture else AUTHORS).names
    released = OrderedDict((theirs, state[ours]) for theirs, ours in names.items())
    for each in ("output.1.weight", "output.4.weight", "output.0.weight"):
        if each in released and released[each].ndim == 2:
            released[each] = released[each][:, :, None, None]
    torch.save(released, file := io.BytesIO(), _use_new_zipfile_serialization=False)
    tensors = {key: tensor.contiguous() for key, tensor in state.items()}
    other = f"another pickle of {name}, {seed}".encode()
    return Drawn(file.getvalue(), safetensors.torch.save(tensors, metadata={"format": "pt"}), other)


def raw(page, at=None):
    """Where the server has a text that is cited; None for what it has not."""
    is_here = page and page["host"] != "huggingface.co"
    return f"{page['repo']}/raw/{at or page['at']}{page['path']}" if is_here else None


class World:
    """The servers and the index of all that is there; see the module."""

    def __init__(self, hub, web, folder):
        self.hub, self.web, self.zoo = hub, web, folder / "zoo"
        self.at = web.url.partition("/dir")[0]
        web.files, self.index = {}, self.zoo / "model_index"
        shutil.copytree(ZOO, self.index)
        for host in ("github.com", "storage.openvinotoolkit.org"):
            self.tell(f"https://{host}/", f"{self.at}/")
        self.by_hand = folder / "by_hand"
        self.by_hand.mkdir()
        subprocess.run([*GIT, "init", "-q", str(self.zoo)], check=True)
        self.cite()

    def entry(self, name):
        """The model as the copy states it now."""
        return load_index(self.index).find(name)

    def tell(self, old, new):
        """Let the index state something else, in every file of it; nothing stated it before is a mistake."""
        files = [*self.index.glob("*.yml"), self.index / LEDGER_FILE]
        texts = [file.read_text() for file in files]
        assert any(old in text for text in texts), old
        for file, text in zip(files, texts, strict=True):
            file.write_text(text.replace(old, new))

    def serve(self, *names):
        """Draw the weights of models, let all their sources serve them, and state what is true of them."""
        for name in names:
            weights, entry = drawn(name), self.entry(name)
            released, own = entry.released, weights.pickled
            if released and released.url.startswith("hf:"):
                own = weights.safetensors
            elif released is None:
                self.file(name).write_bytes(own)
            if size := entry.metadata.get("file_size"):
                self.tell(f"File Size: {size.text}\n", f"File Size: {len(own)}\n")
            for witness in entry.witnesses:
                of = {"released": own, "safetensors": weights.safetensors, "other": weights.other}[witness.of]
                if witness.algorithm == "sha256":
                    self.tell(witness.claim.value, hashlib.sha256(of).hexdigest())
                elif witness.of == "released":
                    self.tell(witness.claim.value, hashlib.new(witness.algorithm, of).hexdigest())
                self.host(str(witness.claim.source), of)
            if released and not self.host(released.url, own):
                if prefix := released.digest_prefix:
                    self.tell(prefix, hashlib.sha256(own).hexdigest()[:8])
                self.web.files[self.stored(name)] = own
                # As GitHub does: the file is in a store, whose address is good for some minutes.
                self.web.lies[self.path(name)] = [f"redirect {self.at}{self.stored(name)}"]
        self.cite()
        return self

    def host(self, address, data):
        """Put a file into a repo of the Hub, at the commit of its address; false for any other address."""
        at, page = parse_hub_file(address), CITED.match(address)
        if at is None and not (page and page["host"] == "huggingface.co"):
            return False
        repo_id, commit, path = at or (page["repo"][1:], page["at"], page["path"][1:])
        repo = self.hub.repos.get(repo_id) or self.hub.create(repo_id)
        commit = repo.head if commit == "main" else commit.ljust(40, "0")
        if commit not in repo.commits:
            repo.commits[commit] = repo.commits[repo.head]
            repo.branches["main"] = commit
        repo.commits[commit].tree[path] = repo.put(data, lfs=True)
        return True

    def cite(self):
        """Serve each text that the index cites, with all that it is cited for; its head is the last one."""
        texts, head = {}, {}
        ledger = parse_record(Ledger, (self.index / LEDGER_FILE).read_text(), version=("version", 1))
        files = [*self.index.glob("*.yml"), self.index / LEDGER_FILE]
        for page in CITED.finditer("\n".join(file.read_text() for file in files)):
            if page["host"] != "huggingface.co":
                texts[raw(page)] = [f"the text of {page['path']}"]
                head[raw(page, "HEAD")] = raw(page)
        for entry in load_index(self.index).models:
            for witness in entry.witnesses:
                if path := raw(CITED.match(str(witness.claim.source))):
                    texts[path].append(f"{witness.algorithm}: {witness.claim.value}")
            for tables in (result.snapshots for result in entry.results):
                for table in sorted(tables, key=lambda table: table.date or ""):
                    page = CITED.match(table.url)
                    figures = [claim.text for claim in table.metrics.values()]
                    texts[raw(page)].append(",".join([entry.architecture, *figures]))
                    head[raw(page, "HEAD")] = raw(page)
        for place in ledger.places:
            page, stated = (
                CITED.match(place.url),
                [text for each in place.figures for text in each.values.values()],
            )
            if path := raw(page):
                texts[path] += stated
            elif page:
                self.host(place.url, "\n".join(stated).encode())
        served = {path: "\n".join(lines).encode() for path, lines in texts.items()}
        self.web.files |= served | {path: served[last] for path, last in head.items()}

    def commit(self):
        """Commit the index as it is, as who has cloned it has it."""
        subprocess.run([*GIT, "-C", str(self.zoo), "add", "-A"], check=True)
        subprocess.run([*GIT, "-C", str(self.zoo), "commit", "-qm", "the zoo"], check=True)

    def path(self, name):
        """What is asked of GitHub, or OpenVINO's store, for a model's released file."""
        return urlsplit(self.entry(name).released.url).path

    def stored(self, name):
        """Where GitHub leads to."""
        return f"/store/{name}?sig=SIGNED"

    def file(self, name):
        """The file that a person took from a drive's page."""
        return self.by_hand / f"{name}.pth"

    def source(self, name):
        """The file of a Hub repo that is a source of a model's weights."""
        return next(at for each in self.entry(name).sources if (at := parse_hub_file(each.url)))

    def repo(self, name):
        """The Hub's repo of a model's weights."""
        return self.hub.repos[self.source(name).repo_id]

    def put(self, name, data):
        """Put another file at the commit of a model's source."""
        at, repo = self.source(name), self.repo(name)
        repo.commits[at.commit].tree[at.name] = repo.put(data, lfs=True)

"""A Hub on this machine, for tests: the part of its protocol that publishing and loading use, with faults.

Repos live in memory. Two listeners, as on the real Hub: one for the API, one for stored objects, so that
a redirect leads to another origin. It knows both of the client's transports: LFS, and Xet (xet.py).
"""

# ruff: noqa: D101, D102 - what a method does, its name says

import base64
import contextlib
import email.utils
import hashlib
import json
import math
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from xet import TOKEN as XET_TOKEN
from xet import NotXet, XetStore

WRITE, READ = "hf_SENTINELwrite0123456789abcdef", "hf_SENTINELread0123456789abcdefg"
#: What a job proves to GitHub that it is, and with what it asks for the proof.
CLAIMS = {"repository": "org/zoo", "workflow": "models", "ref": "refs/heads/main", "environment": "hub"}
REQUEST_TOKEN = "SENTINEL-request-token"
ROLES = {WRITE: "write", READ: "read"}
USER, ORG = "tester", "org"
TRANSPORTS = ("lfs", "xet")
SHA = re.compile(r"[0-9a-f]{40}\Z")
#: What the Hub's rules for a card's metadata take, as far as our tests come to it.
LICENSES = {"mit", "apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "gpl-3.0", "unknown", "other"}
DATASET = re.compile(r"(?:[\w-]+/)?[\w.-]+\Z", re.ASCII)
FRONT = re.compile(r"---\n(.*?)\n---", re.DOTALL)


@dataclass
class Fault:
    """What goes wrong with the requests that match: `on` is searched for in "METHOD path"."""

    on: str
    # status, drop, lost, stall, drip, flip, forget, race, yes, before, after, kill, killed_after, redirect
    action: str
    times: int = 1
    skip: int = 0
    status: int = 503
    after_bytes: int = 0
    code: str = ""
    call: object = None
    location: str = ""
    place: int | None = None  # of the byte that is flipped; the middle if none


#: What a quota of requests counts; one of an action, such as commits, says which by its own pattern.
KINDS = {"api": " /api/|/info/lfs/", "resolvers": "/resolve/"}


@dataclass
class Quota:
    """So many requests in each window of seconds; `on` is searched for in "METHOD path".

    One of the kinds stands in the RateLimit headers of every answer. Beyond it the answer is 429, and states
    the wait as `says`: by those headers, by Retry-After as seconds or a date, or not at all.
    https://huggingface.co/docs/hub/rate-limits
    """

    kind: str
    on: str
    count: int
    seconds: int
    says: str  # RateLimit, Retry-After, date, nothing
    words: str
    end: float = 0
    used: int = 0

    def take(self):
        """Count a request; give the headers of its answer, and the refusal that takes its place, if any."""
        now = time.time()
        if now >= self.end:
            self.end, self.used = now + self.seconds, 0
        self.used += 1
        reset, stated = math.ceil(self.end - now), {}
        if self.says == "RateLimit":
            stated["RateLimit"] = f'"{self.kind}";r={max(self.count - self.used, 0)};t={reset}'
            stated["RateLimit-Policy"] = f'"fixed window";"{self.kind}";q={self.count};w={self.seconds}'
        if self.used <= self.count:
            return stated, None
        wait = {"Retry-After": str(reset), "date": email.utils.formatdate(self.end + 1, usegmt=True)}
        more = {"Retry-After": wait[self.says]} if self.says in wait else {}
        return stated, Answer(429, {"error": self.words}, more)


@dataclass
class Stored:
    """One file of a tree; `sha256` is set for an LFS object."""

    oid: str
    size: int
    sha256: str | None = None


@dataclass
class Commit:
    """One commit: its tree is whole."""

    tree: dict[Any, Any]
    title: str
    message: str
    parent: str | None


@dataclass
class Repo:
    """One repo."""

    private: bool = False
    gated: bool = False
    blobs: dict[Any, Any] = field(default_factory=dict)
    objects: dict[Any, Any] = field(default_factory=dict)
    commits: dict[Any, Any] = field(default_factory=dict)
    branches: dict[Any, Any] = field(default_factory=dict)
    tags: dict[Any, Any] = field(default_factory=dict)
    prs: dict[Any, Any] = field(default_factory=dict)

    def put(self, data, *, lfs=False):
        if lfs:
            sha256 = hashlib.sha256(data).hexdigest()
            self.objects[sha256] = data
            return self.pointer(sha256)
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self.blobs[oid] = data
        return Stored(oid, len(data))

    def pointer(self, sha256):
        size = len(self.objects[sha256])
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        return Stored(hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest(), size, sha256)

    def data(self, stored):
        return self.blobs[stored.oid] if stored.sha256 is None else self.objects.get(stored.sha256)

    def commit(self, parent, tree, title="", message=""):
        sha = hashlib.sha1(secrets.token_bytes(20)).hexdigest()
        self.commits[sha] = Commit(dict(tree), title, message, parent)
        return sha

    def resolve(self, revision):
        if revision.startswith("refs/pr/"):
            return self.prs.get(revision[8:])
        revision = revision.removeprefix("refs/heads/")
        short = [sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)]
        return self.branches.get(revision) or self.tags.get(revision) or (short[0] if short else None)

    @property
    def head(self):
        return self.branches["main"]

    def history(self, sha):
        while sha:
            yield sha, self.commits[sha]
            sha = self.commits[sha].parent

    def files(self, revision="main"):
        tree = self.commits[self.resolve(revision)].tree
        return {path: self.data(stored) for path, stored in tree.items() if path != ".gitattributes"}


class Answer(Exception):  # noqa: N818 - an answer is what it is
    """What is sent back; raised, it ends the work on a request."""

    def __init__(self, status, body=b"", headers=None, code=None):
        self.status, self.headers = status, dict(headers or {})
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if status >= 400:
            self.headers |= {"X-Error-Message": body.get("error", "")} if isinstance(body, dict) else {}
            self.headers |= {"X-Error-Code": code} if code else {}


def identity(**claims):
    """Write what GitHub gives a job of a workflow; that it is signed is for the real Hub to check."""
    return f"eyJSENTINEL.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()}.0123456789abcdef"


def refuse(status, message, code=None):
    return Answer(status, {"error": message}, code=code)


class Cut(Exception):  # noqa: N818
    """The connection ends here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body go out together, not one waiting for the other's acknowledgement
    disable_nagle_algorithm = True
    hub: "LoopbackHub"

    def log_message(self, *words):
        pass

    def handle_one_request(self):
        with contextlib.suppress(ConnectionError, ValueError):
            return super().handle_one_request()
        self.close_connection = True

    def serve(self):
        split = urlsplit(self.path)
        self.parts = [unquote(part) for part in split.path.strip("/").split("/")]
        self.query = {key: values[0] for key, values in parse_qs(split.query).items()}
        line = f"{self.command} {unquote(split.path)}"
        fault = self.hub.take(line)
        self.fault, self.stated = fault, {}
        try:
            if self.hub.gone:
                raise Cut
            if fault and fault.action in ("before", "kill"):
                fault.call()
            if fault and fault.action == "kill":
                raise Cut
            body = self.read_body(fault)
            if fault and fault.action == "stall":
                self.hub.stopped.wait(fault.after_bytes)
                raise Cut
            if fault and fault.action == "status":
                raise Answer(fault.status, {"error": "asked for"}, {"Retry-After": "0"}, fault.code)
            self.authenticate()
            with self.hub.lock:
                self.meter(line)
                answer = self.yes() if fault and fault.action == "yes" else self.route(body)
            if fault and fault.action == "redirect":  # with whatever else the answer says
                answer = Answer(
                    307, b"", answer.headers | {"Location": fault.location, "Content-Length": "0"}
                )
            if fault and fault.action in ("after", "killed_after"):
                fault.call()
            if fault and fault.action in ("lost", "killed_after"):
                raise Cut
        except Answer as raised:
            answer = raised
        except Cut:
            self.hub.log.append((line, None))
            self.close_connection = True
            return
        self.hub.log.append((line, answer.status))
        self.send(answer, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

    def yes(self):
        """Say that it is done, whatever was asked for, and do nothing."""
        url, commit = f"{self.hub.url}/org/small", "f" * 40
        told = {"url": url, "commitUrl": f"{url}/commit/{commit}", "commitOid": commit}
        return Answer(200, told | {"pullRequestUrl": f"{url}/discussions/1"})

    def meter(self, line):
        for quota in self.hub.quotas:
            if re.search(quota.on, line):
                headers, refusal = quota.take()
                self.stated |= headers
                if refusal:
                    raise refusal

    def read_body(self, fault):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        if fault and fault.action == "drop" and self.command in ("PUT", "POST"):
            self.rfile.read(min(length, fault.after_bytes))
            raise Cut
        return self.rfile.read(length)

    def send(self, answer, fault):
        body = bytearray(answer.body)
        if fault and fault.action == "flip" and body:
            place = len(body) // 2 if fault.place is None else fault.place
            body[place % len(body)] ^= 1
        self.send_response(answer.status)
        for name, value in (answer.headers | self.stated).items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            if fault and fault.action == "drop":
                body = body[: fault.after_bytes]
                self.close_connection = True
            if fault and fault.action == "drip":
                for place in range(len(body)):  # a byte now and then, never silent for long
                    self.wfile.write(body[place : place + 1])
                    self.wfile.flush()
                    if self.hub.stopped.wait(0.05):
                        self.close_connection = True
                        return
            self.wfile.write(body)

    def authenticate(self):
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.server is self.hub.store:
            if given not in ("", XET_TOKEN):
                raise refuse(400, "a token was sent to the store")
            self.role = None
            return
        self.given, self.only = given, self.hub.tokens.get(given)
        self.role = "write" if self.only or given in self.hub.scopes else ROLES.get(given)
        if given and self.role is None:
            raise refuse(401, "Invalid credentials in Authorization header")

    def repo(self, name, *, write=False, content=True):
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self.role is None):
            raise refuse(401 if self.role is None else 404, "Repository not found", "RepoNotFound")
        if repo.gated and content and self.role != "write":
            raise refuse(403, "Access to this model is restricted", "GatedRepo")
        if write and (self.role != "write" or self.only not in (None, name) or not self.in_scope(name)):
            raise refuse(403, "you need the right to write")
        return repo

    def commit_of(self, repo, revision):
        sha = repo.resolve(revision)
        if sha is None:
            raise refuse(404, "Revision not found", "RevisionNotFound")
        return sha

    def route(self, body):
        parts, verb = self.parts, self.command
        if self.server is self.hub.store:
            is_xet = parts[0] in ("v1", "v2", "xorb")
            return self.xet(parts, body) if is_xet else self.stored_object(parts, body)
        if parts[:2] == ["api", "repos"] and verb == "POST":
            return self.create(json.loads(body))
        if parts == ["oauth", "token"]:
            return self.exchange(json.loads(body))
        if parts[:2] == ["api", "validate-yaml"]:
            return self.validate(json.loads(body)["content"])
        if parts == ["api", "whoami-v2"]:
            return self.whoami()
        if (name := "/".join(parts[2:4])) in self.hub.moved:
            return Answer(307, b"", {"Location": self.path.replace(name, self.hub.moved[name], 1)})
        if parts == ["api", "models"]:
            return self.models(self.query["author"])
        if parts[:2] == ["api", "models"]:
            return self.api("/".join(parts[2:4]), *parts[4:6], body=body, rest="/".join(parts[5:]))
        if parts[-2:] == ["objects", "batch"]:
            return self.batch(f"{parts[0]}/{parts[1].removesuffix('.git')}", json.loads(body))
        if parts[-2:] == ["objects", "verify"]:
            return Answer(200, {})
        if len(parts) >= 5 and parts[2] == "resolve":
            return self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        raise refuse(404, f"no route for {verb} {self.path}")

    def exchange(self, asked):
        """Give a token of one repo to a job whose claims are all that the repo's trusted publisher states."""
        claims = json.loads(base64.urlsafe_b64decode(asked["subject_token"].split(".")[1]))
        stated = self.hub.trusted.get(asked["resource"])
        if stated is None or not (stated | {"aud": self.hub.url}).items() <= claims.items():
            raise Answer(400, {"error": "invalid_grant: no trusted publisher fits the claims"})
        token = f"hf_jwt_SENTINEL{secrets.token_hex(8)}"
        self.hub.tokens[token] = asked["resource"]
        return Answer(200, {"access_token": token, "token_type": "bearer", "expires_in": 3600})

    def whoami(self):
        """Say whose token it is: of a member of organisations, with the role or the scopes that it has."""
        if self.role is None or self.only:
            raise refuse(401 if self.role is None else 403, "Invalid username or password.")
        token: dict[str, Any] = {"displayName": "test", "role": ROLES.get(self.given, "fineGrained")}
        if scopes := self.hub.scopes.get(self.given):
            rows = [{"entity": {"type": "org", "name": n}, "permissions": may} for n, may in scopes.items()]
            token["fineGrained"] = {"global": [], "scoped": rows}
        orgs = [{"type": "org", "name": name, "roleInOrg": role} for name, role in self.hub.roles.items()]
        auth = {"type": "access_token", "accessToken": token}
        return Answer(200, {"type": "user", "name": USER, "orgs": orgs, "auth": auth})

    def in_scope(self, name):
        scopes = self.hub.scopes.get(self.given)
        return scopes is None or "repo.write" in scopes.get(name.partition("/")[0], ())

    def validate(self, card):
        """Judge a card's metadata by the rules of the real Hub that a card of ours can break."""
        found = FRONT.match(card)
        data = yaml.safe_load(found[1]) if found else None
        if not data:
            warnings = [{"message": "empty or missing yaml metadata in repo card"}]
            return Answer(200, {"errors": [], "warnings": warnings})
        errors = []
        if data.get("license", "mit") not in LICENSES:
            errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}, array]')
        for model in data.get("model-index") or ():
            for place, result in enumerate(model["results"]):
                if not DATASET.match(kind := result["dataset"]["type"]):
                    at = f"model-index[0].results[{place}].dataset.type"
                    errors.append(f'"{at}" with value "{kind}" fails to match the required pattern')
        told = {"errors": [{"message": text} for text in errors], "warnings": self.hub.warnings}
        return Answer(400 if errors else 200, told)

    def create(self, asked):
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        mine = self.hub.roles.get(name.partition("/")[0]) not in (None, "read") or name.startswith(f"{USER}/")
        if self.only or self.role != "write" or not mine or not self.in_scope(name):
            raise refuse(403, "you may not create a repo there")
        if name in self.hub.repos:
            raise Answer(409, {"error": "exists already", "url": f"{self.hub.url}/{name}"})
        self.hub.create(name, private=asked.get("visibility") == "private" or bool(asked.get("private")))
        return Answer(200, {"url": f"{self.hub.url}/{name}", "name": name})

    def api(self, name, what="revision", argument="main", *, body, rest):
        match what, self.command:
            case "revision", "GET":
                return self.info(name, rest or argument)
            case "refs", "GET":
                return self.refs(self.repo(name))
            case "commits", "GET":
                return self.commits(self.repo(name), rest)
            case "discussions", "GET":
                rows = [self.discussion(n, sha) for n, sha in self.repo(name).prs.items()]
                return Answer(200, {"discussions": rows, "count": len(rows), "start": 0})
            case "xet-read-token" | "xet-write-token", "GET":
                return self.xet_token(self.repo(name, write=what == "xet-write-token" and rest != "None"))
            case "preupload", "POST":
                return self.preupload(self.repo(name), rest, json.loads(body))
            case "commit", "POST":
                return self.commit(name, rest, body)
            case "auth-check", "GET":
                self.repo(name, write=argument == "write")
                return Answer(200)
            case "branch", "POST" | "DELETE":
                return self.branch(self.repo(name, write=True), rest, body)
            case "settings", "PUT":
                self.repo(name, write=True).private = json.loads(body)["visibility"] == "private"
                return Answer(200, {})
            case "tag", "POST":
                return self.tag(self.repo(name, write=True), rest, json.loads(body)["tag"])
        raise refuse(404, f"no route for {what}")

    def models(self, owner):
        """List an owner's repos, private ones for who may see them."""
        names = [name for name in sorted(self.hub.repos) if name.startswith(f"{owner}/")]
        seen = [name for name in names if self.role or not self.hub.repos[name].private]
        return Answer(200, [{"_id": "1", "id": name, "modelId": name} for name in seen])

    def info(self, name, revision):
        repo = self.repo(name, content=False)
        sha = self.commit_of(repo, revision)
        rows = []
        for path, stored in sorted(repo.commits[sha].tree.items()):
            row = {"rfilename": path, "blobId": stored.oid, "size": stored.size}
            if stored.sha256:
                row["lfs"] = {"sha256": stored.sha256, "size": stored.size, "pointerSize": 130}
            rows.append(row)
        facts = {"_id": "1", "id": name, "sha": sha, "private": repo.private, "gated": repo.gated}
        return Answer(200, {**facts, "siblings": rows, "tags": [], "downloads": 0, "likes": 0})

    def refs(self, repo):
        def rows(kind, table):
            return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": sha} for n, sha in table.items()]

        told = {"branches": rows("heads", repo.branches), "tags": rows("tags", repo.tags), "converts": []}
        return Answer(200, told | {"pullRequests": rows("pr", repo.prs)})

    def commits(self, repo, revision):
        rows = [
            {"id": sha, "title": commit.title, "message": commit.message, "authors": [{"user": USER}],
             "date": "2026-01-01T00:00:00.000Z"}
            for sha, commit in repo.history(self.commit_of(repo, revision))
        ]  # fmt: skip
        return Answer(200, rows)

    def discussion(self, number, sha):
        return {
            "num": int(number),
            "title": self.hub_title(sha),
            "author": {"name": USER},
            "status": "open",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "isPullRequest": True,
            "repo": {"name": "", "type": "model"},
        }

    def hub_title(self, sha):
        return next(r.commits[sha].title for r in self.hub.repos.values() if sha in r.commits)

    def preupload(self, repo, revision, asked):
        tree, rows = repo.commits[self.commit_of(repo, revision)].tree, []
        for file in asked["files"]:
            there = tree.get(file["path"])
            row = {"path": file["path"], "shouldIgnore": False}
            row["uploadMode"] = "lfs" if file["path"].endswith(".safetensors") else "regular"
            if there:
                row["oid"] = there.sha256 or there.oid
            rows.append(row)
        return Answer(200, {"files": rows})

    def batch(self, name, asked):
        repo, rows = self.repo(name), []
        for wanted in asked["objects"]:
            row = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in repo.objects:
                href = f"{self.hub.store_url}/{name}/{wanted['oid']}?signature=SIGNED"
                row["actions"] = {"upload": {"href": href}}
            rows.append(row)
        return Answer(200, {"transfer": "basic", "objects": rows})

    def stored_object(self, parts, body):
        repo, oid = self.hub.repos["/".join(parts[:2])], parts[2]
        if self.command == "PUT":
            if hashlib.sha256(body).hexdigest() != oid:
                raise refuse(400, "the body has another digest")
            if not (self.fault and self.fault.action == "forget"):
                repo.objects[oid] = body
            return Answer(200)
        if oid not in repo.objects:
            raise refuse(404, "no such object")
        return self.ranged(repo.objects[oid], {"ETag": f'"{oid}"'})

    def xet_token(self, repo):
        told = {"Cas-Url": self.hub.store_url, "Access-Token": XET_TOKEN, "Token-Expiration": str(1 << 32)}
        body = {"casUrl": self.hub.store_url, "accessToken": XET_TOKEN, "exp": 1 << 32}
        return Answer(200, body, {f"X-Xet-{name}": value for name, value in told.items()})

    def xet(self, parts, body):
        store = self.hub.xet
        match parts, self.command:
            case ["xorb", name], "GET":
                return self.ranged(store.xorbs[name], {})
            case [_, "xorbs", "default", name], "POST":
                new = name not in store.xorbs
                if not (self.fault and self.fault.action == "forget"):
                    store.xorbs[name] = body
                return Answer(200, {"was_inserted": new})
            case [version, "shards"], "POST":
                try:
                    contents = store.add_shard(body)
                except NotXet as error:
                    raise refuse(400, str(error)) from None
                for repo in self.hub.repos.values():  # one store for all repos, as on the real Hub
                    repo.objects |= {hashlib.sha256(data).hexdigest(): data for data in contents}
                done = b'{"type":"result","result":1}\n'
                return Answer(200, done if version == "v2" else {"result": 1})
            case [version, "reconstructions", name], "GET" if name in store.files:
                size = sum(term.size for term in store.files[name])
                asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "bytes=0-")
                start, end = int(asked[1]), min(size, int(asked[2] or size) + 1)
                if start >= size:
                    raise refuse(416, "beyond the end")
                return Answer(
                    200, store.reconstruction(name, self.hub.store_url, (start, end), version=version)
                )
        raise refuse(404, f"no such thing: {self.path}")

    def commit(self, name, revision, body):
        wants_pr = self.query.get("create_pr") == "1"
        repo = self.repo(name, write=not wants_pr)
        header, *changes = [json.loads(line) for line in body.splitlines()]
        if self.fault and self.fault.action == "race":
            tree = repo.commits[repo.head].tree | {"RACE.md": repo.put(secrets.token_bytes(8))}
            repo.branches["main"] = repo.commit(repo.head, tree, "another commit")
        parent = header["value"].get("parentCommit")
        if parent and parent != repo.head and not wants_pr:
            raise refuse(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(repo.commits[parent or repo.head].tree)
        for change in changes:
            value = change["value"]
            match change["key"]:
                case "file":
                    tree[value["path"]] = repo.put(base64.b64decode(value["content"]))
                case "lfsFile":
                    if value["oid"] not in repo.objects and not self.hub.forgetful:
                        raise refuse(400, "an LFS pointer pointed to a file that does not exist")
                    repo.objects.setdefault(value["oid"], None)
                    tree[value["path"]] = Stored("0" * 40, value["size"], value["oid"])
                    if repo.objects[value["oid"]] is None:
                        del repo.objects[value["oid"]]
                    else:
                        tree[value["path"]] = repo.pointer(value["oid"])
                case "deletedFile":
                    del tree[value["path"]]
        title, message = header["value"]["summary"], header["value"].get("description", "")
        sha = repo.commit(parent or repo.head, tree, title, message)
        answer = {"commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "success": True}
        if wants_pr:
            number = str(len(repo.prs) + 1)
            repo.prs[number] = sha
            answer["pullRequestUrl"] = f"{self.hub.url}/{name}/discussions/{number}"
        else:
            repo.branches["main"] = sha
        return Answer(200, answer)

    def tag(self, repo, revision, tag):
        if tag in repo.tags:
            raise refuse(409, "Tag reference exists already")
        repo.tags[tag] = self.commit_of(repo, revision)
        return Answer(200, {})

    def branch(self, repo, name, body):
        if self.command == "DELETE":
            if repo.branches.pop(name, None) is None:
                raise refuse(404, "Reference does not exist")
        elif name in repo.branches:
            raise refuse(409, "Reference already exists")
        else:
            repo.branches[name] = self.commit_of(repo, json.loads(body).get("startingPoint", "main"))
        return Answer(200, {})

    def resolve(self, name, revision, path):
        repo = self.repo(name)
        sha = self.commit_of(repo, revision)
        stored = repo.commits[sha].tree.get(path)
        common = {"X-Repo-Commit": sha}
        if stored is None:
            raise Answer(404, {"error": "Entry not found"}, common, "EntryNotFound")
        if stored.sha256 is None:
            return self.ranged(repo.blobs[stored.oid], common | {"ETag": f'"{stored.oid}"'})
        linked = {"X-Linked-Size": str(stored.size), "X-Linked-ETag": f'"{stored.sha256}"'}
        if in_xet := self.hub.xet.hashes.get(stored.sha256):
            route = f"{self.hub.token_url}/api/models/{name}/xet-read-token/{sha}"
            linked |= {"X-Xet-Hash": in_xet, "Link": f'<{route}>; rel="xet-auth"'}
        location = {"Location": f"{self.hub.store_url}/{name}/{stored.sha256}?signature=SIGNED"}
        return Answer(302, b"", common | linked | location)

    def ranged(self, data, headers):
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if self.command == "HEAD":
            return Answer(200, b"", headers | {"Content-Length": str(len(data))})
        if not asked:
            return Answer(200, data, headers)
        start, end = int(asked[1]), int(asked[2] or len(data) - 1)
        headers = headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        return Answer(206, data[start : end + 1], headers)


class LoopbackHub:
    """The two listeners and all repos; use it with `with`."""

    def __init__(self):
        handler = type("Bound", (Handler,), {"hub": self})
        self.api, self.store = (ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2))
        self.url, self.store_url = (f"http://127.0.0.1:{s.server_port}" for s in (self.api, self.store))
        self.token_url = self.url
        self.repos, self.log, self.faults, self.quotas, self.xet = {}, [], [], [], XetStore()
        self.trusted, self.tokens = {}, {}  # claims by repo, and the repo of each token given for them
        self.roles, self.scopes = {ORG: "admin"}, {}  # by organisation; of fine-grained tokens
        self.moved, self.warnings = {}, []  # old id -> new id; what is said of each card
        self.lock, self.stopped = threading.RLock(), threading.Event()
        self.gone = self.forgetful = self.speaks_xet = False

    def __enter__(self):
        for server in (self.api, self.store):
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.stopped.set()
        for server in (self.api, self.store):
            server.shutdown()
            server.server_close()

    def create(self, name, files=(), *, private=False, gated=False):
        """Make a repo, as on the Hub with one first commit, and with a second one if files are given."""
        repo = self.repos[name] = Repo(private=private, gated=gated)
        first = {".gitattributes": repo.put(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n")}
        repo.branches["main"] = repo.commit(None, first, "initial commit")
        if files:
            self.push(name, dict(files))
        return repo

    def push(self, name, files, title="pushed", message=""):
        """Commit files as somebody else would, in the editor or with git."""
        repo = self.repos[name]
        tree = dict(repo.commits[repo.head].tree)
        for path, data in files.items():
            tree[path] = repo.put(data, lfs=path.endswith((".safetensors", ".bin")))
            if tree[path].sha256 and self.speaks_xet:
                self.xet.add(data)
        repo.branches["main"] = repo.commit(repo.head, tree, title, message)
        return repo.head

    def fault(self, on, action, **more):
        self.faults.append(Fault(on, action, **more))

    def limit(self, count, seconds, *, kind="api", on="", says="RateLimit", words="rate limited"):
        """Give a quota: of all requests of a kind, or of those that match."""
        self.quotas.append(Quota(kind, on or KINDS[kind], count, seconds, says, words))
        return self.quotas[-1]

    def take(self, line):
        """Find the fault that this request meets, if any, and count it."""
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.on, line):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def requests(self, on="."):
        return [line for line, _ in self.log if re.search(on, line)]

"""What the suite holds for stand-ins, held for the real thing: `pytest -m live`, on a machine with a network.

Each test is written once. As always it runs against the world on this machine (world.py), so it is known to
work; marked `live` it runs with the zoo's own index against GitHub, OpenVINO's store and the Hub themselves.
Which assumption about them each test would refute is said in assumptions.yml.
"""

import hashlib
import inspect
import json
import os
import re
import shutil
import socket
import subprocess
from collections import Counter
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch
import yaml
from closeness import assert_same_numbers
from loopback import ORG
from transformers import AutoModelForImageClassification
from world import GIT, ZOO, drawn

from rexnet_hub.addresses import HubFile, host_of, parse_hub_file
from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import HubError, RexnetHubError
from rexnet_hub.hub import limits
from rexnet_hub.hub.guard import PUBLIC_HUB
from rexnet_hub.hub.remote import RemoteRepo, list_repos
from rexnet_hub.hub.snapshot import downloaded_file
from rexnet_hub.identity import Identity
from rexnet_hub.index import Measured, load_index, read_lock
from rexnet_hub.index.lock import find_lock, update_lock
from rexnet_hub.pages.card import render_card
from rexnet_hub.weights.download import FetchPolicy, download, fetch_bytes

HERE = ("rexnet_100", "rexnetv1_1.0x")
#: Those whose weights a machine can fetch: a drive's page is for people.
REAL = [entry.name for entry in load_index(ZOO).models if entry.sources]
NOBODY = "timm/there-is-no-such-repo"
#: A repo that anybody may see and nobody may read who was not let in; one that was renamed, and its name now.
GATED, RENAMED, RENAMED_TO = "meta-llama/Llama-2-7b-hf", "gpt2", "openai-community/gpt2"
STATED = yaml.safe_load((Path(__file__).parent / "assumptions.yml").read_text())


def of_models(here=HERE, real=REAL, marks=()):
    """Run a test with each of these models, of the world on this machine and of the real one."""
    params = [pytest.param((False, name), id=f"here-{name}", marks=marks) for name in here]
    params += [pytest.param((True, name), id=f"live-{name}", marks=pytest.mark.live) for name in real]
    return pytest.mark.parametrize("model", params, indirect=True)


of_two, of_one = of_models(HERE, HERE), of_models(HERE[:1], HERE[:1])
of_one_slowly = of_models(HERE[:1], HERE[:1], marks=pytest.mark.slow)  # here; the real one is slow anyway


@pytest.fixture(scope="session")
def nobody():
    """Why nobody answers; empty where both do. It is asked once, so that each test says so at once."""
    try:
        fetch_bytes("https://github.com/clovaai/rexnet/raw/HEAD/README.md", policy=FetchPolicy(attempts=1),
                    max_bytes=1 << 20)  # fmt: skip
        RemoteRepo(repo_id="timm/rexnet_100.nav_in1k").read()
    except RexnetHubError as error:
        return f"nobody answered: {error}"
    return ""


@pytest.fixture(scope="session")
def fetched_once(tmp_path_factory):
    """The cache of all tests with the real world, so that nothing is fetched twice."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / "live"


@pytest.fixture
def model(request, monkeypatch, tmp_path):
    """A model whose sources serve: drawn weights on this machine, or what the world has."""
    is_live, name = request.param
    if not is_live:
        request.getfixturevalue("world").serve(name)
        return load_index().find(name)
    if words := request.getfixturevalue("nobody"):
        pytest.fail(words)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(ZOO))
    monkeypatch.setenv("REXNET_HUB_CACHE", str(request.getfixturevalue("fetched_once")))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return load_index().find(name)


@pytest.fixture
def is_live(request):
    """Whether the real world is asked."""
    return request.node.get_closest_marker("live") is not None


@pytest.fixture
def source(model):
    """Its file in a repo of the Hub."""
    return next(at for each in model.sources if (at := parse_hub_file(each.url)))


@pytest.fixture
def remote(source):
    """That repo, asked as somebody without a token."""
    return RemoteRepo(repo_id=source.repo_id, token=False)


# The files


@of_models()
def test_each_source_serves_the_file_that_is_stated(model, capsys):
    """Prefix, size and witnesses hold for each source; what is printed is digested here anew."""
    assert main(["fetch", model.name, "--all"]) == 0
    files = [Path(line).read_bytes() for line in capsys.readouterr().out.splitlines()]
    assert len(files) == len(model.sources) > 0
    for file, each in zip(files, model.sources, strict=True):
        assert hashlib.sha256(file).hexdigest().startswith(each.digest_prefix or "")
        assert each.size_bytes in (None, len(file))
        for stated in each.statements:
            assert hashlib.sha256(file).hexdigest().startswith(stated.sha256 or "")


@of_models([name for name in HERE if name == "rexnet_100"], ["rexnet_100", "rexnet_150"])
def test_the_release_and_the_hub_have_the_same_tensors(model, capsys):
    """The release's pickle and timm's safetensors, each read by its own library, are equal bit for bit."""
    assert main(["fetch", model.name, "--all"]) == 0
    pushed, released = capsys.readouterr().out.splitlines()
    theirs, ours = safetensors.torch.load_file(pushed), torch.load(released, weights_only=True)
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


@of_models()
@torch.inference_mode()
def test_it_converts_and_answers_alike_in_three_libraries(model, tmp_path):
    """A repo made of what the sources serve gives the same logits by us, by timm and by transformers."""
    out = tmp_path / model.name
    assert main(["stage", model.name, "--out", str(out)]) == 0
    pixels = torch.randn(2, 3, 64, 64)
    expected = AutoModel.from_pretrained(out)(pixels)
    assert expected.std() > 0
    if timm.is_model(model.architecture):
        in_timm = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
        assert_same_numbers(in_timm(pixels), expected)
        in_transformers = AutoModelForImageClassification.from_pretrained(out).eval()
        assert_same_numbers(in_transformers(pixels).logits, expected)


@of_models()
def test_all_that_is_cited_is_as_it_is_stated(model, capsys):
    """Released file, the Hub's record of each source, tables, texts, ledger: nothing is false, all answer."""
    code = main(["watch", model.name, "--json"])
    findings = json.loads(capsys.readouterr().out)
    wrong = [each for each in findings if each["verdict"] in ("false", "not reached")]
    assert (code, wrong) == (0, [])
    asked = Counter(each["claim"] for each in findings if each["verdict"] == "holds")
    tables = {table.url for result in model.results for table in result.snapshots}
    assert asked["table"] >= len(tables)
    assert asked["weights"] == bool(model.released)
    assert {each["claim"] for each in findings} >= {"witness"} if model.witnesses else True


@of_two
def test_only_hosts_that_are_meant_are_asked(model, is_live, monkeypatch, tmp_path):
    """Whatever GitHub and the Hub redirect to is theirs; the oracle is the system's look-up of names."""
    asked, look_up = set(), socket.getaddrinfo

    def noted(host, *more, **options):
        asked.add(host)
        return look_up(host, *more, **options)

    monkeypatch.setenv("REXNET_HUB_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr(socket, "getaddrinfo", noted)
    assert main(["fetch", model.name, "--all"]) == 0
    hosts = {host.decode() if isinstance(host, bytes) else host for host in asked}
    theirs = ("github.com", "githubusercontent.com", "storage.openvinotoolkit.org", *PUBLIC_HUB)
    meant = theirs if is_live else ("127.0.0.1",)
    assert [host for host in hosts if not any(f".{host}".endswith(f".{near}") for near in meant)] == []
    assert hosts & {host_of(model.released.url), meant[0]}


@of_two
def test_a_download_goes_on_where_it_was_cut(model, tmp_path):
    """After a cut the store gives the rest alone, and states by what it knows that the file is the same."""
    seen = []

    def cut_once(done, total):
        seen.append(done)
        if done > total // 2 and not [at for at in seen[:-1] if at > total // 2]:
            raise ConnectionResetError("cut here")

    with (tmp_path / "part").open("w+b") as target:
        policy = FetchPolicy(wait_seconds=0)
        digest = download(model.released.url, target, identity=Identity(), policy=policy, progress=cut_once)
    assert seen == sorted(seen)
    assert digest.sha256 == hashlib.sha256((tmp_path / "part").read_bytes()).hexdigest()
    assert digest.sha256.startswith(model.released.digest_prefix or "")


@of_one
def test_a_name_alone_loads_the_weights(model):
    """`AutoModel.from_pretrained(NAME)` fetches a source, checks it and answers, as long as names do."""
    loaded = AutoModel.from_pretrained(model.name)
    assert (
        sum(each.numel() for each in loaded.parameters())
        == read_lock(ZOO / "lock.json").of(model.name).parameters
    )


@of_one_slowly
def test_contact_finds_nothing_false(model, is_live, monkeypatch, capsys, tmp_path):
    """Of a model that nobody measured it ends with 0; the lock has what was measured, as the patch has."""
    if is_live:  # whose own index stays as it is
        copy = shutil.copytree(ZOO, tmp_path / "zoo" / "model_index")
        monkeypatch.setenv("REXNET_HUB_INDEX", str(copy))
    folder, out = find_lock().parent.parent, tmp_path / "contact"
    update_lock(lambda lock: lock.with_model(model.name, Measured()))  # as if nobody had measured it
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "the zoo"]):
        subprocess.run([*GIT, "-C", str(folder), *words], check=True)
    code = main(["contact", model.name, "--out", str(out), "--json"])
    steps = json.loads(capsys.readouterr().out)
    assert [each for each in steps if each["verdict"] in ("false", "not reached")] == []
    assert code == 0
    held = {each["step"] for each in steps if each["verdict"] == "holds"}
    assert held >= {"fetch", "stage", "load", "lock", "golden", "watch"}
    measured = read_lock().of(model.name)
    assert measured.released.sha256.startswith(model.released.digest_prefix)
    changed = re.findall(r"^diff --git a/(\S+)", (out / "contact.patch").read_text(), re.MULTILINE)
    assert "model_index/lock.json" in changed


# The Hub


@of_one
def test_the_hub_records_each_file_at_a_commit(remote, source, model):
    """API and answer to a download state the SHA-256 that the witness states, also at a short commit."""
    (stated,) = {each.statements[0].sha256 for each in model.sources if each.url == str(source)}
    for revision in (source.commit, source.commit[:7]):
        state = remote.read(revision)
        assert (state.head, state.files[source.name].sha256) == (source.commit, stated)
    with downloaded_file(source, token=False) as (path, record):
        assert record == hashlib.sha256(path.read_bytes()).hexdigest() == stated


@of_one
def test_the_hub_lists_history_and_repos(remote, source):
    """The history begins with the head and has the cited commit; an owner's repos are all listed."""
    head = remote.read().head
    history = [commit for commit, _ in remote.messages(str(head))]
    assert (history[0], source.commit in history) == (head, True)
    assert source.repo_id in list_repos(source.repo_id.split("/")[0], remote.patience)


@of_one
def test_what_the_hub_does_not_have_is_told_apart(remote, source, is_live, request):
    """No repo, no commit, no file and no admittance are four answers, and each settles the matter."""
    if not is_live:
        request.getfixturevalue("hub").create(GATED, {"config.json": b"{}"}, gated=True)
    assert RemoteRepo(repo_id=NOBODY, token=False).read().head is None
    assert remote.read("0" * 40).head is None
    kinds = {}
    for at in (source._replace(name="none.safetensors"), HubFile(GATED, "main", "config.json")):
        with pytest.raises(HubError) as refused, downloaded_file(at, token=False):
            pass
        kinds[at.repo_id] = refused.value.kind, refused.value.is_gone
    assert kinds == {source.repo_id: ("no-file", True), GATED: ("gone", True)}


@of_one
def test_a_renamed_repo_answers_by_its_new_name(model, is_live, request):
    """Who asks by the old name is led on, and told the new one."""
    if not is_live:
        hub = request.getfixturevalue("hub")
        hub.create(RENAMED_TO, {"config.json": b"{}"})
        hub.moved["old/gpt2"] = RENAMED_TO
    state = RemoteRepo(repo_id=RENAMED if is_live else "old/gpt2", token=False).read()
    assert state.repo_id == RENAMED_TO


@of_one
def test_the_hub_states_its_limits_as_they_are_read(remote, is_live, request, monkeypatch):
    """Each answer has the RateLimit headers of the draft, in seconds and requests."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    if not is_live:
        request.getfixturevalue("hub").limit(1000, 300)
    quotas = []
    note = limits.note_hold

    def noted(response, *words):
        quotas.append(parse_ratelimit_headers(response.headers))
        return note(response, *words)

    monkeypatch.setattr("rexnet_hub.hub.guard.note_hold", noted)
    assert remote.read().head
    stated = [quota for quota in quotas if quota]
    assert stated
    assert all(0 <= quota.remaining <= quota.limit and 0 < quota.window_seconds <= 3600 for quota in stated)


@of_one
def test_the_hub_takes_our_card(remote, model):
    """Its rules for a card's metadata have nothing to say of ours: no error, for which it takes no commit."""
    card = render_card(model, measured=read_lock(ZOO / "lock.json").of(model.name))
    assert remote.validate_card(card)[0] == []
    assert remote.validate_card(card.replace("license: mit", "license: no-such"))[0] != []


@pytest.fixture
def own_repo(is_live):
    """A repo that is made and removed: in the organisation that REXNET_HUB_LIVE_ORG names, by HF_TOKEN."""
    org = os.environ.get("REXNET_HUB_LIVE_ORG") if is_live else ORG
    if not org:
        pytest.skip("nobody said where to write: REXNET_HUB_LIVE_ORG names an organisation, and HF_TOKEN may")
    own = RemoteRepo(repo_id=f"{org}/rexnet-hub-live-test")
    assert own.read().head is None
    yield own
    if is_live:
        huggingface_hub.HfApi().delete_repo(own.repo_id)


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
@of_one_slowly
def test_what_is_published_is_there_and_is_not_overwritten(model, own_repo, capsys, tmp_path):
    """A commit is whole and read back, a second is none, one on an older head is refused, and a tag stays."""
    words = ["publish", model.name, "--to", f"hf:{own_repo.repo_id}", "--apply", "--private", "--tag", "v1"]
    assert main(words) == 0, capsys.readouterr().err
    state = own_repo.read()
    assert (state.is_private, state.tags) == (True, {"v1": state.head})
    assert main(words) == 0
    assert own_repo.read() == state
    (tmp_path / "file").write_text("more")
    first = own_repo.messages(str(state.head))[-1][0]
    with pytest.raises(HubError) as refused:
        own_repo.commit({"file": tmp_path / "file"}, [], parent=first, title="late", message="")
    assert refused.value.kind == "moved"
    with pytest.raises(HubError) as refused:
        own_repo.tag("v1", first)
    assert refused.value.kind == "exists"
    assert own_repo.read() == state


# Whether they say no, and what is assumed


def live_tests():
    """Return the tests of this file that ask the real world, by name."""
    marks = {name: getattr(each, "pytestmark", ()) for name, each in globals().items() if name[:5] == "test_"}
    asking = [name for name, own in marks.items() if any("model" in mark.args for mark in own)]
    return {name: globals()[name] for name in asking if name != "test_each_of_them_says_no"}


def gone(world):
    """Let no source of the model serve."""
    world.web.lies[world.path("rexnet_100")] = ["status 404"]
    world.hub.repos.clear()


def other_figures(world):
    world.web.files = {
        path: b"model,top1" if "/raw/" in path else data for path, data in world.web.files.items()
    }


def other_file(world):
    file = world.web.files[world.stored("rexnet_100")]
    world.web.files[world.stored("rexnet_100")] = file[:-1] + bytes([file[-1] ^ 1])


def other_weights(world):
    world.put("rexnet_100", drawn("rexnet_100", seed=1).safetensors)


def other_history(world):
    repo = world.repo("rexnet_100")
    repo.branches["main"] = repo.commit(None, repo.commits[repo.head].tree)


def refused(world):
    world.hub.fault("/commit/", "status", status=403, times=-1)


def silent(world):
    world.hub.gone = True


#: A fault for each test; each of them is one that some server may have.
PLANTED = {
    "test_each_source_serves_the_file_that_is_stated": other_file,
    "test_the_release_and_the_hub_have_the_same_tensors": other_weights,
    "test_it_converts_and_answers_alike_in_three_libraries": gone,
    "test_all_that_is_cited_is_as_it_is_stated": other_figures,
    "test_only_hosts_that_are_meant_are_asked": lambda world: world.web.lies.update(
        {world.path("rexnet_100"): ["redirect https://localhost/elsewhere"]}
    ),
    "test_a_download_goes_on_where_it_was_cut": lambda world: world.web.lies.update(
        {world.stored("rexnet_100"): ["whole"]}
    ),
    "test_a_name_alone_loads_the_weights": gone,
    "test_contact_finds_nothing_false": other_figures,
    "test_the_hub_records_each_file_at_a_commit": other_weights,
    "test_the_hub_lists_history_and_repos": other_history,
    "test_what_the_hub_does_not_have_is_told_apart": lambda world: world.hub.create(NOBODY),
    "test_a_renamed_repo_answers_by_its_new_name": silent,
    "test_the_hub_states_its_limits_as_they_are_read": silent,
    "test_the_hub_takes_our_card": silent,
    "test_what_is_published_is_there_and_is_not_overwritten": refused,
}


@pytest.mark.slow
@of_models(HERE[:1], ())
@pytest.mark.parametrize("test", PLANTED)
def test_each_of_them_says_no(model, world, request, test):
    """Each test fails where what it holds is not so, and none is without a fault."""
    assert PLANTED.keys() == live_tests().keys()
    PLANTED[test](world)
    asked = live_tests()[test]
    fixtures = {name: request.getfixturevalue(name) for name in inspect.signature(asked).parameters}
    with pytest.raises((AssertionError, RexnetHubError)):
        asked(**fixtures)


def test_each_assumption_has_a_live_test_and_each_live_test_an_assumption():
    """Nothing is assumed that no test would refute, and no test asks what nobody assumes."""
    assert {row["test"] for row in STATED["assumptions"] if "untested" not in row} == live_tests().keys()
    assert [row for row in STATED["assumptions"] if not row["rests_on"]] == []


def test_what_assumptions_rest_on_in_the_client_is_there():
    """A line of the client that is quoted stands in its file, in the release that is named."""
    quoted = [on for row in STATED["assumptions"] for on in row["rests_on"] if "file" in on]
    assert quoted
    folder = Path(huggingface_hub.__file__).parent
    if huggingface_hub.__version__ == STATED["client"]:  # of another release nobody read it
        assert [on for on in quoted if on["says"] not in (folder / on["file"]).read_text()] == []

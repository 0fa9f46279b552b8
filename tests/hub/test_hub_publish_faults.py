"""Whatever fails while publishing, the remote is old or new, and a second run ends right."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cases import slow
from loopback import TRANSPORTS, WRITE

from rexnet_hub.errors import FileProblem, HubError, PublishError, RexnetHubError
from rexnet_hub.patience import Patience
from rexnet_hub.publish import apply_plan, plan_publish

QUICK = Patience(step_seconds=10, attempts=3, wait_seconds=0)
HASTY = Patience(step_seconds=0.3, attempts=3, wait_seconds=0)  # where a stall is waited for
STALL_SECONDS = 0.8  # beyond the step, and beyond it again where the client waits on its own
ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.usefixtures("own_small_index", "quick_claims"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]

#: Every kind of request that a first publication makes.
CREATE, PREUPLOAD, BATCH, PUT, COMMIT, TAG, INFO, REFS, HEAD, GET, MARK, SETTINGS, UNMARK = (
    "POST /api/repos/create", "POST .*/preupload/", "POST .*objects/batch", "PUT /org/", "POST .*/commit/",
    "POST .*/tag/",
    "GET /api/models/org/small(/revision.*)?$", "GET .*/refs", "HEAD .*/resolve/",
    "GET /(org/small|xorb)/[0-9a-f]{64}$", "POST .*/branch/", "PUT .*/settings", "DELETE .*/branch/",
)  # fmt: skip
#: Those by which a plan asks whether all this will be taken.
WHOAMI, VALIDATE = "GET .*/whoami-v2", "POST .*/validate-yaml"
#: Those that it makes over Xet in place of BATCH and PUT, and to read back.
TO_SEND, XORB, SHARD, TO_READ, PLACES = (
    "GET .*/xet-write-token", "POST .*/xorbs/", "POST .*/shards", "GET .*/xet-read-token",
    "GET .*/reconstructions/",
)  # fmt: skip
by_both = pytest.mark.parametrize("transport", TRANSPORTS)
OVER_XET = (TO_SEND, XORB, SHARD, TO_READ, PLACES)
REQUESTS = (CREATE, PREUPLOAD, BATCH, PUT, COMMIT, TAG, INFO, REFS, HEAD, GET, MARK, SETTINGS, UNMARK)


def publish(staged, patience=QUICK):
    return apply_plan(plan_publish(staged, "hf:org", patience=patience), patience=patience)


def state(hub):
    """What a reader sees: nothing, an empty repo, or a commit with its files, and the tags."""
    repo = hub.repos.get("org/small")
    return (repo.files(), dict(repo.tags)) if repo else ({}, {})


def assert_old_or_new(hub, files):
    """What others see is nothing, or all of it with its tag; what we see, no half of a commit."""
    found, tags = state(hub)
    assert found in ({}, files)
    assert tags == {} or found == files
    repo = hub.repos.get("org/small")
    assert repo is None or repo.private or (found == files and len(tags) == 1)


def assert_ends_right(hub, staged, files, *, is_private=False):
    """A second run ends in one commit and one tag, with the staged bytes, for all to see."""
    published = publish(staged)
    repo = hub.repos["org/small"]
    assert repo.files() == files
    assert [commit.title for _, commit in repo.history(repo.head)][1:] == ["initial commit"]
    assert len(repo.commits) == 2
    assert repo.tags == {published.tag: repo.head}
    assert (repo.private, list(repo.branches)) == (is_private, ["main"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "on", "action"),
    [
        *(("lfs", on, "lost") for on in (*REQUESTS, WHOAMI, VALIDATE)),
        *(("lfs", on, "status") for on in (CREATE, BATCH, COMMIT, TAG, INFO, MARK, SETTINGS, UNMARK, WHOAMI)),
        *(("lfs", on, "stall") for on in (*REQUESTS, WHOAMI)),
        *(("xet", on, "lost") for on in (*OVER_XET, GET)),
        *(("xet", on, "status") for on in (TO_SEND, XORB, SHARD)),
        *(("xet", on, "stall") for on in (*OVER_XET, GET)),
        *(("lfs", on, "flip") for on in (CREATE, PREUPLOAD, BATCH, COMMIT, INFO, REFS, WHOAMI, VALIDATE)),
        *(("xet", on, "flip") for on in (TO_SEND, XORB, SHARD, COMMIT, PLACES)),
    ],
)
def test_one_fault_of_any_request(hub, staged, files, on, action):
    """A lost answer, a 503, a stall or a flipped bit of each kind of request, once: then it ends right."""
    assert_survives(hub, staged, files, on, action, after_bytes=STALL_SECONDS if action == "stall" else 3)


@pytest.mark.parametrize("after_bytes", [0, 40, *map(slow, (3, 400))])
@pytest.mark.parametrize(
    ("transport", "on"),
    [*(("lfs", on) for on in REQUESTS), *(("xet", on) for on in (*OVER_XET, COMMIT, GET))],
)
def test_a_connection_cut_at_any_byte(hub, staged, files, on, after_bytes):
    """Each kind of request or answer ends after so many of its bytes, once: then it ends right."""
    assert_survives(hub, staged, files, on, "drop", after_bytes)


def assert_survives(hub, staged, files, on, action, after_bytes):
    """One fault is survived or told in a line, leaves the old or the new, and a second run ends right."""
    hub.fault(on, action, after_bytes=after_bytes)
    said = ""
    try:
        publish(staged, HASTY if action == "stall" else QUICK)
    except RexnetHubError as error:
        said = str(error)
    assert [fault.times for fault in hub.faults] == [0]  # the request was made
    assert "\n" not in said
    assert "SENTINEL" not in said
    assert_old_or_new(hub, files)
    assert_ends_right(hub, staged, files)


@pytest.mark.parametrize(
    ("transport", "on", "status"),
    [
        *(("lfs", on, status) for on, status in ((CREATE, 429), (PUT, 500), (COMMIT, 500), (TAG, 429))),
        *(("xet", on, status) for on, status in ((TO_SEND, 429), (XORB, 500), (SHARD, 500))),
    ],
)
def test_a_long_burst_is_given_up_and_told(hub, staged, files, on, status):
    """A Hub that answers 429 or 500 for ever ends in one line, with the old state; later it ends right."""
    hub.fault(on, "status", status=status, times=-1)
    with pytest.raises(HubError, match=r"run it again|asks to wait until") as caught:
        publish(staged)
    assert caught.value.is_transient
    assert_old_or_new(hub, files)
    hub.faults.clear()
    assert_ends_right(hub, staged, files)


@pytest.mark.parametrize("on", [CREATE, COMMIT, TAG])
def test_a_hub_says_how_long_to_wait(hub, staged, files, on):
    """The Retry-After of a busy Hub, here none, replaces our own wait, which would be too long."""
    hub.fault(on, "status", status=429)
    publish(staged, Patience(attempts=2, wait_seconds=5000))
    assert state(hub)[0] == files


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # what is given up ends unclosed
@pytest.mark.parametrize("on", [PREUPLOAD, INFO])
def test_an_answer_that_drips_ends(hub, staged, files, on):
    """An answer that comes a byte now and then is given up after the call's limit; later it ends right."""
    hub.fault(on, "drip", times=-1)
    patience = Patience(step_seconds=5, total_seconds=0.5, attempts=2, wait_seconds=0)
    with pytest.raises(RexnetHubError, match="too slow") as caught:
        apply_plan(plan_publish(staged, "hf:org", patience=patience), patience=patience)
    assert "\n" not in str(caught.value)
    assert_old_or_new(hub, files)
    hub.faults.clear()
    assert_ends_right(hub, staged, files)


@pytest.mark.parametrize("after_bytes", [0, 65_536, 14_000_000])
def test_an_upload_that_is_cut_anywhere(hub, staged, files, after_bytes):
    """The connection ends after so many bytes of the weights: they are sent again."""
    hub.fault(PUT, "drop", after_bytes=after_bytes)
    publish(staged)
    assert state(hub)[0] == files


@pytest.mark.parametrize("after_bytes", [0, 3000])
def test_a_commit_that_is_cut_anywhere(hub, staged, files, after_bytes):
    """The connection ends after so many bytes of the commit: nothing landed, and it is made once."""
    hub.fault(COMMIT, "drop", after_bytes=after_bytes)
    publish(staged)
    assert len(hub.repos["org/small"].commits) == 2


def test_a_commit_that_landed_unheard_is_not_made_twice(hub, staged, files):
    """The answer to the commit is lost: the same run finds it there."""
    hub.fault(COMMIT, "lost")
    assert publish(staged).commit == hub.repos["org/small"].head
    assert_ends_right(hub, staged, files)


@by_both
@pytest.mark.parametrize("place", [0, 8, 16, 35, 80, -2])
def test_a_byte_flipped_in_the_answer_to_a_commit(hub, staged, files, place):
    """One bit wrong in the JSON, in a key, in the commit's id, in its address: then it ends right."""
    hub.fault(COMMIT, "flip", place=place)
    said = ""
    try:
        publish(staged)
    except RexnetHubError as error:
        said = str(error)
    assert "\n" not in said
    assert_old_or_new(hub, files)
    assert_ends_right(hub, staged, files)


@by_both
def test_an_upload_whose_commit_is_refused(hub, staged, files):
    """Objects without a commit change nothing; the next run sends no object again."""
    hub.fault(COMMIT, "status", status=403)
    with pytest.raises(HubError, match="may not do that"):
        publish(staged)
    assert state(hub) == ({}, {})
    hub.log.clear()
    assert_ends_right(hub, staged, files)
    assert hub.requests(f"{PUT}|{XORB}") == []


def test_another_commit_in_between_is_not_overwritten(hub, staged):
    """Somebody commits just before our commit: 412, ours is not made, theirs stays."""
    hub.fault(COMMIT, "race")
    with pytest.raises(PublishError, match="somebody committed in between"):
        publish(staged)
    repo = hub.repos["org/small"]
    assert list(repo.files()) == ["RACE.md"]
    assert repo.tags == {}


@pytest.mark.parametrize("times", [1, 2])
def test_an_object_that_the_store_loses(hub, staged, files, times):
    """Accepted, committed and gone: it is noticed by reading back, sent again, and tagged only when whole."""
    hub.forgetful = True
    hub.fault(PUT, "forget", times=times)
    if times == 1:
        publish(staged)
    else:
        with pytest.raises(PublishError, match=r"model\.safetensors did not read back as staged.*not tagged"):
            publish(staged)
        assert hub.repos["org/small"].tags == {}
    repo = hub.repos["org/small"]
    published = publish(staged)
    assert repo.files() == files
    assert repo.tags == {published.tag: repo.head}
    assert len(repo.commits) == 2


@by_both
@pytest.mark.parametrize("times", [1, -1])
def test_a_byte_flipped_while_reading_back(hub, staged, files, times):
    """Served with one bit wrong: once, it is read again; each time, the commit is not tagged."""
    hub.fault(GET, "flip", times=times)
    if times == 1:
        publish(staged)
    else:
        with pytest.raises(PublishError, match="did not read back"):
            publish(staged)
        assert hub.repos["org/small"].tags == {}
        hub.faults.clear()
    assert_ends_right(hub, staged, files)


@pytest.mark.parametrize(
    ("transport", "on"), [("lfs", PUT), ("lfs", COMMIT), ("lfs", TAG), ("xet", XORB), ("xet", SHARD)]
)
def test_a_server_that_goes_away(hub, staged, files, on):
    """The Hub is gone from some request on: one line says so, and when it is back it ends right."""

    def leave():
        hub.gone = True

    hub.fault(on, "kill", call=leave)
    with pytest.raises(HubError, match="does not answer"):
        publish(staged)
    assert_old_or_new(hub, files)
    hub.gone = False
    assert_ends_right(hub, staged, files)


@pytest.mark.parametrize("at", ["planning", "reading back"])
def test_a_full_disk_while_reading(hub, staged, files, monkeypatch, tmp_path, at):
    """No room for the copies of what is there: one line, nothing tagged; with room it ends right."""
    if at == "planning":
        hub.create("org/small")
        hub.push("org/small", {"README.md": b"another"})
    else:
        plan = plan_publish(staged, "hf:org", patience=QUICK)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(FileProblem, match=r"nowhere.*could not be read back") as caught:
        apply_plan(plan, patience=QUICK) if at == "reading back" else publish(staged)
    assert "\n" not in str(caught.value)
    assert hub.repos["org/small"].tags == {}
    monkeypatch.setattr("tempfile.tempdir", None)
    if at == "reading back":
        assert_ends_right(hub, staged, files)


def own_environment(hub, tmp_path, transport):
    """Give the environment of a process that talks to the loopback Hub, with a token that may write."""
    return dict(
        os.environ, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"), HF_TOKEN=WRITE,
        HF_HUB_DISABLE_XET=str(int(transport == "lfs")), HF_HUB_DISABLE_TELEMETRY="1", PYTHONPATH=str(ROOT),
    )  # fmt: skip


PROGRAM = """
import sys
from pathlib import Path
from rexnet_hub.publish import apply_plan, plan_publish
apply_plan(plan_publish(Path(sys.argv[1]), "hf:org"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "on", "action"),
    [
        ("lfs", CREATE, "kill"),
        ("lfs", CREATE, "killed_after"),
        ("lfs", MARK, "kill"),
        ("lfs", MARK, "killed_after"),
        ("lfs", PREUPLOAD, "kill"),
        ("lfs", PUT, "kill"),
        ("lfs", COMMIT, "kill"),
        ("lfs", COMMIT, "killed_after"),
        ("lfs", GET, "kill"),
        ("lfs", TAG, "kill"),
        ("lfs", TAG, "killed_after"),
        ("lfs", SETTINGS, "kill"),
        ("lfs", SETTINGS, "killed_after"),
        ("lfs", UNMARK, "kill"),
        ("lfs", UNMARK, "killed_after"),
        ("xet", XORB, "killed_after"),
        ("xet", SHARD, "killed_after"),
        ("xet", COMMIT, "killed_after"),
    ],
)
def test_a_kill_at_every_step(hub, staged, files, transport, on, action, tmp_path, own_small_index):
    """The publishing process is killed before or after each change that it asks for: then it ends right.

    Between making the repo and marking it, nothing tells it from one that somebody made private: it stays so.
    """
    child: subprocess.Popen[bytes]

    def kill():
        child.kill()
        child.wait()

    hub.fault(on, action, call=kill)
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, staged],
        env=own_environment(hub, tmp_path, transport), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.wait(timeout=60) == -signal.SIGKILL
    assert_old_or_new(hub, files)
    is_unmarked = (on, action) in ((CREATE, "killed_after"), (MARK, "kill"))
    assert_ends_right(hub, staged, files, is_private=is_unmarked)


@by_both
def test_no_token_in_logs_messages_or_files(hub, staged, tmp_path, caplog, capfd):
    """At debug level, with retries and a refusal: the token is nowhere but in the request."""
    caplog.set_level(logging.DEBUG)
    hub.fault(f"{PUT}|{XORB}", "status", status=503)
    hub.fault(COMMIT, "lost")
    hub.fault(TAG, "status", status=403)
    with pytest.raises(HubError) as caught:
        publish(staged)
    told = caplog.text + "".join(capfd.readouterr()) + repr(caught.value) + repr(vars(caught.value))
    assert "SENTINEL" not in told
    stored = [file for file in tmp_path.rglob("*") if file.is_file() and b"SENTINEL" in file.read_bytes()]
    assert stored == []
    repo = hub.repos["org/small"]
    committed = [commit.title + commit.message for commit in repo.commits.values()]
    assert "SENTINEL" not in "".join(committed) + repr(list(repo.files().values()))


STARTING = """
import sys
started, starters = [], {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system"}
sys.addaudithook(lambda event, words: started.append((event, words)) if event in starters else None)
from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
assert main(["publish", "small", "--to", "hf:org", "--apply"]) == 0
AutoModel.from_pretrained("org/small")
print(started, file=sys.stderr)
"""


@pytest.mark.slow
def test_no_token_in_the_words_of_a_process(hub, transport, tmp_path, files):
    """Publishing and loading start processes; the token is in no command line, and in no output."""
    child = subprocess.run(
        [sys.executable, "-c", STARTING],
        env=own_environment(hub, tmp_path, transport), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert "subprocess.Popen" in child.stderr
    assert "SENTINEL" not in child.stdout + child.stderr
    assert "%|" not in child.stderr  # bars are drawn on a terminal only
    assert hub.repos["org/small"].files().keys() == files.keys()

"""What a Hub says of its limits holds for the whole run: it is waited for once, or the run stops there."""

import _thread
import os
import re
import shutil
import sys
import time

import pytest
from cases import slow
from loopback import WRITE

from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import HubError
from rexnet_hub.hub import limits
from rexnet_hub.patience import Patience
from rexnet_hub.publish import apply_plan, plan_publish, publish_all

QUICK = Patience(step_seconds=10, total_seconds=600, attempts=3, wait_seconds=0)
COMMIT, PREUPLOAD = "POST .*/commit/", "POST .*/preupload/"
QUOTA = "You have exceeded our hourly quotas for action: commit. We invite you to retry later."
CUT = "until [0-9-]{10} [0-9:]{5}"

pytestmark = [
    pytest.mark.usefixtures("own_small_index", "quick_claims"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """Nobody has asked this process to wait yet."""
    monkeypatch.setattr(limits, "_held", {})


@pytest.fixture
def several(small_staged, tmp_path):
    """Four staged repos, and the words that name them."""
    names = [f"model_{number}" for number in range(4)]
    return [str(shutil.copytree(small_staged, tmp_path / "several" / name)) for name in names]


def publish(staged, patience=QUICK):
    return apply_plan(plan_publish(staged, "hf:org", patience=patience), patience=patience)


def refusals(hub):
    return [line for line, status in hub.log if status == 429]


@pytest.mark.slow
def test_a_window_that_is_used_up_is_waited_for(hub, staged, files):
    """Whoever reads that no request is left waits for the next window, and never meets a 429."""
    hub.limit(4, 1)
    hub.limit(6, 1, kind="resolvers")
    publish(staged)
    assert refusals(hub) == []
    assert len(hub.requests(" /api/|/info/lfs/")) > 4
    assert hub.repos["org/small"].files() == files


@pytest.mark.parametrize("says", ["RateLimit", *map(slow, ("Retry-After", "date"))])
def test_a_wait_is_heeded_whichever_way_it_is_stated(hub, staged, says, caplog):
    """The commit is sent once too early, by others' doing, and once after the wait; and the wait is said."""
    quota = hub.limit(0, 2, on=COMMIT, says=says, words=QUOTA)
    hub.fault(COMMIT, "before", call=lambda: setattr(quota, "count", 0))
    hub.fault(COMMIT, "before", call=lambda: setattr(quota, "count", 9))
    started = time.monotonic()
    publish(staged)
    assert time.monotonic() - started >= 1
    assert (len(hub.requests(COMMIT)), len(refusals(hub))) == (2, 1)
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("rexnet_hub")]
    assert re.search(rf"waiting [123] s: .*{re.escape(QUOTA)}", line)


@pytest.mark.parametrize("says", ["RateLimit", "Retry-After", "date"])
def test_a_wait_beyond_all_patience_is_one_request(hub, staged, says):
    """After 1800 nothing more is sent; the Hub's own words and the time are in the line."""
    hub.limit(0, 1800, on=COMMIT, says=says, words=QUOTA)
    with pytest.raises(HubError, match=re.escape(QUOTA)) as caught:
        publish(staged)
    assert re.search(CUT, str(caught.value))
    assert "\n" not in str(caught.value)
    assert len(hub.requests(COMMIT)) == 1
    sent = len(hub.log)
    with pytest.raises(HubError, match=f"asks to wait {CUT}.*{re.escape(QUOTA)}"):
        plan_publish(staged, "hf:org", patience=QUICK)
    assert len(hub.log) == sent


def test_a_quota_without_words_is_told_by_its_numbers(hub, staged):
    """A 429 that has no words of its own is told as how many requests in how many seconds."""
    hub.limit(0, 1800, words="")
    with pytest.raises(HubError, match="0 api requests in 1800 seconds"):
        plan_publish(staged, "hf:org", patience=QUICK)


def test_a_quota_that_states_no_wait_is_tried_as_often_as_any(hub, staged):
    """Without a stated wait it is our own that grows, and the words are in the line."""
    hub.limit(0, 1800, on=COMMIT, says="nothing", words=f"{QUOTA} {WRITE}")
    with pytest.raises(HubError, match=re.escape(f"{QUOTA} (hidden)")):
        publish(staged)
    assert len(hub.requests(COMMIT)) == QUICK.attempts


def create_edited(hub, staged, files):
    """Make a repo whose card is theirs, while ours changes too: whose it was, only its commits could tell."""
    hub.create("org/small", files | {"README.md": b"# theirs\n"})
    with (staged / "README.md").open("a") as card:
        card.write("more\n")


@pytest.mark.parametrize("on", [PREUPLOAD, "POST .*objects/batch", "PUT ", "GET .*/commits/"])
def test_retries_are_not_multiplied(hub, staged, files, on):
    """A request that fails for ever is made as often as our patience says, whatever the client would do."""
    if "commits" in on:
        create_edited(hub, staged, files)
    hub.fault(on, "status", status=500, times=-1)
    with pytest.raises(HubError, match=r"\(500\), it says 'asked for'"):
        publish(staged)
    assert len(hub.requests(on)) == QUICK.attempts


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "on",
    ["GET /api/models/org/small", "GET .*/refs", "GET .*/commits/", "HEAD .*/resolve/", "GET .*/resolve/"],
)
def test_each_read_of_a_plan_is_retried(hub, staged, files, on, status):
    """A plan survives as many failures of each of its reads as an upload does."""
    create_edited(hub, staged, files)
    hub.fault(on, "status", status=status, times=QUICK.attempts - 1)
    assert plan_publish(staged, "hf:org", patience=QUICK).edits == ("# theirs",)
    assert [fault.times for fault in hub.faults] == [0]


def test_a_load_takes_what_is_cached_while_the_hub_asks_to_wait(hub, files):
    """Beyond a load's two minutes a cached model is loaded at one request's cost; another fails at none."""
    for name in ("org/small", "org/other"):
        hub.create(name, files)
    AutoModel.from_pretrained("org/small")
    hub.limit(0, 1800, kind="resolvers")
    AutoModel.from_pretrained("org/small")
    assert len(refusals(hub)) == 1
    with pytest.raises(HubError, match=f"asks to wait {CUT}"):
        AutoModel.from_pretrained("org/other")
    assert len(refusals(hub)) == 1


def test_a_run_waits_once_for_all(hub, several):
    """A limit after the second of four is waited for, and all are published."""
    hub.limit(2, 2, on=COMMIT, says="Retry-After", words=QUOTA)
    outcomes = publish_all(several, "hf:org", apply=True, patience=QUICK)
    assert [outcome.problem for outcome in outcomes] == [None] * 4
    assert len(refusals(hub)) <= 1


def test_a_run_stops_at_a_limit_and_is_resumed(hub, several, monkeypatch):
    """A limit after the second of four stops the run, nothing more is sent; run again it ends, cheaply."""
    hub.limit(2, 1800, on=COMMIT, says="Retry-After", words=QUOTA)
    outcomes = publish_all(several, "hf:org", apply=True, patience=QUICK)
    assert [bool(outcome.published) for outcome in outcomes] == [True, True, False, False]
    assert [outcome.is_tried for outcome in outcomes] == [True, True, True, False]
    assert re.search(f"asks to wait {CUT}.*{re.escape(QUOTA)}", outcomes[3].problem)
    assert len(refusals(hub)) == 1
    assert "model_3" not in "".join(hub.requests())
    hub.quotas.clear()
    monkeypatch.setattr(limits, "_held", {})
    assert all(outcome.published for outcome in publish_all(several, "hf:org", apply=True, patience=QUICK))
    assert [len(repo.tags) for repo in hub.repos.values()] == [1] * 4
    before = len(hub.log)
    publish_all(several, "hf:org", apply=True, patience=QUICK)
    assert len(hub.log) - before == 4 * 4


def test_an_interrupted_run_says_what_was_done(hub, several, capsys):
    """Ctrl-C prints what was published and ends with 130; the same command again ends the run."""
    hub.fault("POST .*/create", "before", skip=2, call=_thread.interrupt_main)
    assert main(["publish", *several, "--to", "hf:org", "--apply"]) == 130
    out, err = capsys.readouterr()
    assert out.count("published: hf:org/") == 2
    assert "2 of 4 were done" in err
    assert main(["publish", *several, "--to", "hf:org", "--apply"]) == 0
    assert re.findall(r"^\S+ +(was there|published) ", capsys.readouterr().out, re.MULTILINE) == [
        *["was there"] * 2,
        *["published"] * 2,
    ]


def test_what_was_not_tried_is_a_row_and_no_error(hub, several, capsys):
    """The table says of each that was not tried until when the Hub asks to wait; the exit code is 1."""
    hub.limit(0, 3600, on=COMMIT, says="Retry-After", words=QUOTA)
    assert main(["publish", *several, "--to", "hf:org", "--apply"]) == 1
    out, err = capsys.readouterr()
    assert len(re.findall(rf"not tried +the Hub asks to wait {CUT}", out)) == 3
    assert err.count("error: ") == 1
    assert QUOTA in err


def test_a_run_of_several_shows_a_bar_on_a_terminal_only(several, tmp_path, monkeypatch, capsys):
    """A terminal sees how many repos are done; a file sees no bar, and neither does a run of one."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    command = ["publish", *several, "--to", str(tmp_path / "there")]
    assert main(command) == 0
    assert "/4" not in capsys.readouterr().err

    def seen(words):
        reading, writing = pty.openpty()
        termios.tcsetwinsize(writing, (25, 80))
        with os.fdopen(writing, "w") as terminal, monkeypatch.context() as here:
            here.setattr(sys, "stderr", terminal)
            assert main(words) == 0
            terminal.flush()
            text = os.read(reading, 1 << 16).decode()
        os.close(reading)
        return text

    assert "0/4" in seen(command)
    assert "0/1" not in seen(["publish", several[0], "--to", str(tmp_path / "there")])

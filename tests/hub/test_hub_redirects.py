"""No request of the Hub's client is led away from the Hub, whatever the Hub answers."""

import socket
import threading

import pytest
from huggingface_hub import get_session
from huggingface_hub.utils import http_backoff  # type: ignore[attr-defined] # in its __all__, lazily
from loopback import TRANSPORTS

from rexnet_hub.auto import AutoModel
from rexnet_hub.errors import HubError, RexnetHubError
from rexnet_hub.hub import guard
from rexnet_hub.hub.guard import ForeignHostError, find_foreign, guarded_client
from rexnet_hub.patience import Patience
from rexnet_hub.publish import apply_plan, plan_publish

QUICK = Patience(step_seconds=5, attempts=3, wait_seconds=0)
GET_WEIGHTS = r"GET /org/small/[0-9a-f]{64}$"

pytestmark = [
    pytest.mark.usefixtures("own_small_index", "quick_claims"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]

#: Where a redirect may not lead, and what is said of it; {port} is one of the loopback Hub's.
AWAY = {
    "http://localhost:{port}/x": "is not https",
    "http://huggingface.co/x": "is not https",
    "file:///etc/hostname": "is not https",
    "ftp://127.0.0.1/x": "is not https",
    "http://user:SECRET@127.0.0.1:{port}/x": "has credentials in it",
    "https://elsewhere.example/x?sig=SECRET": "is neither of 127.0.0.1 nor of the public Hub",
    "//elsewhere.example/x": "is not https",
    "https://huggingface.co.elsewhere.example/x": "is neither of",
    "https://nothuggingface.co/x": "is neither of",
    "https://169.254.169.254/x": "is neither of",
}


@pytest.fixture
def published(hub, files):
    """The small repo on the Hub."""
    hub.create("org/small", files)
    return hub


def kept(folder):
    """Name the whole files in the client's cache."""
    return sorted(file.name for file in folder.glob("hf/hub/*/snapshots/*/*"))


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("on", ["HEAD .*/config.json", "HEAD .*model.safetensors", GET_WEIGHTS])
def test_a_redirect_away_is_refused_and_nothing_kept(published, on, away, tmp_path, caplog):
    """A file that the Hub says is elsewhere is not asked for there; one that leads right again is loaded."""
    published.fault(on, "redirect", location=away.format(port=published.store.server_port))
    with pytest.raises(HubError) as caught:
        AutoModel.from_pretrained("org/small")
    said = str(caught.value)
    assert AWAY[away] in said
    assert said.endswith("nothing was asked there. Check HF_ENDPOINT, or tell the Hub's people")
    assert "\n" not in said
    assert "SECRET" not in said + caplog.text
    assert caught.value.kind == "led-away"
    assert "model.safetensors" not in kept(tmp_path)
    assert "GET /x" not in published.requests()
    AutoModel.from_pretrained("org/small")
    assert "model.safetensors" in kept(tmp_path)


def test_a_redirect_of_the_hub_to_its_store_is_followed(published):
    """The check lets pass what the Hub itself does: weights from another port, and one redirect more."""
    store = published.store_url
    published.fault(
        "HEAD .*config.json", "redirect", location=f"{published.url}/org/small/resolve/main/config.json"
    )
    oid = next(iter(published.repos["org/small"].objects))
    published.fault(GET_WEIGHTS, "redirect", location=f"{store}/org/small/{oid}?again=1")
    AutoModel.from_pretrained("org/small")
    assert len(published.requests(GET_WEIGHTS)) == 2
    assert len(published.requests("HEAD .*config.json")) == 2


@pytest.mark.parametrize("transport", ["xet"])
@pytest.mark.parametrize("which", ["store_url", "token_url"])
def test_xet_elsewhere_is_refused(published, which, tmp_path):
    """A Hub that names another host for the store of Xet, or for its tokens, is not followed there."""
    real = getattr(published, which)
    setattr(published, which, real.replace("127.0.0.1", "localhost"))
    with pytest.raises(HubError, match=r"leads to http://localhost.*is not https"):
        AutoModel.from_pretrained("org/small")
    assert "model.safetensors" not in kept(tmp_path)
    assert published.requests("/reconstructions/") == []
    assert which == "store_url" or published.requests("xet-read-token") == []
    setattr(published, which, real)
    AutoModel.from_pretrained("org/small")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "on",
    ["GET /api/models/org/small$", "POST .*/create", "POST .*/preupload", "POST .*/commit", "POST .*/tag"],
)
def test_a_redirect_while_publishing_is_refused(hub, staged, files, on):
    """Led away at any step a publication ends in one line, and later it ends right."""
    hub.fault(on, "redirect", location="https://elsewhere.example/x", times=-1)
    with pytest.raises(HubError, match=r"is neither of 127\.0\.0\.1 nor of the public Hub") as caught:
        apply_plan(plan_publish(staged, "hf:org", patience=QUICK), patience=QUICK)
    assert "\n" not in str(caught.value)
    hub.faults.clear()
    apply_plan(plan_publish(staged, "hf:org", patience=QUICK), patience=QUICK)
    assert hub.repos["org/small"].files() == files


def test_an_upload_to_a_private_address_is_refused(hub, staged):
    """The weights are not sent where the Hub's API should not send them, from whichever thread."""
    hub.store_url = f"http://localhost:{hub.store.server_port}"
    with pytest.raises(RexnetHubError, match=r"leads to http://localhost.*is not https"):
        apply_plan(plan_publish(staged, "hf:org", patience=QUICK), patience=QUICK)
    assert hub.requests("PUT") == []


def test_only_our_own_requests_are_looked_at(hub):
    """What other threads ask with the client's session meanwhile is theirs; afterwards it is as before."""
    elsewhere = f"http://localhost:{hub.api.server_port}/api/models/org/none"
    hooks = {kind: list(of) for kind, of in get_session().event_hooks.items()}
    answers = []

    def ours():
        with pytest.raises(ForeignHostError):
            get_session().get(elsewhere)
        other = threading.Thread(target=lambda: answers.append(get_session().get(elsewhere).status_code))
        other.start()
        other.join()

    with guarded_client(QUICK, every_thread=False):
        ours()
    assert len(answers) == 1
    assert get_session().event_hooks == hooks
    with (
        pytest.raises(ConnectionError, match="closed meanwhile"),
        guarded_client(QUICK, every_thread=False),
    ):
        get_session().close()


def test_a_connection_that_fails_leaves_the_guarded_session(hub):
    """The client would throw its session away and try again with one that is not looked at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = server.getsockname()[1]
    session = get_session()
    with (
        pytest.raises(ConnectionError, match="refused"),
        guarded_client(QUICK, every_thread=False),
    ):
        http_backoff("GET", f"http://127.0.0.1:{nobody}/x")
    assert get_session() is session
    assert not session.is_closed


@pytest.mark.parametrize(
    ("endpoint", "url", "problem"),
    [
        ("https://huggingface.co", "https://huggingface.co/api", None),
        ("https://huggingface.co", "http://huggingface.co/api", "is not https"),
        ("https://huggingface.co", "https://localhost/x", "is neither of"),
        ("https://huggingface.co", "https://10.0.0.1/x", "is neither of"),
        ("https://huggingface.co", "https://a:b@cdn.hf.co/x", "has credentials in it"),
        ("https://huggingface.co", "https://[bad", "is no address"),
        ("https://huggingface.co", "https://hugging%66ace.co/x", "has characters that an address cannot"),
        ("https://10.0.0.1", "https://10.0.0.1:8443/x", None),
        ("http://10.0.0.1", "http://10.0.0.1/x", "is not https"),
        ("https://localhost", "http://localhost/x", "is not https"),
        ("https://hub.example", "https://8.8.8.8/x", "is neither of hub.example nor of the public Hub"),
    ],
)
def test_where_a_hub_may_lead(endpoint, url, problem):
    """A Hub may lead to its own host and to the public Hub's, over https unless it is of this machine."""
    found = find_foreign(url, endpoint, may_leave=False)
    assert (found or "") == "" if problem is None else found.startswith(problem)


def test_a_name_with_a_private_address_is_refused(monkeypatch):
    """A host of the public Hub, or a store to upload to, is looked up: this machine is no store."""
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(guard, "PUBLIC_HUB", ("localhost",))
    found = find_foreign("https://localhost/x", "https://huggingface.co", may_leave=False)
    assert found.startswith("has the private address ")
    for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[fe80::1]"):
        found = find_foreign(f"https://{address}/x", "https://huggingface.co", may_leave=True)
        assert found.startswith("has the private address "), address
    assert find_foreign("https://8.8.8.8/x", "https://huggingface.co", may_leave=True) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    assert find_foreign("https://localhost/x", "https://huggingface.co", may_leave=False) is None

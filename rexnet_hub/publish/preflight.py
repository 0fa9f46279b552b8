"""Check what is to be sent before anything is written: where it goes, who may, card and sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from rexnet_hub.errors import HubError
from rexnet_hub.hub.faults import clean, hub_faults
from rexnet_hub.hub.remote import UNCHECKED, RemoteRepo, RemoteState, hub_url
from rexnet_hub.hub.snapshot import RepoFile
from rexnet_hub.index.reading.hub_metadata import read_front_matter
from rexnet_hub.index.reading.values import find_dataset_problem, find_license_problem
from rexnet_hub.publish.there import HUBS_OWN

#: Source: https://huggingface.co/docs/hub/storage-limits, "the hard limit for a single file size".
_MAX_FILE_BYTES = 500 * 10**9
STOP, WARNING = "stop", "warning"
Findings = Iterator[tuple[str, str]]


def check_push(
    remote: RemoteRepo, state: RemoteState, files: Mapping[str, RepoFile], card: str, *, as_pr: bool
) -> Findings:
    """List what the Hub would refuse as stops; what it warns of, or was not checked, as warnings.

    Args:
        state: Of the repo as it is; without a head it would be made.
    """
    if not as_pr:  # for a request no such right is needed
        yield from _check_right(remote, state)
    yield from _check_card(remote, card)
    for name, file in files.items():
        if file.size_bytes > _MAX_FILE_BYTES:
            most = f"the Hub takes at most {_MAX_FILE_BYTES} a file"
            yield STOP, f"{name} has {file.size_bytes} bytes, and {most}"


def check_place(state: RemoteState, repo_id: str, *, stays_private: bool) -> Findings:
    """Check that a repo goes by this id, and tell an empty private one, which may be private on purpose."""
    if state.repo_id not in (None, repo_id):
        yield STOP, f"it was renamed to {state.repo_id}; publish to hf:{state.repo_id}"
    elif state.head and stays_private and not state.files.keys() - {HUBS_OWN}:
        settings = f"{hub_url()}/{repo_id}/settings"
        yield WARNING, f"the repo is there, empty and private, and stays private; {settings} changes that"


def _check_right(remote: RemoteRepo, state: RemoteState) -> Findings:
    """Check that the token may write to the repo, or make it."""
    try:
        if not (token := remote.find_token()):
            yield WARNING, "there is no token: whether one may write there was not checked"
        elif state.head is None:
            with hub_faults(UNCHECKED, remote.repo_id):
                refusals = [*_refusals(remote.whoami(token), remote.repo_id.partition("/")[0])]
            yield from ((STOP, refusal) for refusal in refusals)
        elif not remote.may_write():
            yield STOP, "the token may not write to it; use one that may"
    except HubError as error:
        yield WARNING, str(error)


def _refusals(who: Mapping[str, Any], owner: str) -> Iterator[str]:
    """List why a token may not make a repo there; what the Hub does not say of it is no reason.

    Args:
        who: What whoami says.
    """
    auth, name = who.get("auth") or {}, who.get("name")
    token = auth.get("accessToken") or {}
    make = f"make one that may at {hub_url()}/settings/tokens"
    if token.get("role") == "read":
        yield f"the token may only read; {make}"
    if token.get("role") == "fineGrained":  # of organisations whoami then names those of its scopes only
        scopes = (token.get("fineGrained") or {}).get("scoped") or ()
        names = (str(row["entity"].get("name")) for row in scopes if "repo.write" in row["permissions"])
        if owner.lower() not in map(str.lower, names):
            yield f"the token has not the scope to write (repo.write) in {owner}; {make}"
    elif auth.get("type") == "access_token" and owner.lower() != str(name).lower():
        org = next((org for org in who.get("orgs") or () if org["name"].lower() == owner.lower()), None)
        if org is None:
            yield f"{name} is no member of {owner}; ask its people, or publish to hf:{name}"
        elif org.get("roleInOrg") == "read" and not org.get("resourceGroups"):  # where it may be another
            yield f"{name} may only read in {owner}; ask its people for the right to write"


def _check_card(remote: RemoteRepo, card: str) -> Findings:
    """Check the card's metadata by the Hub's judgement, else by its lists as we know them."""
    is_doubtful, front = True, read_front_matter(card)
    try:
        errors, warnings = remote.validate_card(card)
        is_doubtful = bool(errors)
        yield from ((WARNING, f"the Hub says of the card: {clean(text)}") for text in warnings)
        yield from ((STOP, f"the Hub says of the card: {clean(text)}") for text in errors)
    except HubError as error:
        yield WARNING, str(error)
    if is_doubtful:
        yield from ((STOP, problem) for problem in _unlisted(front))


def _unlisted(front: Mapping[str, Any]) -> Iterator[str]:
    """List what of a card's metadata the Hub's lists have not, with what they have."""
    names = list(map(str, front.get("datasets") or ()))
    with contextlib.suppress(TypeError, KeyError):  # of another form than ours: the Hub says what is wrong
        for model in front.get("model-index") or ():
            names += [str(result["dataset"]["type"]) for result in model["results"]]
    problems = [find_license_problem(str(front["license"]))] if "license" in front else []
    yield from filter(None, problems + [find_dataset_problem(name) for name in dict.fromkeys(names)])

"""Upload weights to the repo that is their home, in its first commit, before there is an entry of it."""

from __future__ import annotations

from pathlib import Path

from rexnet_hub.addresses import HubFile
from rexnet_hub.errors import PublishError
from rexnet_hub.hub.remote import RemoteRepo
from rexnet_hub.hub.snapshot import digest_both
from rexnet_hub.patience import Patience
from rexnet_hub.publish.apply import apply_to_hub
from rexnet_hub.publish.plan import Plan, compare_files, require_trained
from rexnet_hub.weights.receipt import Receipt


def upload_weights(
    weights: Path,
    receipt: Receipt,
    *,
    repo_id: str,
    token: str | bool | None = None,
    patience: Patience | None = None,
) -> HubFile:
    """Commit converted weights to a repo that has none yet, and nothing else; a repo that is made is private.

    Weights that are there already, byte for byte, are found done; what else the repo holds stays.

    Returns:
        Where they are.

    Raises:
        PublishError: The repo has other weights, these are stand-ins and the Hub is real, or what is there
            now is not what was sent.
        HubError: The Hub does not answer, or refuses.
    """
    require_trained(weights, stand_in=receipt.stand_in)
    remote = RemoteRepo(repo_id=repo_id, token=token, patience=patience or Patience())
    state, files = remote.read(), {weights.name: digest_both(weights)}
    plan = Plan(
        name=repo_id.rpartition("/")[2],
        model=None,
        staged=weights.parent,
        target=f"hf:{repo_id}",
        head=state.head,
        files=files,
        changes=compare_files(files, state.files, ()),
        visibility="public" if state.head and not state.is_private else "private",
    )
    if other := next((change.old_digest for change in plan.changes if change.kind == "change"), None):
        raise PublishError(
            f"{plan.target}: has other weights already ({other}), and a name never changes its weights: "
            "give a new --name, or another repo"
        )
    return HubFile(repo_id, str(apply_to_hub(plan, remote).commit), weights.name)

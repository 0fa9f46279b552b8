"""Stage a repo, plan its publication, apply the plan, read it back."""

from rexnet_hub.publish.apply import apply_plan, upload_weights
from rexnet_hub.publish.plan import plan_publish
from rexnet_hub.publish.releases import Release, list_releases
from rexnet_hub.publish.run import (
    Outcome,
    outcomes_table,
    publish_all,
    publish_each,
    record_publication,
    staged_repo,
)
from rexnet_hub.publish.show import describe_outcome, describe_plan, outcomes_as_json, outcomes_as_markdown
from rexnet_hub.publish.staging import stage
from rexnet_hub.publish.there import parse_repo_id

__all__ = [
    "Outcome", "Release", "apply_plan", "describe_outcome", "describe_plan", "list_releases",
    "outcomes_as_json", "outcomes_as_markdown", "outcomes_table", "parse_repo_id", "plan_publish",
    "publish_all", "publish_each", "record_publication", "stage", "staged_repo", "upload_weights",
]  # fmt: skip

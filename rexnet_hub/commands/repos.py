"""Commands about repos and pages: card, docs, stage, publish, versions, add."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rexnet_hub.commands import add_json, find_folder, find_model, open_index
from rexnet_hub.errors import FileProblem, UsageError, refuse_unused
from rexnet_hub.layout import CARD_FILE
from rexnet_hub.terminal import print_error, show, show_json, show_lines, table


def declare_card(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `card`."""
    parser.add_argument("name", metavar="NAME|DIR", help="a model, or a repo folder of it")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there instead of printing it")


def run_card(args: argparse.Namespace) -> int:
    """Print the README.md of a model's repo."""
    from rexnet_hub.imagenet.evidence.record import require_counted
    from rexnet_hub.index import read_lock
    from rexnet_hub.pages.card import render_card
    from rexnet_hub.pages.snippets import find_place
    from rexnet_hub.publish.staging import derive_own
    from rexnet_hub.whole_files import write_whole

    index = open_index()
    require_counted(lock := read_lock(), index.models)
    entry, folder = find_model(index, args.name), find_folder(index, args.name)
    if folder and entry.is_in_repo:
        card = folder / CARD_FILE
        there = card.read_text("utf-8", errors="replace") if card.is_file() else None
        text = str(derive_own(folder, find_place(there or ""), like=there))
    else:
        measured = lock.of_entry(entry)
        repo_id = measured.hub.repo_id if measured.hub else None
        text = render_card(entry, repo_id=repo_id, measured=measured, repos=lock.repos)
    if args.out is None:
        show_lines(text.rstrip("\n"))
        return 0
    if not args.out.parent.is_dir():
        raise FileProblem(args.out.parent, "there is no such folder")
    write_whole(args.out, text.encode())
    return 0


def declare_docs(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `docs`."""
    parser.add_argument("action", choices=("write",), help="the one thing there is to do")
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="a new folder, or one that this wrote before: all in it is replaced",
    )


def run_docs(args: argparse.Namespace) -> int:
    """Write the source of the zoo's docs site: pages, data, assets, and a mkdocs.yml without our plugin.

    Whatever builder reads such a folder builds it: `zensical build -f DIR/mkdocs.yml`. With mkdocs itself
    this is not needed. An index that has no site of its own gets that of a new zoo.
    """
    from rexnet_hub.site_source import write_source

    errors: list[str] = []
    written = write_source(args.folder, args.build_parser(), lambda problem: errors.append(str(problem)))
    for error in errors:
        print_error(error)
    show(f"{args.folder}: {len(written)} files", stream=sys.stderr)
    return 1 if errors else 0


def declare_stage(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `stage`."""
    add = parser.add_argument
    add("name", help="a model")
    add("--out", type=Path, required=True, metavar="DIR", help="a folder that is new or empty")
    add("--weights", type=Path, metavar="FILE", help="a source of the weights (default: fetched)")
    add("--to", metavar="hf:ORG", help="where it will be published, for the card's lines")


def run_stage(args: argparse.Namespace) -> int:
    """Write a model's whole repo folder, ready to load and to publish."""
    from rexnet_hub.index import read_lock
    from rexnet_hub.layout import find_cache_dir
    from rexnet_hub.publish import parse_repo_id, stage
    from rexnet_hub.repo.config import render_config
    from rexnet_hub.repo.folder import fetch_weights

    entry = open_index().find(args.name)
    if args.to and not args.to.startswith("hf:"):
        refuse_unused(f"a folder, {args.to},", to=args.to)
    repo_id = parse_repo_id(args.to, entry.name) if args.to else None
    measured = read_lock().of(entry.name)
    render_config(entry)  # what cannot be staged is not fetched
    checkpoint = args.weights or fetch_weights(entry, cache_dir=find_cache_dir(), measured=measured)
    show(stage(entry, checkpoint, args.out, measured=measured, repo_id=repo_id))
    return 0


def declare_publish(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `publish`."""
    add = parser.add_argument
    add("repos", nargs="+", metavar="NAME|STAGED_DIR", help="models, or staged repo folders")
    add("--to", required=True, metavar="hf:ORG|DIR", help="an owner on the Hub, or a folder of repos")
    add("--apply", action="store_true", help="do what the plan says")
    add("--tag", metavar="TAG", help="to be set on the commit (default: one of the content)")
    add("--back-to", metavar="TAG", help="publish the files of this release again")
    add("--private", action="store_true", help="make the repo private, where it is made")
    add("--pr", dest="as_pr", action="store_true", help="open a pull request instead of committing to main")
    add("--drop-edits", action="store_true", help="publish our card alone, without what people wrote there")
    files_help = "remove files of an earlier publication that this one lacks"
    add("--drop-files", action="store_true", help=files_help)
    add("--drop-signature", action="store_true", help="let the signature there go, or be of another")
    add("--record", action="store_true", help="write what was published into lock.json")
    sign_help = "sign each repo with this private key (PEM) first; sigstore: as the identity of a CI"
    add("--sign", dest="sign_key", metavar="KEY", help=sign_help)
    version_help = "with --sign: which publication it is, one more than the last"
    add("--version-counter", dest="sign_version", type=int, metavar="N", help=version_help)
    printed = parser.add_mutually_exclusive_group()
    markdown_help = "print the plans as Markdown, for a CI's summary"
    printed.add_argument("--markdown", action="store_true", help=markdown_help)
    add_json(printed)


def run_publish(args: argparse.Namespace) -> int:
    """Plan what publishing would change; with --apply, do it.

    Each repo is a staged folder, or a model that is staged first. A plan says which files, card fields and
    tag would change, against which commit, and what forbids it; nothing is written. Applying makes that one
    commit and one tag and reads the repo back; run again after any failure it ends in the same.
    """
    from dataclasses import fields

    from tqdm import tqdm

    from rexnet_hub.publish import describe_outcome, outcomes_as_json, outcomes_as_markdown, outcomes_table
    from rexnet_hub.publish.run import RunSettings, publish_each

    names = [each.name for each in fields(RunSettings) if each.name in args]
    run = publish_each(args.repos, **{name: getattr(args, name) for name in names})
    outcomes, total, is_interrupted = [], len(args.repos), False
    is_whole = args.json or args.markdown  # printed whole in the end, and not line by line
    # None: a bar on a terminal only.
    with tqdm(total=total, unit="repo", disable=None if total > 1 else True, leave=False) as bar:
        try:
            for outcome in run:
                outcomes.append(outcome)
                with bar.external_write_mode():
                    if (lines := describe_outcome(outcome)) and not is_whole:
                        show_lines("\n".join(lines) + "\n")
                    if outcome.problem and outcome.is_tried:
                        print_error(f"{outcome.source}: {outcome.problem}")
                bar.update()
        except KeyboardInterrupt:
            is_interrupted = True
    if is_whole:
        show_json(outcomes_as_json(outcomes)) if args.json else show_lines(outcomes_as_markdown(outcomes))
    elif outcomes:
        show_lines(outcomes_table(outcomes))
    if is_interrupted:
        show(f"{len(outcomes)} of {total} were done; run it again for the others", stream=sys.stderr)
        raise KeyboardInterrupt
    if not args.apply:
        show("a plan only: --apply does it", stream=sys.stderr)
    return 1 if any(outcome.problem or (outcome.plan and outcome.plan.stops) for outcome in outcomes) else 0


def declare_versions(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `versions`."""
    parser.add_argument("repo", metavar="NAME|hf:ORG/NAME", help="a published model, or a repo on the Hub")
    add_json(parser)


def run_versions(args: argparse.Namespace) -> int:
    """List the releases of a published model.

    The newest is first; `head` has the files that the repo has now, `loaded` those that its name loads.
    """
    from dataclasses import asdict

    from rexnet_hub.publish import list_releases

    releases = list_releases(args.repo)
    if args.json:
        show_json([asdict(each) for each in releases])
        return 0
    rows = []
    for each in releases:
        words = [word for word, holds in (("head", each.is_head), ("loaded", each.is_loaded)) if holds]
        rows.append((each.tag, each.commit, (each.weights_sha256 or "")[:12], ", ".join(words)))
    show_lines(table(("tag", "commit", "weights", "is"), rows))
    return 0


def declare_add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `add`."""
    add = parser.add_argument
    source_help = "a file (.pth, .pt, .ckpt, .safetensors), a repo folder, or hf:OWNER/NAME@COMMIT"
    add("checkpoint", metavar="CHECKPOINT", help=source_help)
    add("--name", required=True, help="it is loaded by this name for ever")
    add("--collection", required=True, metavar="NAME", help="a collection of the index")
    add("--weights-url", metavar="URL", help="where others find the file (default: its path here)")
    add("--to", metavar="hf:ORG", help="upload the weights there first: the repo that is made is private")
    add("--title", help="the name as people write it")
    add("--license", metavar="SPDX", help="of these weights, such as apache-2.0")
    add("--code", metavar="URL", help="the source code of the training")
    add("--top1", dest="top1_percent", metavar="PERCENT", help="claimed accuracy, such as 79.5")
    add("--top5", dest="top5_percent", metavar="PERCENT", help="likewise")
    add("--dataset", help="of the claimed accuracies")
    add("--split", help="of the data set (default: of ImageNet, validation)")
    add("--training-data", action="append", default=[], metavar="NAME", help="may be given several times")
    add("--image-size", type=int, metavar="PX", help="side of the square that the network sees")
    add("--crop-pct", metavar="FRACTION", help="part of the resized short side that is kept")
    add("--interpolation", help="resampling filter, such as bicubic")
    add("--training-log", type=Path, metavar="FILE", help="args.yaml of timm's train.py")
    add("--architecture", metavar="NETWORK", help="the network, where the tensors fit several")
    key_help = "the state dict that is meant, where the file has several, such as state_dict_ema"
    add("--weights-key", metavar="KEY", help=key_help)
    add(
        "--labels",
        type=Path,
        metavar="FILE",
        help="the classes' names, one a line, in the classifier's order",
    )
    add(
        "--fine-tuned-from",
        metavar="NAME",
        help="what the training began with: a model, or a repo of the Hub",
    )
    add("--supersedes", metavar="NAME", help="the model that this one replaces; it stays, and says so")
    add("--index-file", type=Path, metavar="FILE", help="where to add it (default: beside its collection)")


def run_add(args: argparse.Namespace) -> int:
    """Enter a new checkpoint into the index: measured where it can be, claimed where it cannot.

    The network is found by the checkpoint's tensors; counts, sizes and digests are measured. Comments and
    order of the file stay. A name that has other weights already is refused. With --to the weights become
    safetensors on the Hub first, and the entry names them there, at their commit; run again it goes on.
    """
    from dataclasses import fields, replace
    from functools import partial

    from rexnet_hub.add import NewModel, add_entry
    from rexnet_hub.publish import parse_repo_id, upload_weights

    new = NewModel(**{each.name: getattr(args, each.name) for each in fields(NewModel)})
    upload = None
    if args.to:
        refuse_unused("--to", weights_url=args.weights_url)
        if not args.to.startswith("hf:"):
            raise UsageError(f"--to {args.to}: only a Hub is a home for weights; give hf:ORG or hf:ORG/NAME")
        repo_id = parse_repo_id(args.to, args.name)
        new, upload = replace(new, weights_url=f"hf:{repo_id}"), partial(upload_weights, repo_id=repo_id)
    added = add_entry(args.checkpoint, new, index_file=args.index_file, upload=upload)
    word = "was there already, and stays as it is" if added.was_there else "added"
    show(f"{added.location}: {new.name} {word}, a {added.architecture}")
    if added.not_carried:
        show(f"{args.training_log}: not carried: {', '.join(added.not_carried)}", stream=sys.stderr)
    if added.unknown_bases:
        bases = ", ".join(added.unknown_bases)
        unknown = f"not carried: Fine-tuned From {bases}, no model of this index nor a repo of the Hub"
        advice = f"rexnet-hub edit {new.name} 'Fine-tuned From=OWNER/NAME' says where it is"
        show(f"{args.checkpoint}: {unknown}; {advice}", stream=sys.stderr)
    place = args.to or ("hf:ORG" if new.weights_url else "DIR, or add it with --to hf:ORG")
    show(f"next: rexnet-hub publish {new.name} --to {place}", stream=sys.stderr)
    return 0

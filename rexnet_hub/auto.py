"""Load a ready model or image processor by name, Hub repo or folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rexnet_hub.errors import CheckpointError, MismatchError, RepoError, UsageError, list_some, refuse_unused
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.identity import Identity, stated_file
from rexnet_hub.imagenet.data.classes import entry_labels
from rexnet_hub.locate import find_entry, find_repo, find_repo_config, name_of
from rexnet_hub.nets import Network, find_network
from rexnet_hub.nets.family import require_whole
from rexnet_hub.nets.modules import Classifier, FeatureMaps, OutIndices, adapt_stem
from rexnet_hub.nets.state_dict import require_tensors, table_of
from rexnet_hub.repo.config import describe_network
from rexnet_hub.repo.folder import Repo
from rexnet_hub.saving import Origin, make_savable, usual_input
from rexnet_hub.terminal import printable
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.fingerprint import digest_weights, fingerprint_of
from rexnet_hub.weights.receipt import ParentFacts
from rexnet_hub.weights.safetensors_file import read_tensors

if TYPE_CHECKING:
    from rexnet_hub.pictures import ImageProcessor

log = logging.getLogger(__name__)


class LoadOptions(TypedDict, total=False):
    """The arguments of `AutoModel.from_pretrained` and `create_model` but `features_only`."""

    revision: str | None
    num_classes: int | None
    in_chans: int | None
    out_indices: OutIndices
    output_stride: int | None
    drop_rate: float | None
    drop_path_rate: float | None
    device: str | torch.device | None
    dtype: torch.dtype | None
    cache_dir: Path | str | None
    local_files_only: bool
    token: str | bool | None
    allow_nonfinite: bool
    trusted_key: Path | str | None


class AutoModel:
    """A ready network, by the name of a model, the id of a Hub repo or the path of a folder."""

    @overload
    @staticmethod
    def from_pretrained(
        name_or_repo_or_folder: str | Path,
        *,
        features_only: Literal[False] = False,
        **options: Unpack[LoadOptions],
    ) -> Classifier: ...
    @overload
    @staticmethod
    def from_pretrained(
        name_or_repo_or_folder: str | Path, *, features_only: Literal[True], **options: Unpack[LoadOptions]
    ) -> FeatureMaps: ...
    @overload
    @staticmethod
    def from_pretrained(
        name_or_repo_or_folder: str | Path, *, features_only: bool, **options: Unpack[LoadOptions]
    ) -> Classifier | FeatureMaps: ...
    @staticmethod
    def from_pretrained(
        name_or_repo_or_folder: str | Path,
        *,
        revision: str | None = None,
        num_classes: int | None = None,
        in_chans: int | None = None,
        features_only: bool = False,
        out_indices: OutIndices = None,
        output_stride: int | None = None,
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        cache_dir: Path | str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        allow_nonfinite: bool = False,
        trusted_key: Path | str | None = None,
    ) -> Classifier | FeatureMaps:
        """Load a network with its weights, in eval mode.

        A name of the index is tried first, then a folder, then a Hub repo. A name loads what was published
        of it, at the commit in the lock, or else the released file. All files are of one commit, weights are
        safetensors only, and their bytes are digested, at first use and after any change. Every tensor must
        fit: only the classifier may be replaced, by asking for another `num_classes`, which the log says.

        Args:
            name_or_repo_or_folder: A model's name, `OWNER/NAME` of a repo on the Hub, or a folder.
            revision: Of a Hub repo: a branch, tag, commit or `refs/pr/N`.
            num_classes: Other than the file's own: a newly drawn classifier; 0 for pooled features. Not with
                `features_only`, which has none.
            in_chans: Other than 3: the stem is adapted from the RGB one.
            features_only: Whether to give the five feature maps, strides 2 to 32, in place of logits.
            out_indices: With `features_only`, which of the five; a number for so many of the coarsest.
            output_stride: 32, 16 or 8; None for what the repo says, as a rule 32.
            drop_rate: Dropout before the classifier, in 0..1; None for what the repo says, as a rule 0.2.
            drop_path_rate: Stochastic depth of the last block, in 0..1; None for what the repo says.
            device: Where the network is to be; None leaves it on the CPU.
            dtype: What its numbers are turned into; None leaves them as the file has them.
            cache_dir: Where downloads go; by default the clients' own caches. A folder is not downloaded, and
                needs no token either.
            local_files_only: Whether to use only what is in the cache. Else each answer of a Hub is waited
                for 10 seconds, a small file for two minutes and weights for half an hour, however they drip.
            token: For private Hub repos, as in huggingface_hub.
            allow_nonfinite: Whether weights may hold NaN or infinity; by default they are refused.
            trusted_key: The public key, a file or its PEM text, or the identity, `IDENTITY@https://ISSUER`,
                that the repo must be signed by: under this name, every byte that is used, no older version
                than was seen here. An entry's `Trusted Key` demands that of each load by its name.

        Returns:
            A network from pictures (B, 3, H, W) to logits (B, classes), with `save_pretrained` and
            `push_to_hub`; or with `features_only` to a list of maps.

        Raises:
            UsageError: The device, or another argument, is none that there is here, or has no use beside the
                others.
            UnknownModelError: Neither a model, nor a folder, nor a Hub id.
            HubError: The Hub does not answer, or refuses; it says which, and what to do.
            RepoError: The repo cannot be loaded, or not by us.
            MismatchError: The weights are not the bytes that receipt, lock, index or Hub state.
            SignatureProblem: The repo is not signed, not by the trusted key, or not as it is.
            StateDictError: The tensors are not the network's.
            CheckpointError: The weights are no sound safetensors file, or hold NaN or infinity.
        """
        return create_model(
            name_or_repo_or_folder,
            pretrained=True,
            revision=revision,
            num_classes=num_classes,
            in_chans=in_chans,
            features_only=features_only,
            out_indices=out_indices,
            output_stride=output_stride,
            drop_rate=drop_rate,
            drop_path_rate=drop_path_rate,
            device=device,
            dtype=dtype,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
            allow_nonfinite=allow_nonfinite,
            trusted_key=trusted_key,
        ).eval()


class AutoImageProcessor:
    """The preprocessing that a model was evaluated with, found as `AutoModel` finds the model."""

    @staticmethod
    def from_pretrained(
        name_or_repo_or_folder: str | Path,
        *,
        revision: str | None = None,
        cache_dir: Path | str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        trusted_key: Path | str | None = None,
    ) -> ImageProcessor:
        """Load an image processor.

        For a model of the index the entry itself says how, and nothing is fetched; with a `revision` or a
        `trusted_key` its whole repo is.

        Args:
            name_or_repo_or_folder: A model's name, `OWNER/NAME` of a repo on the Hub, or a folder.
            revision: Of a Hub repo: a branch, tag, commit or `refs/pr/N`.
            cache_dir: Where downloads go; by default the clients' own caches.
            local_files_only: Whether to use only what is in the cache.
            token: For private Hub repos, as in huggingface_hub.
            trusted_key: The key or identity that the repo must be signed by.

        Returns:
            What turns pictures into the batch that the model takes.

        Raises:
            UsageError: A `revision` is asked for of what has none.
            RepoError: The network is not one for RGB pictures.
            RexnetHubError: As of `AutoModel.from_pretrained`.
        """
        from rexnet_hub.pictures import ImageProcessor

        entry = find_entry(name_or_repo_or_folder)
        if entry is not None and revision is None and trusted_key is None:
            return ImageProcessor(entry.preprocessing, entry_labels(entry))
        access = Access(
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
            trusted_key=trusted_key,
        )
        source = name_or_repo_or_folder
        config = find_repo_config(source, access) if entry is None else find_repo(source, access).config
        if config.in_chans != 3:
            raise RepoError(f"{source}: takes {config.in_chans} channels, pictures have 3")
        return ImageProcessor(config.preprocessing, config.label_names)


@overload
def create_model(
    name: str | Path,
    *,
    pretrained: bool = False,
    features_only: Literal[False] = False,
    **options: Unpack[LoadOptions],
) -> Classifier: ...
@overload
def create_model(
    name: str | Path,
    *,
    pretrained: bool = False,
    features_only: Literal[True],
    **options: Unpack[LoadOptions],
) -> FeatureMaps: ...
@overload
def create_model(
    name: str | Path, *, pretrained: bool = False, features_only: bool, **options: Unpack[LoadOptions]
) -> Classifier | FeatureMaps: ...
def create_model(
    name: str | Path,
    *,
    pretrained: bool = False,
    revision: str | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    features_only: bool = False,
    out_indices: OutIndices = None,
    output_stride: int | None = None,
    drop_rate: float | None = None,
    drop_path_rate: float | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    cache_dir: Path | str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    allow_nonfinite: bool = False,
    trusted_key: Path | str | None = None,
) -> Classifier | FeatureMaps:
    """Create a network to train, by the name of a model or of a network, in training mode.

    Args:
        name: A model's name, or a network's.
        pretrained: Whether to start from the model's weights, found and checked as by `AutoModel`; else from
            drawn ones, which are those that timm draws from the same seed.
        revision: Of a Hub repo: a branch, tag, commit or `refs/pr/N`.
        num_classes: Other than the model's own: a newly drawn classifier; 0 for pooled features.
        in_chans: Other than 3: the stem is adapted from the RGB one.
        features_only: Whether to give feature maps in place of logits.
        out_indices: With `features_only`, which of the five; a number for so many of the coarsest.
        output_stride: 32, 16 or 8.
        drop_rate: Dropout before the classifier, in 0..1.
        drop_path_rate: Stochastic depth of the last block, in 0..1.
        device: Where the network is to be; None leaves it on the CPU.
        dtype: What its numbers are turned into.
        cache_dir: Where downloads go; by default the clients' own caches.
        local_files_only: Whether to use only what is in the cache.
        token: For private Hub repos, as in huggingface_hub.
        allow_nonfinite: Whether weights may hold NaN or infinity.
        trusted_key: The key or identity that the repo must be signed by.

    Returns:
        A network as of `AutoModel.from_pretrained`.

    Raises:
        UnknownModelError: There is no such model or network.
        UsageError: An argument is out of range, or has no use beside the others.
    """
    access = Access(
        revision=revision,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        token=token,
        trusted_key=trusted_key,
    )
    if features_only:
        refuse_unused("features_only", num_classes=num_classes or None, drop_rate=drop_rate or None)
    else:
        refuse_unused("a whole network", out_indices=out_indices)
    if not pretrained:
        refuse_unused("a network that is drawn", allow_nonfinite=allow_nonfinite, **vars(access))
    _require_place(device, dtype)
    options: dict[str, Any] = {"output_stride": output_stride, "in_chans": in_chans}
    options |= {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate, "num_classes": num_classes}
    if pretrained:
        repo = find_repo(name, access)
        known = find_network(repo.config.architecture)
        network = load_network(repo, allow_nonfinite=allow_nonfinite, **options)
        make_savable(network, _origin_of(repo, name, options))
    else:
        known, network = _draw(name, options)
    model = _take_features(known, network, out_indices) if features_only else network
    return model if device is None and dtype is None else model.to(device=device, dtype=dtype)


def _draw(name: str | Path, options: Mapping[str, Any]) -> tuple[Network, Classifier]:
    """Build a network with start weights, and describe it as its entry does, or as is usual."""
    entry = find_entry(name)
    given = {option: value for option, value in options.items() if value is not None}
    known = find_network(entry.architecture if entry else str(name))
    if entry:
        given = {"num_classes": entry.value("num_classes")} | given
    network = known.build(**given)
    is_stated = entry is not None and not entry.unstated_input
    spec = entry.preprocessing if entry and is_stated else usual_input(network)
    if is_stated or not hasattr(network, "pretrained_cfg"):  # timm's own have one
        told = describe_network(known, spec, network.num_classes)
        _describe(network, {"architecture": known.architecture, **told})
    labels = entry_labels(entry) if entry else ()
    origin = Origin(architecture=known.architecture, preprocessing=spec, options=_named(given), labels=labels)
    make_savable(network, origin)
    return known, network


def _origin_of(repo: Repo, source: str | Path, options: Mapping[str, Any]) -> Origin:
    """Describe what a network was loaded from, with the options that it was built with beside the repo's."""
    stated = repo.identity
    parent = ParentFacts(
        name=repo.hub.repo_id if repo.hub else name_of(source),
        commit=repo.hub.commit if repo.hub else None,
        sha256=stated.sha256 if stated.is_whole else digest_file(repo.weights).sha256,
    )
    return Origin(
        architecture=repo.config.architecture,
        preprocessing=repo.config.preprocessing,
        options=_named({**repo.config.options, **options}),
        labels=repo.config.label_names,
        parent=parent,
    )


def _named(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a network does not say itself, and that are given."""
    own = ("num_classes", "in_chans")
    return {name: value for name, value in options.items() if value is not None and name not in own}


def _take_features(known: Network, network: Classifier, out_indices: OutIndices) -> FeatureMaps:
    maps, told = known.take_features(network, out_indices), network.pretrained_cfg
    _describe(maps, {name: told[name] for name in told if name not in ("num_classes", "classifier")})
    return maps


def _describe(network: Classifier | FeatureMaps, told: Mapping[str, Any]) -> None:
    """Set what timm and its tools ask a network for, under both names."""
    network.pretrained_cfg = network.default_cfg = dict(told)


def _require_place(device: str | torch.device | None, dtype: torch.dtype | None) -> None:
    """Refuse a device that is not here, and what is no type of a network, before anything is fetched."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        problem = str(error).splitlines()[0]
        raise UsageError(f"device {device!r} is none that there is here: {problem}; cpu always is") from None
    try:
        Module().to(dtype=dtype)
    except TypeError:
        raise UsageError(f"dtype {dtype!r} is none of a network's; torch.float16 is one") from None


def load_network(
    repo: Repo, *, num_classes: int | None = None, allow_nonfinite: bool = False, **options: Any
) -> Classifier:
    """Build a repo's network with its weights, strictly: a digest that holds, every tensor in its place.

    Args:
        num_classes: Other than the repo's: the classifier is drawn anew.
        allow_nonfinite: Whether the weights may hold NaN or infinity.
        options: More of the network's arguments; None is what the repo says. To other `in_chans` the stem is
            adapted.
    """
    config = repo.config
    options = config.network_options | {name: value for name, value in options.items() if value is not None}
    known = find_network(config.architecture)
    network = known.build(**options, init=False).float()  # whatever torch's default is
    own = network.state_dict(keep_vars=True)
    # Of tensors that share their memory one is read into it.
    memories = {tensor.untyped_storage().data_ptr(): name for name, tensor in own.items()}
    tensors = read_weights(repo, into={name: own[name].detach() for name in memories.values()})
    if options["in_chans"] != config.in_chans:
        names = {f"{stem}.weight" for stem in known.parts.first_conv}
        tensors |= {name: adapt_stem(tensors[name], options["in_chans"]) for name in names & tensors.keys()}
    require_tensors(table_of(tensors), table_of(own), file=repo.weights)
    if not allow_nonfinite:
        _require_finite(tensors, repo.weights)
    last = {id(tensor): name for name, tensor in own.items()}
    for name, tensor in own.items():  # what has several names stays one, as the last of them is stated
        if name != (of := last[id(tensor)]):
            if isinstance(tensor, Parameter) and not isinstance(tensors[of], Parameter):
                tensors[of] = Parameter(tensors[of], tensor.requires_grad)
            tensors[name] = tensors[of]
    network.load_state_dict(tensors, assign=True)  # most are in place; a network's own hooks run
    _describe(network, config.pretrained_cfg)
    if num_classes is not None and num_classes != config.num_classes:
        require_whole("num_classes", num_classes, 0)
        known.ask(network.reset_classifier, num_classes)
        if num_classes:
            what = "the classifier for %d classes is replaced by a new one for %d"
            log.warning(what, config.num_classes, num_classes)
    return network


def read_weights(repo: Repo, *, into: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Read a repo's weights; the bytes that are parsed are those that were digested, whatever the cache is.

    What is damaged in a cache is fetched anew once.

    Args:
        into: A network's own tensors, whose memory is taken for those that fit.

    Raises:
        MismatchError: They are not the bytes that are stated.
        CheckpointError: They are no sound safetensors file.
    """
    try:
        return _read(repo, into)
    except (MismatchError, CheckpointError) as error:
        if repo.renew is None:
            raise
        log.warning("%s; it is fetched again", printable(str(error).splitlines()[0]))
        return _read(repo.renew(), into)


def _read(repo: Repo, into: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Read a repo's weights; where somebody states its tensors alone, these are digested before."""
    identity = repo.identity
    if identity.of_tensors.statements:
        digest, tensors = digest_weights(repo.weights)
        found = replace(stated_file("a first reading", digest), fingerprint=fingerprint_of(tensors))
        identity.require(repo.weights, found)
        identity += Identity((found,))
    return read_tensors(repo.weights, identity=identity, into=into)


def _require_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Refuse NaN and infinity; only where a sum shows one each number is looked at.

    A piece of fewer than 2^15 numbers torch sums in this thread; others, once woken, would spin on for long.
    """
    floats = (tensor for tensor in tensors.values() if tensor.is_floating_point())
    sums = [piece.sum() for tensor in floats for piece in torch.split(tensor.reshape(-1), (1 << 15) - 1)]
    if torch.stack(sums).isfinite().all():
        return
    if strange := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        problem = f"holds NaN or infinity in {list_some(strange, 3)}; allow_nonfinite=True loads it"
        raise CheckpointError(file, problem)

"""Load a ready model or image processor by name, Hub repo or folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from rexnet_hub.errors import (
    CheckpointError,
    FileProblem,
    MismatchError,
    NotAnImageError,
    RepoError,
    UsageError,
    list_some,
    network_problems,
    refuse_unused,
)
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.identity import Identity, stated_file
from rexnet_hub.imagenet.data.classes import entry_labels
from rexnet_hub.imagenet.data.pixels import open_image, preprocess
from rexnet_hub.index import Preprocessing
from rexnet_hub.locate import find_entry, find_repo, find_repo_config
from rexnet_hub.nets import find_network
from rexnet_hub.nets.family import require_whole
from rexnet_hub.nets.modules import Classifier, FeatureMaps, adapt_stem
from rexnet_hub.nets.state_dict import require_tensors, table_of
from rexnet_hub.repo.folder import Repo
from rexnet_hub.terminal import printable
from rexnet_hub.weights.fingerprint import digest_weights, fingerprint_of
from rexnet_hub.weights.safetensors_file import read_tensors

log = logging.getLogger(__name__)

BATCH = 32  # pictures classified at a time


class AutoModel:
    """A ready network, by the name of a model, the id of a Hub repo or the path of a folder."""

    @staticmethod
    def from_pretrained(
        name_or_repo_or_folder: str | Path,
        *,
        revision: str | None = None,
        num_classes: int | None = None,
        in_chans: int | None = None,
        features_only: bool = False,
        out_indices: Sequence[int] | None = None,
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
            revision: Of a Hub repo: a branch, tag, commit or `refs/pr/N`.
            num_classes: Other than the file's own: a newly drawn classifier; 0 for pooled features. Not with
                `features_only`, which has none.
            in_chans: Other than 3: the stem is adapted from the RGB one.
            features_only: Whether to give the five feature maps, strides 2 to 32, in place of logits.
            out_indices: With `features_only`, which of the five.
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
            A network from pictures (B, 3, H, W) to logits (B, classes), or with `features_only` to a list of
            maps.

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
        if features_only:
            refuse_unused("features_only", num_classes=num_classes or None)
        else:
            refuse_unused("a whole network", out_indices=out_indices)
        _require_device(device)
        access = Access(
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
            trusted_key=trusted_key,
        )
        repo = find_repo(name_or_repo_or_folder, access)
        network = load_network(
            repo, num_classes=num_classes, in_chans=in_chans, allow_nonfinite=allow_nonfinite
        )
        model = _take_features(repo.config.architecture, network, out_indices) if features_only else network
        if device is not None or dtype is not None:
            model = model.to(device=device, dtype=dtype)
        return model.eval()


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
        """Load an image processor; arguments as in `AutoModel.from_pretrained`.

        For a model of the index the entry itself says how, and nothing is fetched; with a `revision` or a
        `trusted_key` its whole repo is.

        Raises:
            UsageError: A `revision` is asked for of what has none.
            RepoError: The network is not one for RGB pictures.
            RexnetHubError: As of `AutoModel.from_pretrained`.
        """
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


@dataclass(frozen=True)
class ImageProcessor:
    """Turns pictures into a batch.

    Attributes:
        labels: A name for each class; empty where the repo has none.
    """

    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()

    def __call__(self, pictures: Image.Image | Path | str | Sequence[Image.Image | Path | str]) -> Tensor:
        """Convert one picture or several (PIL images or files) into a batch.

        Returns:
            float32, (N, 3, input_px, input_px), channels in RGB order.

        Raises:
            NotAnImageError: A file is not a picture.
        """
        several = [pictures] if isinstance(pictures, Image.Image | Path | str) else pictures
        return torch.cat([self._prepare(picture) for picture in several])

    def _prepare(self, picture: Image.Image | Path | str) -> Tensor:
        """Convert one picture into a batch of one; a problem with it names its file."""
        if isinstance(picture, Image.Image):
            return preprocess(picture, self.preprocessing)
        try:
            return preprocess(open_image(picture), self.preprocessing)
        except NotAnImageError as error:
            raise NotAnImageError(picture, error.problem) from None


@dataclass(frozen=True, kw_only=True)
class Guess:
    """One class that a picture may show; `probability` is the softmax of its logit."""

    class_index: int
    label: str
    probability: float


def create_model(
    name: str,
    *,
    pretrained: bool = False,
    num_classes: int | None = None,
    in_chans: int | None = None,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    output_stride: int | None = None,
    drop_rate: float | None = None,
    drop_path_rate: float | None = None,
    allow_nonfinite: bool = False,
) -> Classifier | FeatureMaps:
    """Create a network to train, by the name of a model or of a network, in training mode.

    What is not told here is as in `AutoModel.from_pretrained`.

    Args:
        pretrained: Whether to start from the model's weights, else from drawn ones.
        output_stride: 32, 16 or 8; None for what the model's repo says, as a rule 32.
        drop_rate: Dropout before the classifier, in 0..1; None as before, as a rule 0.2.
        drop_path_rate: Stochastic depth of the last block, in 0..1; None as before, as a rule 0.

    Raises:
        UnknownModelError: There is no such model or network.
        UsageError: An argument is out of range, or has no use beside the others.
    """
    if features_only:
        refuse_unused("features_only", num_classes=num_classes or None, drop_rate=drop_rate or None)
    else:
        refuse_unused("a whole network", out_indices=out_indices)
    if not pretrained:
        refuse_unused("a network that is drawn", allow_nonfinite=allow_nonfinite)
    entry = find_entry(name)
    options: dict[str, Any] = {"output_stride": output_stride, "in_chans": in_chans}
    options |= {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate, "num_classes": num_classes}
    if pretrained:
        repo = find_repo(name)
        architecture = repo.config.architecture
        network = load_network(repo, allow_nonfinite=allow_nonfinite, **options)
    else:
        if num_classes is None and entry is not None:
            options["num_classes"] = entry.value("num_classes")
        given = {option: value for option, value in options.items() if value is not None}
        architecture = entry.architecture if entry else name
        network = find_network(architecture).build(**given)
    return _take_features(architecture, network, out_indices) if features_only else network


def _take_features(architecture: str, network: Classifier, out_indices: Sequence[int] | None) -> FeatureMaps:
    return find_network(architecture).take_features(network, out_indices)


def _require_device(device: str | torch.device | None) -> None:
    """Refuse a device that this machine does not have, before anything is fetched."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        problem = str(error).splitlines()[0]
        raise UsageError(f"device {device!r} is none that there is here: {problem}; cpu always is") from None


def classify(
    source: str | Path, files: Sequence[Path | str], *, top: int = 5, **access: Any
) -> list[tuple[Guess, ...]]:
    """List the likeliest classes of each picture, the likeliest first; `access` as of `from_pretrained`.

    Raises:
        NotAnImageError: A file is not a picture; all that are none are named, and none is classified.
        RepoError: The model is not one for RGB pictures.
    """
    processor = AutoImageProcessor.from_pretrained(source, **access)
    wrong = []
    for file in files:
        try:
            open_image(file)
        except FileProblem as error:
            wrong.append(error)
    if len(wrong) > 1:
        raise NotAnImageError(f"{len(wrong)} files", "\n".join(map(str, wrong)))
    if wrong:
        raise wrong[0]
    model: Any = AutoModel.from_pretrained(source, **access)
    if model.in_chans != 3:
        raise RepoError(f"{source}: takes {model.in_chans} channels, pictures have 3")
    if not model.num_classes:
        raise RepoError(f"{source}: has no classes; AutoModel gives its features")
    guesses, labels = [], processor.labels or tuple(map(str, range(model.num_classes)))
    for start in range(0, len(files), BATCH):
        batch = processor(files[start : start + BATCH])
        with torch.inference_mode(), network_problems(f"the network of {source}"):
            best = model(batch).softmax(dim=1).topk(min(top, model.num_classes), dim=1)
        for row in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            pairs = zip(*row, strict=True)
            guesses.append(tuple(Guess(class_index=i, label=labels[i], probability=p) for p, i in pairs))
    return guesses


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
    # Of float32 whatever torch's default is; its memory is never touched, since the tensors replace it.
    known = find_network(config.architecture)
    network = known.build(**options, init=False).float()
    tensors = read_weights(repo)
    if options["in_chans"] != config.in_chans:
        names = {f"{stem}.weight" for stem in known.parts.first_conv}
        tensors |= {name: adapt_stem(tensors[name], options["in_chans"]) for name in names & tensors.keys()}
    require_tensors(table_of(tensors), table_of(network.state_dict()), file=repo.weights)
    if not allow_nonfinite:
        _require_finite(tensors, repo.weights)
    network.load_state_dict(tensors, assign=True)
    if num_classes is not None and num_classes != config.num_classes:
        require_whole("num_classes", num_classes, 0)
        known.ask(network.reset_classifier, num_classes)
        if num_classes:
            what = "the classifier for %d classes is replaced by a new one for %d"
            log.warning(what, config.num_classes, num_classes)
    return network


def read_weights(repo: Repo) -> dict[str, Tensor]:
    """Read a repo's weights; the bytes that are parsed are those that were digested, whatever the cache is.

    What is damaged in a cache is fetched anew once.

    Raises:
        MismatchError: They are not the bytes that are stated.
        CheckpointError: They are no sound safetensors file.
    """
    try:
        return _read(repo)
    except (MismatchError, CheckpointError) as error:
        if repo.renew is None:
            raise
        log.warning("%s; it is fetched again", printable(str(error).splitlines()[0]))
        return _read(repo.renew())


def _read(repo: Repo) -> dict[str, Tensor]:
    """Read a repo's weights; where somebody states its tensors alone, these are digested before."""
    identity = repo.identity
    if identity.of_tensors.statements:
        digest, tensors = digest_weights(repo.weights)
        found = replace(stated_file("a first reading", digest), fingerprint=fingerprint_of(tensors))
        identity.require(repo.weights, found)
        identity += Identity((found,))
    return read_tensors(repo.weights, identity=identity)


def _require_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Refuse NaN and infinity; only where a sum shows one each number is looked at."""
    sums = [tensor.sum() for tensor in tensors.values() if tensor.is_floating_point()]
    if torch.stack(sums).isfinite().all():
        return
    if strange := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        problem = f"holds NaN or infinity in {list_some(strange, 3)}; allow_nonfinite=True loads it"
        raise CheckpointError(file, problem)

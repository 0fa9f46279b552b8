"""Define what a family of networks is: one record, which all that is not in this folder asks.

Nothing here needs torch: a family's tensors are planned without it where the family can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rexnet_hub.errors import NetworkError, UsageError, list_some, network_problems
from rexnet_hub.nets.state_dict import Shape, TensorTable, table_of

if TYPE_CHECKING:
    from torch import nn

    from rexnet_hub.nets.modules import Classifier, FeatureMaps, OutIndices


Answer = TypeVar("Answer")


class TensorPlan(NamedTuple):
    """The tensors of a network's state dict.

    Attributes:
        tensors: Name -> (dtype, shape), in the state dict's order, dtypes as torch says them: `float32`.
        parameters: How many numbers of them are trained; running statistics are not.
        macs: From a picture's side to its multiply-accumulates, as `counts.count_macs` counts; None where
            only the running network tells.
    """

    tensors: TensorTable
    parameters: int
    macs: Callable[[int], int] | None = None


class Parts(NamedTuple):
    """The ends of a network and the input it takes, as timm's config names them.

    Attributes:
        first_conv: The layers that see the picture's channels; none where they are not known.
        classifier: The layers that give the logits.
        num_features: Channels before the classifier.
        global_pool: How they are pooled.
        pool_size: From a picture's height to that of the last feature map; None where it is not known.
        input_px: Side of the pictures that it was made for, and so takes; 0 where it takes any.
        is_fixed_size: Whether pictures of another size are refused.
    """

    first_conv: tuple[str, ...]
    classifier: tuple[str, ...]
    num_features: int
    global_pool: str = "avg"
    pool_size: Callable[[int], int | None] = lambda input_px: None
    input_px: int = 0
    is_fixed_size: bool = False


class KeyMap(NamedTuple):
    """Names and shapes that others give the tensors of a family: total, one to one.

    Attributes:
        name: As a receipt calls it.
        names: Their name -> ours, for every tensor.
        resembles: Whether a name can only be one of theirs.
        our_shape: The shape here of a tensor, by our name, that has another there.
    """

    name: str
    names: Mapping[str, str]
    resembles: Callable[[str], bool]
    our_shape: Callable[[str, Shape], Shape]


class Words(NamedTuple):
    """Sentences of card, page and recipe about a family that no field of the index has; empty where unknown.

    Attributes:
        sentences: What it is, after "NAME ", as Markdown; {kind} is what sort of thing the entry says that it
            is, {classes} what is said of its classes.
        description: Of the architecture, as Markdown, with where it is from.
        bibtex: What to cite of models whose paper has its title.
        paper: The title of the paper whose authors' command is known.
        command: That command's arguments, by field; of `command_of` alone, printed in `command_source`.
    """

    sentences: str = ""
    description: str = ""
    description_source: str = ""
    bibtex: str = ""
    paper: str = ""
    command: Mapping[str, str] = MappingProxyType({})
    command_of: str = ""
    command_source: str = ""


def is_part(value: Any) -> bool:
    """Return whether a value lies in 0..1."""
    return type(value) in (int, float) and 0 <= value <= 1


def require_whole(what: str, number: Any, least: int) -> None:
    """Refuse what is not a whole number, or too small.

    Raises:
        UsageError: It is neither.
    """
    if type(number) is not int or number < least:
        raise UsageError(f"{what} is {number!r}; it is a whole number, {least} or more")


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """All that is known of a family of networks.

    Attributes:
        architectures: The configuration of each network, by its name.
        plan: From configuration, `num_classes` and `in_chans` to the tensors.
        parts: From a configuration to what others must know.
        build: From configuration, `num_classes`, `in_chans` and options to the network.
        take_features: From a whole network and `out_indices` to one that gives feature maps.
        options: What else a network takes, and which values.
        fixed: From a configuration to the arguments of timm's that can only have these values here.
        key_maps: Returns the layouts of others.
        in_timm: From a configuration to whether timm has the network too, by the same name.
        channels_last: Whether its networks take a batch that is laid out so; on a CPU that is faster.
        words: Returns what card, page and recipe say of it.
        provider: Whose code builds it, with its version.
    """

    architectures: Mapping[str, Any]
    plan: Callable[..., TensorPlan]
    parts: Callable[[Any], Parts]
    build: Callable[..., Classifier]
    take_features: Callable[[Any, OutIndices], FeatureMaps]
    options: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)
    fixed: Callable[[Any], Mapping[str, tuple[Any, ...]]] = lambda config: {}
    key_maps: Callable[[], tuple[KeyMap, ...]] = tuple
    in_timm: Callable[[Any], bool] = lambda config: True
    channels_last: bool = False
    words: Callable[[], Words] = Words
    provider: str = "rexnet_hub"

    def __post_init__(self) -> None:
        """Refuse what is not a function where one is wanted, such as `words` of an earlier release."""
        functions = ("plan", "parts", "build", "take_features", "fixed", "key_maps", "in_timm", "words")
        if odd := [name for name in functions if not callable(getattr(self, name))]:
            of, write = list_some(self.architectures, 3), ", ".join(f"{name}=lambda …: …" for name in odd)
            raise UsageError(f"the family of {of}: {', '.join(odd)} must be a function; write {write}")


class Network(NamedTuple):
    """One network of a family, by its name."""

    architecture: str
    family: Family

    @property
    def config(self) -> Any:
        """Its configuration."""
        return self.family.architectures[self.architecture]

    @property
    def parts(self) -> Parts:
        """What of it others must know."""
        return self.ask(self.family.parts, self.config)

    @property
    def fixed(self) -> Mapping[str, tuple[Any, ...]]:
        """The arguments of timm's that can only have these values."""
        return self.ask(self.family.fixed, self.config)

    def call(self, name: str) -> str:
        """Return a name that it was found by; with a former one, what that is called now."""
        is_own = name.partition(".")[0] == self.architecture
        return name if is_own else f"{name} (now {self.architecture})"

    def plan(self, *, num_classes: int | None = None, in_chans: int = 3, **options: Any) -> TensorPlan:
        """List every tensor of its state dict, and count what is trained.

        Args:
            num_classes: None for as many as it has by itself.
            options: Others that it is built with; with those it is built, without memory.

        Raises:
            NetworkError: The provider cannot build it.
        """
        classes = {} if num_classes is None else {"num_classes": num_classes}
        if not options:
            return self.ask(self.family.plan, self.config, in_chans=in_chans, **classes)
        import torch

        with torch.device("meta"):
            return plan_of(self.build(in_chans=in_chans, init=False, **classes, **options))

    def count_classes(self, shapes: Mapping[str, Shape]) -> int:
        """Return how many classes a state dict of it tells apart; 0 without a classifier."""
        return next((shapes.get(f"{name}.weight", (0,))[0] for name in self.parts.classifier), 0)

    def plan_like(self, shapes: Mapping[str, Shape]) -> TensorPlan:
        """Plan it with as many classes and channels as a state dict tells."""
        return self.plan(num_classes=self.count_classes(shapes), in_chans=self.count_channels(shapes))

    def count_channels(self, shapes: Mapping[str, Shape]) -> int:
        """Return how many channels of a picture a state dict of it sees; 3 where that is unknown."""
        own = self.plan().tensors  # a stem may see each channel several times
        stems = (f"{name}.weight" for name in self.parts.first_conv)
        seen = (3 * shapes[stem][1] // own[stem][1][1] for stem in stems if stem in shapes)
        return next(seen, 3)

    def find_classes(self, shapes: Mapping[str, Shape]) -> int | None:
        """Return how many classes it has with exactly these tensors; None where it cannot have these."""
        planned = self.plan_like(shapes).tensors
        fits = {name: shape for name, (_, shape) in planned.items()} == shapes
        return self.count_classes(shapes) if fits else None

    def find_args_problem(self, args: Mapping[str, Any]) -> str | None:
        """Return why it is not built with these of timm's `model_args`; None where it is."""
        takes = {"in_chans": lambda value: type(value) is int and value > 0, **self.family.options}
        unknown = [name for name in args if name not in takes]
        wrong = [f"{n} is {value!r}" for n, value in args.items() if n in takes and not takes[n](value)]
        problems = [f"it takes no {', '.join(unknown)}; it takes {', '.join(takes)}"] if unknown else []
        return "; ".join(problems + wrong) or None

    def find_size_problem(self, input_px: int) -> str | None:
        """Return why it does not take pictures of a size; None where it does.

        A size that nobody states of it is tried, without memory.
        """
        parts = self.parts
        if input_px == parts.input_px or not parts.input_px:
            return None
        if parts.is_fixed_size:
            return f"{self.architecture} takes pictures of {parts.input_px} px alone, not of {input_px}"
        return _try_size(self, input_px)

    def build(self, *, init: bool = True, **options: Any) -> Classifier:
        """Build it, with `num_classes`, `in_chans` and what else its family takes.

        Args:
            init: Whether start weights are drawn; else they are whatever memory held, to be loaded over.

        Raises:
            UsageError: An option is none of the family's, or out of range.
            NetworkError: The provider cannot build it.
        """
        from rexnet_hub.nets.modules import Undrawn

        usual = ("num_classes", "in_chans", *self.family.options)
        if unknown := [name for name in options if name not in usual]:
            takes = ", ".join(usual)
            raise UsageError(f"{self.architecture} takes no {', '.join(unknown)}; it takes {takes}")
        require_whole("in_chans", in_chans := options.get("in_chans", 3), 1)
        if in_chans != 3 and not self.parts.first_conv:
            problem = f"{self.architecture} has no known stem, and takes 3 alone"
            raise UsageError(f"in_chans is {in_chans}; {problem}")
        require_whole("num_classes", options.get("num_classes", 0), 0)
        for name in ("drop_rate", "drop_path_rate"):
            if not is_part(rate := options.get(name, 0)):
                raise UsageError(f"{name} is {rate}; it lies in 0..1")
        with nullcontext() if init else Undrawn():
            return self.ask(self.family.build, self.config, **options)

    def take_features(self, network: Classifier, out_indices: OutIndices) -> FeatureMaps:
        """Cut a whole network down to its feature maps."""
        return self.ask(self.family.take_features, network, out_indices)

    def ask(self, what: Callable[..., Answer], *args: Any, **options: Any) -> Answer:
        """Call what runs the provider's code; whatever that raises becomes one line.

        Raises:
            NetworkError: It raised something that is no message of ours.
        """
        with network_problems(f"{self.architecture} of {self.family.provider}"):
            return what(*args, **options)


def plan_of(network: nn.Module) -> TensorPlan:
    """List the tensors of a network that is built, and count what is trained."""
    from rexnet_hub.nets.counts import count_parameters

    return TensorPlan(tensors=table_of(network.state_dict()), parameters=count_parameters(network))


@lru_cache(maxsize=512)
def _try_size(network: Network, input_px: int) -> str | None:
    import torch

    with torch.inference_mode(), torch.device("meta"):
        built = network.build(init=False).eval()
        try:
            network.ask(built, torch.zeros(1, 3, input_px, input_px))
        except NetworkError as error:
            return f"{network.architecture} does not take pictures of {input_px} px: {error}"
    return None

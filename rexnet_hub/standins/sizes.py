"""Compute how large a file of given tensors must be, to the byte, without writing it."""

from __future__ import annotations

from rexnet_hub.nets.state_dict import TensorTable
from rexnet_hub.standins.legacy_writer import render_count, render_preamble, specs_of
from rexnet_hub.weights.safetensors_file import canonical_order, render_header


def tensor_bytes(tensors: TensorTable) -> int:
    """Add up the bytes of all tensors."""
    return sum(spec.size_bytes for spec in specs_of(tensors))


def legacy_size_bytes(tensors: TensorTable) -> int:
    """Size of torch's legacy, non-zip file of an `OrderedDict` of these tensors in this order.

    That is how the released ReXNets were saved: the sizes that their index gives come out to the byte.
    """
    specs = specs_of(tensors)
    return len(render_preamble(specs)) + sum(len(render_count(spec)) + spec.size_bytes for spec in specs)


def safetensors_size_bytes(tensors: TensorTable) -> int:
    """Size of the canonical safetensors file of these tensors."""
    specs = canonical_order(specs_of(tensors))
    return len(render_header(specs)) + sum(spec.size_bytes for spec in specs)

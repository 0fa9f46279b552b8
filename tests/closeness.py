"""When two computations of the same network may be called equal."""

import torch

#: Roundings in a row, on the longest way through a ReXNet: some hundred layers, each of them a convolution or
#: a product and a normalisation. Another order of additions, as another kernel or release has, moves a
#: result by about one unit in the last place for each; a wrong constant moves it by thousands.
ROUNDINGS = 100


def assert_same_numbers(found, expected, *, roundings=ROUNDINGS):
    """Compare two tensors, relative to the largest number of the expected one and its dtype's precision."""
    allowed = roundings * torch.finfo(expected.dtype).eps * expected.abs().max().item()
    torch.testing.assert_close(found, expected, atol=allowed, rtol=0)

"""An address is public, or it is not, whatever form it is written in; a secret in one is never printed."""

import pytest

from rexnet_hub.addresses import is_public

#: Addresses of one's own machine, network or cloud, and public ones beside them.
PRIVATE = ("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0")
PUBLIC = ("8.8.8.8", "1.1.1.1", "52.84.1.1")


def forms(address):
    """Write an IPv4 address in each form of IPv6 that leads to it."""
    one, two = (int.from_bytes(bytes(map(int, address.split(".")[at : at + 2]))) for at in (0, 2))
    return {
        "IPv4": address,
        "mapped": f"::ffff:{address}",
        "compatible": f"::{address}",
        "NAT64": f"64:ff9b::{one:x}:{two:x}",
        "6to4": f"2002:{one:x}:{two:x}::1",
    }


@pytest.mark.parametrize("address", [*PRIVATE, *PUBLIC])
def test_a_form_of_an_address_is_as_public_as_the_address(address):
    """Mapped, compatible, NAT64 and 6to4 forms are private where what they lead to is, else public."""
    assert {form: is_public(text) for form, text in forms(address).items()} == dict.fromkeys(
        forms(address), address in PUBLIC
    )


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b:1::808:808",
        "2001:0:808:808:8000:63bf:f7f7:f7f7",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff0e::1",
    ],
)
def test_what_leads_where_nobody_can_say_is_private(address):
    """A site's own NAT64, Teredo, loopback, link-local, unique local and multicast addresses are private."""
    assert not is_public(address)


def test_ordinary_addresses_stay_public():
    """Those of known public hosts, in both protocols."""
    assert all(map(is_public, ["2606:4700::1111", "2a00:1450:4001:81b::200e", "140.82.121.3"]))

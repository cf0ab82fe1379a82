"""Check the addresses of hosts: an untrusted URL must not lead into a private network.

A router's page, a database or a cloud's credentials service may be there. A user may allow private networks, but never
that service.
"""

import ipaddress
import socket
from collections.abc import Iterator

from lib.core.errors import EarshotError
from lib.core.urls import shown_url

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses with an IPv4 address in their last 32 bits."""
PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1", "fc00::/7")
]
"""This machine, and local networks and VPNs."""
METADATA = [ipaddress.ip_network(text) for text in ("100.100.100.200", "fd00:ec2::/32", "fd20:ce::254")]
"""Credentials services of clouds that are not link-local, as 169.254.169.254 is."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def addresses_of(url: str, host: str, port: int, allow_private: bool = False) -> list[str]:
    """The checked IP addresses of a URL's host. Connect to one of them: the name may resolve to others later.

    allow_private: accept private addresses, see is_private, besides public ones.

    Raises EarshotError if an address is not accepted or the host has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EarshotError(shown_url(url), f"its host cannot be found ({reason})", "check the URL") from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    if not all(is_public(each) or (allow_private and is_private(each)) for each in addresses):
        fault = f"leads to an address that is not public ({', '.join(addresses)})"
        remedy = "give a URL on the internet"
        if not allow_private and all(map(is_private, addresses)):
            remedy += ", or set tracking.allow_private_addresses if that server is yours"
        raise EarshotError(shown_url(url), fault, remedy)
    return addresses


def is_public(text: str) -> bool:
    """Whether an IP address, and any address embedded in it, is on the public internet.

    >>> is_public("93.184.216.34"), is_public("::ffff:10.0.0.1")
    (True, False)
    """
    return all(map(_is_public, _meanings(text)))


def is_private(text: str) -> bool:
    """Whether an IP address belongs to this machine or a private network; link-local addresses do not.

    >>> is_private("192.168.1.7"), is_private("169.254.169.254")
    (True, False)
    """
    return all(map(_is_private, _meanings(text)))


def _meanings(text: str) -> Iterator[Address]:
    """An IP address and those embedded in it."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            yield address.ipv4_mapped
            return
        yield from filter(None, (address.sixtofour, *(address.teredo or ())))
        if address in NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    yield address


def _is_public(address: Address) -> bool:
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not address.is_multicast and not is_site_local and not _is_in(METADATA, address)


def _is_private(address: Address) -> bool:
    return _is_in(PRIVATE, address) and not _is_in(METADATA, address)


def _is_in(networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network], address: Address) -> bool:
    return any(address in network for network in networks)

"""Addresses of hosts, checked: a URL from others must not lead to a server's own network.

There may be a router's page, a database, or the service of a cloud that hands out credentials.
"""

import ipaddress
import socket
from typing import Any

from lib.core.errors import EarshotError
from lib.core.urls import shown_url

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 addresses, the last 32 bits."""


def addresses_of(url: str, host: str, port: int, allow_private: bool = False) -> list[str]:
    """The IP addresses of a URL's host, to connect to one of them: the same name may lead elsewhere later.

    allow_private: whether addresses may be others than those of the internet. Raises EarshotError if one must not, or
    if the host has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EarshotError(shown_url(url), f"its host cannot be found ({reason})", "check the URL") from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    if not allow_private and not all(map(is_public, addresses)):
        fault = f"leads to an address that is not public ({', '.join(addresses)})"
        raise EarshotError(shown_url(url), fault, "give a URL on the internet")
    return addresses


def is_public(text: str) -> bool:
    """Whether an IP address is one of the internet, also one that stands for another address.

    >>> is_public("93.184.216.34"), is_public("::ffff:10.0.0.1")
    (True, False)
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    inner: list[Any] = []
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.is_site_local:
            return False
        if address.ipv4_mapped:
            return is_public(str(address.ipv4_mapped))
    return all(each.is_global and not each.is_multicast for each in (address, *filter(None, inner)))

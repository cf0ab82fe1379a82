import pytest

from lib.core.public_addresses import is_private, is_public


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::ffff:93.184.216.34", True),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("224.0.0.1", False),
        ("100.64.0.1", False),
        ("240.0.0.1", False),
        ("fec0::1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_an_address_is_as_public_as_the_one_embedded_in_it(address, expected):
    assert is_public(address) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("192.168.1.7", True),
        ("172.31.0.1", True),
        ("172.32.0.1", False),
        ("fd12:3456::1", True),
        ("100.64.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("fe80::1%eth0", False),
        ("100.100.100.200", False),
        ("fd00:ec2::254", False),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.1", False),
        ("93.184.216.34", False),
    ],
)
def test_private_addresses_exclude_link_local_ones_and_credentials_services(address, expected):
    assert is_private(address) is expected
    assert not (is_private(address) and is_public(address))

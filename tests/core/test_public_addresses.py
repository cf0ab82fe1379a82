import pytest

from lib.core.public_addresses import is_public


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
def test_an_address_that_stands_for_another_is_as_public_as_that(address, expected):
    assert is_public(address) is expected

"""Whom an address stands for."""

import pytest

from appliance.core.network import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"), ("fe80::1%eth0", "fe80::/64"), ("", ""), ("a:b", "a:b"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
    ],
)  # fmt: skip
def test_an_ipv6_client_is_its_network(address: str, network: str) -> None:
    assert network_of(address) == network

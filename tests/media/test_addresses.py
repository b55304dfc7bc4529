import pytest

from appliance.media.addresses import Address, interfaces, listening

HERE = [
    Address("lo", "127.0.0.1"),
    Address("lo", "::1"),
    Address("eth0", "192.0.2.2"),
    Address("eth0", "2001:db8::2"),
    Address("eth0", "fe80::1"),
    Address("eth1", "198.51.100.7"),
    Address("docker0", "172.17.0.1"),
]


@pytest.mark.parametrize(
    ("wanted", "excluded", "found"),
    [
        (["127.0.0.1"], [], ["127.0.0.1"]),
        (["203.0.113.1"], [], ["203.0.113.1"]),  # an address that comes and goes is for the kernel to refuse
        (["eth0"], [], ["192.0.2.2", "2001:db8::2"]),
        (["eth1", "eth*"], [], ["198.51.100.7", "192.0.2.2", "2001:db8::2"]),
        (["*"], [], ["192.0.2.2", "2001:db8::2", "198.51.100.7", "172.17.0.1"]),
        (["*"], ["docker*", "2000::/3"], ["192.0.2.2", "198.51.100.7"]),
        (["lo"], [], ["127.0.0.1", "::1"]),
        (["192.0.2.0/24"], [], ["192.0.2.2"]),
        (["::/0"], [], ["2001:db8::2"]),
        (["*"], ["192.0.2.2"], ["2001:db8::2", "198.51.100.7", "172.17.0.1"]),
        (["192.0.2.2", "eth0"], [], ["192.0.2.2", "2001:db8::2"]),
    ],
)
def test_entries_name_addresses(wanted: list[str], excluded: list[str], found: list[str]) -> None:
    assert listening(wanted, excluded, lambda: HERE) == found


def test_what_names_nothing_is_refused() -> None:
    with pytest.raises(OSError, match=r"'eth7' is no address, network or interface .* eth0 192\.0\.2\.2"):
        listening(["eth7"], [], lambda: HERE)
    with pytest.raises(OSError, match=r"nothing is left of \['eth1'\] without \['eth\*'\]"):
        listening(["eth1"], ["eth*"], lambda: HERE)


def test_this_machine_has_loopback() -> None:
    assert "127.0.0.1" in {item.ip for item in interfaces()}
    assert "127.0.0.1" in listening(["127.0.0.0/8"])

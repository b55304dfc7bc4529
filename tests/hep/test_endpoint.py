import pytest

from appliance.hep.endpoint import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("udp://homer:9060", Endpoint("udp", "homer", 9060)),
        (" tcp://127.0.0.1:9061/", Endpoint("tcp", "127.0.0.1", 9061)),
        ("tls://[2001:db8::1]:9062", Endpoint("tls", "2001:db8::1", 9062)),
    ],
)
def test_reads(text: str, wanted: Endpoint) -> None:
    assert parse_endpoint(text) == wanted
    assert parse_endpoint(str(wanted)) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "homer:9060", "http://homer:9060", "udp://homer", "udp://:9060", "udp://homer:0", "udp://homer:99999",
     "udp://homer:x", "tcp://homer:9061/path", "tcp://user@homer:9061", "udp://[::1:9060"],
)  # fmt: skip
def test_refuses_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="wanted udp://host:port, tcp://host:port or tls://host:port"):
        parse_endpoint(text)

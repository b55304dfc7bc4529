"""Arbitrary messages for properties."""

from hypothesis import strategies as st

from appliance.hep.message import HepMessage

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\', categories=("L", "N", "P", "S")), min_size=1, max_size=40
)
V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)


@st.composite
def messages(draw: st.DrawFn) -> HepMessage:
    address = draw(st.sampled_from([V4, V6]))
    return HepMessage(
        src=draw(address),
        dst=draw(address),
        src_port=draw(st.integers(0, 0xFFFF)),
        dst_port=draw(st.integers(0, 0xFFFF)),
        protocol=draw(st.integers(0, 0xFF)),
        timestamp_us=draw(st.integers(0, (1 << 32) * 1_000_000 - 1)),
        payload_type=draw(st.integers(0, 0xFF)),
        payload=draw(st.binary(max_size=400)),
        agent_id=draw(st.integers(0, 0xFFFFFFFF)),
        node_name=draw(st.none() | TEXT),
        correlation_id=draw(st.none() | TEXT),
        auth_key=draw(st.none() | TEXT),
    )

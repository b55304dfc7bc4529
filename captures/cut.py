"""Make a fixture: cut packets out of a capture and write beside them what TShark reads in them.

    python captures/cut.py recorded.pcap chrome_echo --filter 'stun || dtls' --first 60 \
        --origin 'Chromium 156 and the gateway, EchoTest on loopback' --holds 'connectivity checks, a handshake'

writes ``captures/chrome_echo.pcap`` and ``captures/chrome_echo.json``. The fields come from TShark alone, never from
the codecs that the fixture is to test. ``--clear`` says that RTP and RTCP are not encrypted: only then is RTCP, and
the padding of RTP, there to be read. ``--ice UFRAG:PASSWORD`` keeps the key of each agent, so that MESSAGE-INTEGRITY
can be checked. Needs tshark and editcap (both of Wireshark).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MAX_BYTES = 60_000
LICENCE = "Recorded for this project; under its licence, MIT."
CLASSES = {0x00: "REQUEST", 0x01: "INDICATION", 0x10: "SUCCESS", 0x11: "ERROR"}
HEURISTICS = ("--enable-heuristic", "rtp_udp", "--enable-heuristic", "rtcp_udp")


def main() -> None:
    """Read the arguments, cut, describe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="capture in any format that TShark reads")
    parser.add_argument("name", help="of the fixture, without ending; may hold a directory (hep/two_events)")
    parser.add_argument("--filter", default="udp", help="display filter (default: %(default)s)")
    parser.add_argument("--first", type=int, default=60, help="keep so many of the packets (default: %(default)s)")
    parser.add_argument("--snap", type=int, help="cut each packet to so many bytes")
    parser.add_argument("--origin", required=True, help="which programs talked, and where")
    parser.add_argument("--holds", required=True, help="what there is to see")
    parser.add_argument("--licence", default=LICENCE)
    parser.add_argument("--clear", action="store_true", help="RTP and RTCP are not encrypted")
    parser.add_argument("--ice", action="append", default=[], metavar="UFRAG:PASSWORD")
    parser.add_argument("--out", type=Path, default=HERE, help="directory (default: that of this script)")
    options = parser.parse_args()

    capture = options.out / f"{options.name}.pcap"
    cut(options.source, capture, options.filter, options.first, options.snap)
    size = capture.stat().st_size
    if size > MAX_BYTES:
        sys.exit(f"{capture} has {size} bytes, wanted at most {MAX_BYTES}: lower --first, or --snap")
    description = {
        "origin": options.origin,
        "holds": options.holds,
        "licence": options.licence,
        "tool": run("tshark", "--version").splitlines()[0],
        "filter": options.filter,
        "clear": options.clear,
        "ice": dict(word.split(":", 1) for word in options.ice),
    }
    packets = list(read(capture, clear=options.clear))
    capture.with_suffix(".json").write_text(layout(description, packets))
    print(f"{capture}: {len(packets)} packets, {size} bytes")


def layout(description: dict[str, Any], packets: list[dict[str, Any]]) -> str:
    """JSON with a line for each packet, so that a change shows in a diff."""
    head = json.dumps(description, indent=1)[:-2]
    return head + ',\n "packets": [\n' + ",\n".join("  " + json.dumps(packet) for packet in packets) + "\n ]\n}\n"


def cut(source: Path, target: Path, display_filter: str, first: int, snap: int | None) -> None:
    """The first packets that the filter passes, as classic pcap."""
    with tempfile.TemporaryDirectory() as directory:
        passed = Path(directory) / "passed.pcap"
        run("tshark", "-r", str(source), *HEURISTICS, "-Y", display_filter, "-F", "pcap", "-w", str(passed))
        limit = ("-s", str(snap)) if snap else ()
        run("editcap", "-F", "pcap", *limit, "-r", str(passed), str(target), f"1-{first}")


def read(capture: Path, *, clear: bool) -> Iterator[dict[str, Any]]:
    """What TShark says of each packet: addresses, and the fields of STUN, DTLS, RTP and RTCP."""
    text = run("tshark", "-r", str(capture), *HEURISTICS, "-T", "pdml")
    for packet in ET.fromstring(text).iter("packet"):  # noqa: S314 - TShark's own output
        protocols = {proto.get("name"): proto for proto in packet.iter("proto")}
        entry: dict[str, Any] = {"number": integer(packet, "num")}
        seconds, _, fraction = text_of(packet, "timestamp", of="value").partition(".")
        entry["timestamp_us"] = int(seconds) * 1_000_000 + int(fraction[:6])
        entry["length"] = integer(packet, "frame.len")
        entry["captured"] = integer(packet, "frame.cap_len")
        network = "ipv6" if "ipv6" in protocols else "ip"
        if "icmp" in protocols or "icmpv6" in protocols:
            entry["icmp"] = True
        elif "udp" in protocols:
            entry["source"] = [text_of(packet, f"{network}.src"), integer(packet, "udp.srcport")]
            entry["destination"] = [text_of(packet, f"{network}.dst"), integer(packet, "udp.dstport")]
            entry["size"] = integer(packet, "udp.length") - 8
            entry |= payload(packet, protocols, clear=clear)
        yield entry


def payload(packet: ET.Element, protocols: dict[str | None, ET.Element], *, clear: bool) -> dict[str, Any]:
    """The one protocol of a datagram."""
    if "stun" in protocols:
        return {"stun": stun(protocols["stun"])}
    if "dtls" in protocols:
        return {"dtls": [record(field) for field in fields(protocols["dtls"], "dtls.record")]}
    if "rtp" in protocols and not has(packet, "rtcp.pt"):
        return {"rtp": rtp(protocols["rtp"], clear=clear)}
    if clear and "rtcp" in protocols:
        return {"rtcp": [rtcp(proto) for proto in packet.iter("proto") if proto.get("name") == "rtcp"]}
    return {}


def stun(layer: ET.Element) -> dict[str, Any]:
    """RFC 8489."""
    found: dict[str, Any] = {
        "class": CLASSES[integer(layer, "stun.type.class", base=16)],
        "method": integer(layer, "stun.type.method", base=16),
        "transaction_id": text_of(layer, "stun.id", of="value"),
        "attributes": [integer(field, "stun.att.type", base=16) for field in fields(layer, "stun.attribute")],
    }
    if has(layer, "stun.att.username"):
        found["username"] = text_of(layer, "stun.att.username")
    if has(layer, "stun.att.priority"):
        found["priority"] = integer(layer, "stun.att.priority")
    if has(layer, "stun.att.tie-breaker"):
        found["tie_breaker"] = text_of(layer, "stun.att.tie-breaker", of="value")
    if has(layer, "stun.att.ipv4-xord") or has(layer, "stun.att.ipv6-xord"):
        host = "stun.att.ipv4" if has(layer, "stun.att.ipv4") else "stun.att.ipv6"
        found["xor_mapped_address"] = [text_of(layer, host), integer(layer, "stun.att.port")]
    if has(layer, "stun.att.hmac"):
        found["integrity"] = text_of(layer, "stun.att.hmac", of="value")
    if has(layer, "stun.att.crc32.status"):
        found["fingerprint_good"] = integer(layer, "stun.att.crc32.status") == 1
    return found


def record(layer: ET.Element) -> dict[str, Any]:
    """One DTLS record."""
    found: dict[str, Any] = {
        "content_type": integer(layer, "dtls.record.content_type"),
        "version": integer(layer, "dtls.record.version", base=16),
        "epoch": integer(layer, "dtls.record.epoch"),
        "sequence_number": integer(layer, "dtls.record.sequence_number"),
        "length": integer(layer, "dtls.record.length"),
    }
    if has(layer, "dtls.handshake.type"):
        names = ("type", "length", "message_seq", "fragment_offset", "fragment_length")
        columns = [[int(field.get("show", "")) for field in fields(layer, f"dtls.handshake.{name}")] for name in names]
        found["handshakes"] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if has(layer, "dtls.alert_message.level"):
        found["alert"] = [
            integer(layer, "dtls.alert_message.level"),
            integer(layer, "dtls.alert_message.desc"),
        ]
    return found


def rtp(layer: ET.Element, *, clear: bool) -> dict[str, Any]:
    """RFC 3550 section 5.1, RFC 8285."""
    found: dict[str, Any] = {
        "payload_type": integer(layer, "rtp.p_type"),
        "sequence_number": integer(layer, "rtp.seq"),
        "timestamp": integer(layer, "rtp.timestamp"),
        "ssrc": integer(layer, "rtp.ssrc", of="value", base=16),
        "marker": integer(layer, "rtp.marker") == 1,
    }
    if has(layer, "rtp.ext.profile"):
        found["profile"] = integer(layer, "rtp.ext.profile", base=16)
        numbers = [int(field.get("show", "")) for field in fields(layer, "rtp.ext.rfc5285.id")]
        values = [field.get("value") for field in fields(layer, "rtp.ext.rfc5285.data")]
        if len(numbers) == len(values):
            found["extensions"] = dict(zip(map(str, numbers), values, strict=True))
    if clear and has(layer, "rtp.padding.count"):
        found["padding"] = integer(layer, "rtp.padding.count")
    return found


def rtcp(layer: ET.Element) -> dict[str, Any]:
    """RFC 3550 section 6, RFC 4585."""
    found: dict[str, Any] = {"type": integer(layer, "rtcp.pt")}
    for name, field in (
        ("sender_ssrc", "rtcp.senderssrc"),
        ("media_ssrc", "rtcp.mediassrc"),
        ("ntp_time", "rtcp.timestamp.ntp"),
    ):
        if has(layer, field):
            found[name] = integer(layer, field, of="value", base=16)
    for name, field in (
        ("rtp_timestamp", "rtcp.timestamp.rtp"),
        ("packet_count", "rtcp.sender.packetcount"),
        ("octet_count", "rtcp.sender.octetcount"),
        ("rtp_format", "rtcp.rtpfb.fmt"),
        ("payload_format", "rtcp.psfb.fmt"),
    ):
        if has(layer, field):
            found[name] = integer(layer, field)
    if has(layer, "rtcp.sdes.text"):
        found["cname"] = text_of(layer, "rtcp.sdes.text")
    if has(layer, "rtcp.ssrc.fraction"):
        found["reports"] = reports(layer)
    if has(layer, "rtcp.psfb.remb.fci.bitrate"):
        exponent = integer(layer, "rtcp.psfb.remb.fci.br_exp")
        found["bitrate_bps"] = integer(layer, "rtcp.psfb.remb.fci.br_mantissa") << exponent
        found["ssrcs"] = [int(field.get("value", ""), 16) for field in fields(layer, "rtcp.psfb.remb.fci.ssrc")]
    if has(layer, "rtcp.rtpfb.nack_pid"):
        # TShark gives each number of the bit mask as one more PID.
        found["lost"] = [integer_of(field) for field in fields(layer, "rtcp.rtpfb.nack_pid")]
    if has(layer, "rtcp.psfb.fir.fci.ssrc"):
        found["entries"] = [
            [int(ssrc.get("value", ""), 16), int(number.get("show", ""))]
            for ssrc, number in zip(
                fields(layer, "rtcp.psfb.fir.fci.ssrc"), fields(layer, "rtcp.psfb.fir.fci.csn"), strict=True
            )
        ]
    if has(layer, "rtcp.ssrc.identifier") and found["type"] == 203:
        found["ssrcs"] = [int(field.get("value", ""), 16) for field in fields(layer, "rtcp.ssrc.identifier")]
        found["reason"] = found.pop("cname", None)  # TShark reads it into the field of SDES
    return found


def reports(layer: ET.Element) -> list[dict[str, Any]]:
    """Report blocks."""
    names = {
        "ssrc": "rtcp.ssrc.identifier",
        "fraction_lost": "rtcp.ssrc.fraction",
        "packets_lost": "rtcp.ssrc.cum_nr",
        "highest_sequence": "rtcp.ssrc.ext_high",
        "jitter": "rtcp.ssrc.jitter",
        "lsr": "rtcp.ssrc.lsr",
        "dlsr": "rtcp.ssrc.dlsr",
    }
    columns = [[integer_of(field) for field in fields(layer, field_name)] for field_name in names.values()]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def integer_of(field: ET.Element) -> int:
    """Decimal or 0x."""
    return int(field.get("show", ""), 0)


def fields(layer: ET.Element, name: str) -> list[ET.Element]:
    """All of that name, in order."""
    return [field for field in layer.iter("field") if field.get("name") == name]


def has(layer: ET.Element, name: str) -> bool:
    """Whether there is one."""
    return bool(fields(layer, name))


def text_of(layer: ET.Element, name: str, *, of: str = "show") -> str:
    """The first one's text; ``show`` as displayed, ``value`` as hexadecimal bytes."""
    return fields(layer, name)[0].get(of, "")


def integer(layer: ET.Element, name: str, *, of: str = "show", base: int = 10) -> int:
    """The first one's number."""
    return int(text_of(layer, name, of=of), base)


def run(*command: str) -> str:
    """Standard output of a program that succeeds."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - names are ours
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()

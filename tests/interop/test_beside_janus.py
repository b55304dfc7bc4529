"""The same conversations with Debian's Janus 1.1.2 and with ours, each in a namespace: what the two say has one shape,
or is in the table below with the reason. ``tests/interop/beside`` has what is asked.
"""

import json
from pathlib import Path

import pytest

from tests.peers import namespace
from tests.programs import need
from tests.shapes import Difference, shapes

pytestmark = pytest.mark.interop

SINCE = "since 1.2 or 1.4, whose API this is; the one beside is 1.1.2"
STRICT = "refused and named here; Janus passes over it"
WORDS = "the same code, in other words"
DIFFERENT = [
    # The core.
    Difference("core_errors/no object", '"error"', SINCE),
    Difference(
        "core_errors/* below 1", '"error"', "Janus takes them to be unsigned, and looks for a very large number"
    ),
    Difference("core_errors/trickle no array", "", STRICT),
    Difference(
        "core_errors/notified|claims/notified",
        '"result", "done"',
        "1.1.2 says it without a PeerConnection, 1.4 does not",
    ),
    Difference("core_errors/echo spatial 9", '"error_code"', SINCE),
    Difference("over_http/too long a path", "", "1.1.2 closes the connection, 1.4 answers with 404"),
    Difference("admin_api/get_status", '"status"', SINCE),
    Difference("admin_api/loops_info", '"loops"', "ours is one loop, and says so"),
    Difference("admin_api/plugin only", '"plugin_specific"', "a client's own estimate (peer-bitrate) is not kept"),
    Difference("tokens/handle_info", '"plugin_specific"', "a token is a secret; peer-bitrate as above"),
    Difference("tokens/add no strings", "", STRICT),
    Difference("signed_tokens/add|signed_tokens/list", "", "stored and signed tokens may be used at once"),
    # Rooms.
    Difference("rooms/*six codecs", "", STRICT),
    Difference("rooms/audiocodec|rooms/videocodec", '"error_code"', WORDS),
    Difference("rooms/* nothing", '"error_code"', "of several elements that are missing another is named"),
    Difference("rooms/* bad room", '"error_code"', "1.1.2 looks for room 0 where it is no number"),
    Difference("participants/join subscriber of *|participants/subscriber with *", '"error_code"', SINCE),
    Difference("codec_lists/*: publish", '"streams"', SINCE + "; of a rejected kind no codec is named"),
    Difference("participants/after the kick", '"error_code"', "1.4 says that it was kicked"),
    Difference("participants/join metadata no object|participants/listparticipants", "", SINCE),
    Difference("participants/configure stream*|participants/configure audio_level_average*", "", STRICT),
    Difference("*/publish|*/publish again|call/* joins|call/publish twice|string_ids/join", '"streams"', SINCE),
    # Calls.
    Difference("call/configure substream 9|call/configure temporal 9|call/moderate no mid", '"error_code"', WORDS),
    Difference("call/watcher: switch no such mid", '"error_code"', WORDS),
    Difference("call/configure no mid", "", STRICT),
    Difference("call/watcher: switch nothing|call/watcher: switch empty", '"error_code"', SINCE),
    Difference("call/watcher: switch no such sub_mid|call/watcher: switch kinds", "", STRICT),
    Difference("call/rtp_forward no streams|call/rtp_forward empty streams|call/rtp_forward bad mid", "", STRICT),
    Difference("call/rtp_forward bad srtp_suite", '"error_code"', "SRTP forwarders are not there"),
    Difference("call/rtp_forward|call/rtp_forward legacy|call/listforwarders", '"forwarders"', SINCE),
    Difference("call/rtp_forward legacy", '"rtp_stream"', "the forwarders are told in the new way, too"),
    Difference("call/legacy switch", "", "1.1.2 no longer knew it"),
    Difference("call/notified", '"updated"', "of the legacy subscriber, who watches another after that"),
    Difference("call/ann", '"audio-level-dBov"', "the level is measured only to tell who talks"),
    Difference("call/ann", '"subscribers"', "the level is measured only to tell who talks"),
    Difference("call/subscribe again", "", "nobody is shown twice; 1.1.2 opens another m-line"),
    Difference("call/notified", '"moderation"', "told when it changes, not each time"),
    Difference("call/notified", '["display", "anna"]', "the room is named; whose it was is told " + SINCE),
    Difference("call/notified", '"unpublished"', "whose it was is told " + SINCE),
    Difference("call/notified", '"kicked"', "whose it was is told " + SINCE),
]


def test_both_say_the_same(tmp_path: Path) -> None:
    need("janus", "unshare", "ip")
    if not namespace.available():
        pytest.skip("no network namespace can be made here (it takes root)")
    done = namespace.run_inside(["-m", "tests.interop.beside", str(tmp_path)], timeout=120)
    assert done.returncode == 0, done.stdout
    said = json.loads(done.stdout.splitlines()[-1])
    same, used, unknown = 0, set(), []
    for talk, (theirs, ours) in said.items():
        for step in theirs.keys() | ours.keys():
            # Ours are in the order of 1.4, and order is nothing that JSON promises.
            one, other = (shapes(json.loads(json.dumps(side.get(step, []), sort_keys=True))) for side in (theirs, ours))
            same += (one & other).total()
            for message in (one - other) | (other - one):
                known = [each for each in DIFFERENT if each.explains(f"{talk}/{step}", message)]
                used.update(known)
                if not known:
                    unknown.append(f"{talk}/{step}: {'Janus' if message in one - other else 'ours'}: {message}")
    assert not unknown, "\n".join(unknown)
    assert not set(DIFFERENT) - used, set(DIFFERENT) - used
    assert same > 500

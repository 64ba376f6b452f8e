# SPDX-License-Identifier: GPL-2.0-only
"""Frames of every kind: what the data plane does with them is what the reference does and what the
row says, and scapy finds every length and checksum of what leaves as it would have written it."""
import time

import pytest
from scapy.all import ICMP, IP, UDP, Ether, ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, Raw

from craft import ethernet, ip, recomputed
from decode import difference
from reference import Reference
from rows import address_in, all_rows, fragmented, tcp, udp
from world import OWN_MAC, VIP, usual_world

WORLD = usual_world()
ROWS = all_rows(WORLD)

PATIENCE = 10  # seconds


def fate(outcome):
    return (outcome.answers or outcome.drops or (outcome.verdict,))[0]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row(server, row):
    server.say(["forget"])
    reference = Reference(WORLD)
    for frame in row.frames:
        (seen,) = server.frames([frame])
        expected = reference.outcome(frame, seen.frame)
        assert not difference(frame, expected, seen)
    assert fate(seen) == row.fate
    if row.whole and seen.verdict in ("TX", "REDIRECT"):
        assert recomputed(seen.frame).hex() == seen.frame.hex()


def service(name):
    (found,) = [s for s in WORLD.services.values() if s.name == name]
    return found


def test_a_first_fragment_is_remembered_for_two_seconds(server):
    server.say(["forget"])
    first, second, *_ = fragmented(4, VIP[4], udp(80) / Raw(bytes(150)))
    began = time.monotonic()
    server.frames([first])
    while fate(server.frames([second])[0]) == "TX":
        assert time.monotonic() < began + PATIENCE
    assert time.monotonic() > began + 1.8


ENTROPY = {
    "gue4": (34, 2, range(49152, 65536)),
    "gue6": (54, 2, range(49152, 65536)),
    "direct gue4": (34, 2, range(49152, 65536)),
    "gue4 cross": (54, 2, range(49152, 65536)),
    "ipip6": (15, 3, range(0x900000, 0xa00000)),  # traffic class b9, and the label
    "ipip4 cross": (15, 3, range(0x900000, 0xa00000)),
    "ipip6 cross, of varied source": (26, 4, range(0x0a400000, 0x0a404000)),
    "ipip4 cross, of varied source": (34, 4, range(0, 1 << 28)),
}


@pytest.mark.parametrize("name", ENTROPY)
def test_tunnels_differ_from_flow_to_flow(server, name):
    """What spreads them over paths and queues is the same for all packets of one flow."""
    at, size, allowed = ENTROPY[name]
    seen = {}
    for flags in "S", "A", "PA":
        frames = [bytes(ethernet() / ip(service(name).network.version, address_in(service(name)))
                        / tcp(service(name).first, flags, sport=port) / Raw(bytes(port % 7)))
                  for port in range(30000, 30064)]
        for i, outcome in enumerate(server.frames(frames)):
            value = int.from_bytes(outcome.frame[at:at + size], "big")
            assert value in allowed
            assert seen.setdefault(i, value) == value
    assert len(set(seen.values())) > 60


@pytest.fixture
def silent(server):
    """Nothing is answered."""
    server.say(["settings 0 0"])
    yield server
    server.say(["settings %d %d" % WORLD.rates])


@pytest.mark.parametrize("family", (4, 6))
def test_echo_can_be_off(silent, family):
    message = ICMP() if family == 4 else ICMPv6EchoRequest()
    (seen,) = silent.frames([bytes(ethernet() / ip(family, VIP[family]) / message)])
    assert (seen.verdict, seen.drops, seen.answers) == ("DROP", ("echo-off",), ())


@pytest.mark.parametrize("row", [row for row in ROWS if row.fate.startswith("too-big")][::9],
                         ids=lambda row: row.name)
def test_errors_can_be_off(silent, row):
    (seen,) = silent.frames(row.frames)
    assert (seen.verdict, seen.answers) == ("DROP", ())
    assert seen.drops == ("icmp-rate" if row.fate == "too-big-inside" else "too-big",)


def together(packets):
    """The UDP packet that fragments are of."""
    whole = packets[0].copy()
    whole.remove_payload()
    parts = [(p.frag, p.payload) if isinstance(p, IP)
             else (p[IPv6ExtHdrFragment].offset, p[IPv6ExtHdrFragment].payload) for p in packets]
    if isinstance(whole, IP):
        whole.flags, whole.frag = 0, 0
        del whole.len, whole.chksum
    else:
        whole.nh = 17
        del whole.plen
    return whole / UDP(b"".join(bytes(part) for _, part in sorted(parts, key=lambda p: p[0])))


@pytest.mark.parametrize("name", ("ipip4", "ipip6", "gue4 cross", "tos4", "tos6"))
def test_fragments_are_put_together_where_they_go(server, name):
    """The checksum of the whole is right there, also where the destination is another one."""
    family = service(name).network.version
    transport = udp(service(name).first) / Raw(bytes(range(250)))
    server.say(["forget"])
    packets = []
    for outcome in server.frames(fragmented(family, VIP[family], transport)):
        assert outcome.verdict == "TX"
        kind = IP if family == 4 else IPv6
        packets.append([layer for layer in Ether(outcome.frame).iterpayloads()
                        if isinstance(layer, kind)][-1].copy())
    frame = bytes(Ether(type=0x0800 if family == 4 else 0x86dd, dst=OWN_MAC.hex(":"))
                  / together(packets))
    assert len(Ether(frame)[UDP].payload) == 250
    assert recomputed(frame) == frame


def test_what_scapy_makes_anew_would_tell_a_wrong_checksum(server):
    frame = bytes(ethernet() / ip(6, VIP[6]) / tcp(service("gue6 cross").first))
    (seen,) = server.frames([frame])
    assert recomputed(seen.frame) == seen.frame
    for at in 14 + 10, 14 + 20 + 4, 14 + 20 + 8 + 4 + 40 + 16:
        wrong = bytearray(seen.frame)
        wrong[at] ^= 1
        assert recomputed(bytes(wrong)) != bytes(wrong)


def test_there_are_enough_rows_and_no_two_alike():
    assert len(ROWS) >= 300
    assert len({row.name for row in ROWS}) == len(ROWS)

# SPDX-License-Identifier: GPL-2.0-only
"""The frames of test_rows.py: features by services by families, each with what becomes of it."""
import struct
from dataclasses import dataclass

from scapy.all import (AH, ESP, GRE, ICMP, IP, SCTP, TCP, UDP, Ether, ICMPv6DestUnreach,
                       ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6ParamProblem,
                       ICMPv6TimeExceeded, IPOption_NOP, IPv6, IPv6ExtHdrDestOpt,
                       IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw,
                       fragment, fragment6)

from craft import ethernet, ip
from world import OTHER, VIP


@dataclass
class Row:
    name: str
    frames: list
    fate: str  # of the last frame: TX, REDIRECT, PASS, or the name of the drop or answer
    whole: bool = True  # its lengths and checksums are right when it leaves


def tcp(port, flags="S", **fields):
    return TCP(**{"sport": 40000, "dport": port, "flags": flags, "seq": 0x11223344, **fields})


def udp(port, **fields):
    return UDP(**{"sport": 40000, "dport": port, **fields})


def nops(words):
    return [IPOption_NOP() for _ in range(4 * words)]


# What a whole TCP or UDP packet may look like: fields of the IP header, then what is behind it.
SHAPES = {
    "SYN": ({}, lambda port: tcp(port)),
    "SYN with options": ({}, lambda port: tcp(port, options=[("MSS", 1300), ("SAckOK", b""),
                                                             ("NOP", None), ("WScale", 7)])),
    "data": ({}, lambda port: tcp(port, "PA", ack=7) / Raw(bytes(range(101)))),
    "FIN": ({}, lambda port: tcp(port, "FA", ack=7)),
    "UDP": ({}, lambda port: udp(port) / Raw(b"question")),
    "UDP, one byte": ({}, lambda port: udp(port) / Raw(b"q")),
    "UDP without data": ({}, lambda port: udp(port)),
    "UDP without checksum": ({}, lambda port: udp(port, chksum=0) / Raw(b"question")),
}
# By how the names of services end.
FATES = {"unresolved": "unresolved", "down": "backend-down", "without source": "no-source"}
SHAPES4 = SHAPES | {
    "DF": ({"flags": "DF"}, lambda port: tcp(port, "A", ack=7)),
    "ECN CE, DSCP 0": ({"tos": 3}, lambda port: tcp(port, "A", ack=7)),
    "every TOS bit": ({"tos": 255}, lambda port: udp(port) / Raw(b"q")),
    "identification 0": ({"id": 0}, lambda port: tcp(port, "A", ack=7)),
    "one word of options": ({"options": nops(1)}, lambda port: tcp(port)),
    "as many options as fit": ({"options": nops(10)}, lambda port: udp(port) / Raw(b"question")),
}
SHAPES6 = SHAPES | {
    "ECN CE, DSCP 0": ({"tc": 3}, lambda port: tcp(port, "A", ack=7)),
    "every traffic class bit": ({"tc": 255}, lambda port: udp(port) / Raw(b"q")),
    "no flow label": ({"fl": 0}, lambda port: tcp(port, "A", ack=7)),
    "hop-by-hop": ({}, lambda port: IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
                   / tcp(port)),
    "destination options": ({}, lambda port: IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)])
                            / udp(port) / Raw(b"question")),
    "hop-by-hop and destination options": (
        {}, lambda port: IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / tcp(port)),
}


def fate_of(service):
    """Of a packet that fits."""
    for state, fate in FATES.items():
        if service.name.endswith(state):
            return fate
    if service.backend.method == "local":
        return "PASS"
    return "REDIRECT" if service.backend.port in (7, 9) else "TX"


def address_in(service):
    """Of a prefix an address that is neither its first nor its last."""
    network = service.network
    return str(network[0] if network.num_addresses == 1 else network[-3])


def methods(world):
    for service in world.services.values():
        if service.wild:
            continue
        family = service.network.version
        for shape, (fields, transport) in (SHAPES4 if family == 4 else SHAPES6).items():
            if family == 6 and shape == "UDP without checksum":
                continue
            frame = (ethernet() / ip(family, address_in(service), **fields)
                     / transport(service.first))
            yield Row(f"{service.name}: {shape}", [bytes(frame)], fate_of(service))


def tags(world):
    for service in world.services.values():
        for vlans in (7,), (7, 8):
            frame = (ethernet(vlans) / ip(service.network.version, address_in(service))
                     / tcp(service.first or 80))
            yield Row(f"{service.name}: {len(vlans)} tags", [bytes(frame)], fate_of(service))


# --- what is wrong ---

def at_l4(frame):
    return 14 + (4 * (frame[14] & 15) if frame[12:14] == b"\x08\0" else 40)


def put(frame, at, value, size=1):
    return frame[:at] + value.to_bytes(size, "big") + frame[at + size:]


def length_at(frame):
    return 16 if frame[12:14] == b"\x08\0" else 18


def longer(frame, by):
    at = length_at(frame)
    return put(frame, at, int.from_bytes(frame[at:at + 2], "big") + by, 2)


WRONG = {
    "version 5": (lambda f: put(f, 14, 0x50 | f[14] & 15), "malformed"),
    "length 0": (lambda f: put(f, length_at(f), 0, 2), "malformed"),
    "length one less than the TCP header": (lambda f: longer(f, -21), "malformed"),
    "length one more than the frame": (lambda f: longer(f, 1), "truncated"),
    "length 65535": (lambda f: put(f, length_at(f), 65535, 2), "truncated"),
    "data offset 4": (lambda f: put(f, at_l4(f) + 12, 0x40), "malformed"),
    "data offset 15": (lambda f: put(f, at_l4(f) + 12, 0xf0), "malformed"),
}
WRONG4 = WRONG | {
    "IHL 4": (lambda f: put(f, 14, 0x44), "malformed"),
    "IHL 15": (lambda f: put(f, 14, 0x4f), "malformed"),
    "length 19": (lambda f: put(f, 16, 19, 2), "malformed"),
}
WRONG_UDP = {
    "UDP length 7": (lambda f: put(f, at_l4(f) + 4, 7, 2), "malformed"),
    "UDP length 0": (lambda f: put(f, at_l4(f) + 4, 0, 2), "malformed"),
    "UDP length beyond the packet": (lambda f: put(f, at_l4(f) + 4, 8 + 21, 2), "malformed"),
}


def malformed(world):
    for family in 4, 6:
        for vlans in (), (7,), (7, 8):
            for what, transport, wrongs in (("TCP", tcp(80), WRONG4 if family == 4 else WRONG),
                                            ("UDP", udp(80), WRONG_UDP)):
                frame = bytes(ethernet() / ip(family, VIP[family]) / transport / Raw(b"x" * 20))
                tag = b"".join(struct.pack("!HH", 0x8100 if i == len(vlans) - 1 else 0x88a8, vlan)
                               for i, vlan in enumerate(vlans))
                for name, (edit, fate) in wrongs.items():
                    edited = edit(frame)
                    yield Row(f"{what} in IPv{family} with {len(vlans)} tags: {name}",
                              [edited[:12] + tag + edited[12:]], fate)
                    elsewhere = bytes(ethernet() / ip(family, OTHER[family]) / transport
                                      / Raw(b"x" * 20))
                    if not vlans:
                        yield Row(f"{what} in IPv{family} for no VIP: {name}", [edit(elsewhere)],
                                  "PASS")


def truncated(world):
    """Every packet that ends too early, at every byte from the Ethernet header on."""
    for family in 4, 6:
        for name, transport in ("TCP", tcp(80)), ("UDP", udp(80)):
            frame = bytes(ethernet() / ip(family, VIP[family]) / transport / Raw(b"data"))
            header = 34 if family == 4 else 54
            for n in range(14, len(frame)):
                yield Row(f"{name} in IPv{family}: {n} bytes of {len(frame)}", [frame[:n]],
                          "PASS" if n < header else "truncated")


# --- services of more than one port or address ---

def wildcards(world):
    for family, base in (4, "203.0.113."), (6, "2001:db8:a::"):
        def row(name, vip, transport, fate, **fields):
            return Row(f"IPv{family}: {name}",
                       [bytes(ethernet() / ip(family, vip, **fields) / transport)], fate)

        wide, longer, longest = (("203.0.113.70", "203.0.113.110", "203.0.113.99") if family == 4
                                 else ("2001:db8:a:9000::5", "2001:db8:a:8100:1::5",
                                       "2001:db8:a:8100::7"))
        beyond = "203.0.113.128" if family == 4 else "2001:db8:a:7fff::5"
        yield row("the first port of a range", VIP[family], tcp(8000), "TX")
        yield row("the last port of a range", VIP[family], udp(8099), "TX")
        yield row("below a range", VIP[family], tcp(7999), "PASS")
        yield row("above a range", VIP[family], tcp(8100), "PASS")
        yield row("SCTP to a range", VIP[family], SCTP(dport=8000), "PASS")
        for port in 0, 1, 80, 65535:
            yield row(f"any port: {port}", base + "1", tcp(port), "TX")
        yield row("UDP to any port of TCP", base + "1", udp(80), "PASS")
        for name, transport in (("TCP", tcp(80)), ("UDP", udp(80)), ("SCTP", SCTP(dport=80)),
                                ("GRE", GRE() / Raw(b"x" * 8)), ("ESP", ESP(data=b"x" * 24)),
                                ("AH", AH(nh=6, payloadlen=4, icv=b"x" * 12) / tcp(80))):
            yield row(f"portless: {name}", base + "2", transport, "TX")
            yield row(f"portless by tos: {name}", base + "3", transport,
                      "not-rewritable" if name == "AH" else "TX")
        yield row("portless: no next header", base + "2", Raw(b""), "TX",
                  **({"proto": 59} if family == 4 else {"nh": 59}))
        yield row("the wide prefix", wide, tcp(80), "TX")
        yield row("the wide prefix, another port", wide, tcp(81), "PASS")
        yield row("the longer prefix", longer, tcp(80), "TX")
        yield row("the longer prefix, another port", longer, tcp(81), "PASS")
        yield row("the longest prefix", longest, tcp(80), "TX")
        yield row("the longest prefix, GRE", longest, GRE() / Raw(b"x" * 8), "TX")
        yield row("next to the prefixes", beyond, tcp(80), "PASS")
        yield row("malformed, to a prefix", wide, tcp(80, dataofs=3), "malformed")


# --- checksums of zero ---

def zeros(world):
    """Each of the two zeros of ones' complement where it belongs."""
    for service in world.services.values():
        family, vip = service.network.version, address_in(service)
        backend, port = service.backend, service.first or 80
        if service.wild or fate_of(service) not in ("TX", "REDIRECT"):
            continue
        if backend.method == "tos":
            there = ip(family, backend.address) / udp(port) / Raw(bytes(2))
            data = Raw(there.__class__(bytes(there))[UDP].chksum.to_bytes(2, "big"))
            yield Row(f"{service.name}: a UDP checksum of zero is written as the other one",
                      [bytes(ethernet() / ip(family, vip) / udp(port) / data)], fate_of(service))
        elif (backend.method, backend.family, family) in (("ipip", 4, 4), ("gue", 4, 4)):
            packet = ip(4, vip) / udp(port)
            outer = IP(src=world.ports[backend.port].source[4], dst=backend.address, tos=0xb9, id=0,
                       proto=4 if backend.method == "ipip" else 17,
                       len=len(packet) + overhead(service))
            ident = IP(bytes(outer)).chksum
            yield Row(f"{service.name}: an outer checksum of zero",
                      [bytes(ethernet() / ip(4, vip, id=ident) / udp(port))], fate_of(service))


# --- what does not fit ---

def sizes(world):
    """Packets of just the size that fits, and of one byte more."""
    for service in world.services.values():
        family = service.network.version
        header = 40 if family == 4 else 60
        if service.wild or service.backend.method == "local" or fate_of(service) not in (
                "TX", "REDIRECT"):
            continue
        fits = service.backend.mtu - overhead(service)
        for more in 0, 1:
            for flag in ("DF", 0) if family == 4 else (None,):
                fields = {} if flag is None else {"flags": flag}
                frame = (ethernet() / ip(family, address_in(service), **fields)
                         / tcp(service.first, "A") / Raw(bytes(fits + more - header)))
                fate = "too-big" if more else fate_of(service)
                yield Row(f"{service.name}: {fits + more} bytes, {flag or 'fragments allowed'}",
                          [bytes(frame)], fate)
    for family in 4, 6:
        fields = {"flags": "DF"} if family == 4 else {}
        frame = (ethernet((7, 8)) / ip(family, VIP[family], **fields) / udp(80)
                 / Raw(bytes(1480 if family == 4 else 1460)))
        yield Row(f"IPv{family}: too big, with tags", [bytes(frame)], "too-big")
        for source in (("224.0.0.1", "127.0.0.1", "0.0.0.0") if family == 4 else
                       ("ff02::1", "::1", "::")):
            frame = (ethernet() / ip(family, VIP[family], src=source, **fields) / udp(80)
                     / Raw(bytes(1480 if family == 4 else 1460)))
            yield Row(f"IPv{family}: too big, from {source}", [bytes(frame)], "too-big")


def overhead(service):
    backend = service.backend
    outer = 20 if backend.family == 4 else 40
    return {"ipip": outer, "gue": outer + 8 + backend.gue_header}.get(backend.method, 0)


# --- the MSS of SYNs ---

def segments(world):
    option_sets = {
        "none": [],
        "above": [("MSS", 1460)],
        "below": [("MSS", 536)],
        "equal": [("MSS", 1360)],
        "one above": [("MSS", 1401)],
        "at an odd byte": [("NOP", None), ("MSS", 1460)],
        "behind others": [("SAckOK", b""), ("Timestamp", (1, 2)), ("NOP", None), ("MSS", 65535)],
        "behind the end": [("EOL", None), ("MSS", 1460)],
        "two": [("MSS", 1460), ("MSS", 1450)],
    }
    for service in world.services.values():
        if not service.mss:
            continue
        family = service.network.version
        for flags in "S", "SA", "SEC", "A", "SR":
            for name, options in option_sets.items():
                frame = (ethernet() / ip(family, address_in(service))
                         / tcp(service.first, flags, options=options))
                yield Row(f"{service.name}: {flags}, MSS {name}", [bytes(frame)],
                          fate_of(service), whole=name != "behind the end")
        for raw in b"\x02\x04\x05", b"\x02\x00\x05\xb4", b"\x02\x03\x05\xb4", b"\x01\x01\x02\x04":
            frame = bytes(ethernet() / ip(family, address_in(service))
                          / tcp(service.first, options=[("NOP", None)] * 4))
            yield Row(f"{service.name}: options {raw.hex()}", [frame[:-len(raw)] + raw],
                      fate_of(service), whole=False)


# --- fragments ---

def parts(frame, size=64):
    """The frame's packet in fragments."""
    link = Ether(frame)
    packet = link[IP] if IP in link else link[IPv6]
    cut = fragment(packet, size) if IP in link else fragment6(packet, size + 48)
    head = frame[:len(link) - len(packet)]
    return [head + bytes(part) for part in cut]


def fragmented(family, vip, transport, vlans=(), **fields):
    packet = ip(family, vip, **fields)
    if family == 6:
        packet /= IPv6ExtHdrFragment(id=0x12345678)
    return parts(bytes(ethernet(vlans) / packet / transport))


def fragments(world):
    for service in world.services.values():
        family, fate = service.network.version, fate_of(service)
        port = service.first or 80
        later = fate if fate in ("TX", "REDIRECT", "PASS") else "fragment"
        for name, transport in (("TCP", tcp(port, "PA") / Raw(bytes(range(150)))),
                                ("UDP", udp(port) / Raw(bytes(range(150))))):
            if name == "UDP" and service.protocols == (6,):
                continue
            cut = fragmented(family, address_in(service), transport)
            yield Row(f"{service.name}: first fragment of {name}", cut[:1], fate)
            yield Row(f"{service.name}: second fragment of {name}", cut[:2], later)
            yield Row(f"{service.name}: last fragment of {name}", [cut[0], cut[-1]], later)
            alone = later if service.portless else "fragment"
            yield Row(f"{service.name}: second fragment of {name} alone", cut[1:2], alone)
    for family in 4, 6:
        yield from odd_fragments(family)


def odd_fragments(family):
    vip, transport = VIP[family], udp(80) / Raw(bytes(range(150)))
    cut = fragmented(family, vip, transport)

    def row(name, frames, fate):
        return Row(f"IPv{family}: {name}", frames, fate)

    yield row("fragments with tags", fragmented(family, vip, transport, (7,))[:2], "TX")
    yield row("the first with a tag, the second without",
              [fragmented(family, vip, transport, (7,))[0], cut[1]], "TX")
    yield row("fragment of another client",
              [cut[0], fragmented(family, vip, transport,
                                  src="198.51.100.8" if family == 4 else "2001:db8:1::8")[1]],
              "fragment")
    yield row("fragment for another VIP",
              [cut[0], fragmented(family, "203.0.113.1" if family == 4 else "2001:db8:a::1",
                                  transport)[1]], "fragment")
    yield row("fragment of another packet", [cut[0], other_id(cut[1], family)], "fragment")
    yield row("fragments in the wrong order", [cut[1], cut[0]], "TX")
    yield row("first fragment for no service",
              fragmented(family, vip, udp(7) / Raw(bytes(99)))[:1], "PASS")
    yield row("fragment for no VIP", fragmented(family, OTHER[family], transport)[1:2], "PASS")
    echo = ICMP() if family == 4 else ICMPv6EchoRequest()
    yield row("first fragment of an echo request",
              fragmented(family, vip, echo / Raw(bytes(99)))[:1], "fragment")
    yield row("second fragment of an echo request",
              fragmented(family, vip, echo / Raw(bytes(99)))[1:2], "fragment")
    tiny = tcp(80)
    if family == 4:
        frame = ethernet() / IP(src="198.51.100.7", dst=vip, flags="MF", proto=6) / Raw(bytes(tiny)[:16])
        yield row("a TCP header in two fragments", [bytes(frame)], "malformed")
        frame = ethernet() / IP(src="198.51.100.7", dst=vip, frag=1, proto=6) / Raw(bytes(40))
        yield row("a fragment over the TCP header", [bytes(frame)], "malformed")
        frame = ethernet() / IP(src="198.51.100.7", dst=vip, frag=8191, proto=17) / Raw(bytes(40))
        yield row("a fragment beyond all packets", [bytes(frame)], "malformed")
    else:
        frame = ethernet() / ip(6, vip) / IPv6ExtHdrFragment(id=5, nh=17) / transport
        yield row("an atomic fragment", [bytes(frame)], "TX")
        frame = ethernet() / ip(6, vip) / IPv6ExtHdrFragment(m=1, nh=6) / Raw(bytes(tiny)[:16])
        yield row("a TCP header in two fragments", [bytes(frame)], "malformed")
        frame = ethernet() / ip(6, vip) / IPv6ExtHdrFragment(offset=8191, nh=17) / Raw(bytes(40))
        yield row("a fragment beyond all packets", [bytes(frame)], "malformed")


def other_id(frame, family):
    at = 18 if family == 4 else 14 + 40 + 4
    return put(frame, at, 0x4321, 2)


# --- headers between IPv6 and the transport ---

def extensions(world):
    kinds = {"hop-by-hop": IPv6ExtHdrHopByHop, "destination": IPv6ExtHdrDestOpt,
             "routing": lambda: IPv6ExtHdrRouting(type=4, segleft=0)}
    for method, port in ("ipip", 80), ("tos", 86):
        for n in (1, 2, 5, 6, 7, 8, 9):
            for kind, header in kinds.items():
                packet = ip(6, VIP[6])
                for _ in range(n):
                    packet /= header()
                fate = "TX" if n <= 8 else "ipv6-extension"
                yield Row(f"{method}: {n} headers, {kind}",
                          [bytes(ethernet() / packet / tcp(port))], fate)
    for method, port, fate in ("ipip", 80, "TX"), ("tos", 86, "not-rewritable"):
        frame = (ethernet() / ip(6, VIP[6])
                 / IPv6ExtHdrRouting(type=2, segleft=1, addresses=["2001:db8::5"]) / udp(port))
        yield Row(f"{method}: a source route", [bytes(frame)], fate, whole=False)
    for nh in 135, 139, 140, 253, 254:
        frame = ethernet() / ip(6, VIP[6], nh=nh) / Raw(bytes(16))
        yield Row(f"header {nh}", [bytes(frame)], "ipv6-extension")
        frame = ethernet() / ip(6, OTHER[6], nh=nh) / Raw(bytes(16))
        yield Row(f"header {nh} for no VIP", [bytes(frame)], "PASS")
    for length in 0, 1, 5, 255:
        frame = ethernet() / ip(6, VIP[6], nh=60) / Raw(bytes([6, length]) + bytes(6))
        yield Row(f"destination options of {length} units, and nothing else", [bytes(frame)],
                  "malformed")
    for size in range(8):
        frame = ethernet() / ip(6, VIP[6], nh=0) / Raw(bytes(size))
        yield Row(f"{size} bytes of hop-by-hop options", [bytes(frame)], "malformed")


# --- ICMP ---

def quoted(family, vip, port, **fields):
    """What a backend sent to the client."""
    packet = (IP(src=vip, dst="198.51.100.7", id=7, **fields) if family == 4
              else IPv6(src=vip, dst="2001:db8:1::7", **fields))
    return packet / TCP(sport=port, dport=40000, flags="A", seq=99)


ERRORS = {
    4: {"unreachable": lambda: ICMP(type=3, code=1), "too big": lambda: ICMP(type=3, code=4),
        "time exceeded": lambda: ICMP(type=11), "parameter": lambda: ICMP(type=12)},
    6: {"unreachable": ICMPv6DestUnreach, "too big": lambda: ICMPv6PacketTooBig(mtu=1300),
        "time exceeded": ICMPv6TimeExceeded, "parameter": ICMPv6ParamProblem},
}
ROUTER = {4: "198.51.100.1", 6: "2001:db8:1::1"}


def errors(world):
    for service in world.services.values():
        family, vip, port = service.network.version, address_in(service), service.first or 80
        for name, message in ERRORS[family].items():
            frame = (ethernet() / ip(family, vip, src=ROUTER[family]) / message()
                     / quoted(family, vip, port))
            yield Row(f"{service.name}: {name}", [bytes(frame)], fate_of(service))
    for family in 4, 6:
        def row(name, quote, fate, message=ERRORS[family]["unreachable"], vip=VIP[family], **kind):
            frame = (ethernet(**kind) / ip(family, vip, src=ROUTER[family]) / message() / quote)
            return Row(f"IPv{family} error: {name}", [bytes(frame)], fate)

        usual = quoted(family, VIP[family], 80)
        header = 20 if family == 4 else 40
        yield row("as few bytes as are allowed", Raw(bytes(usual)[:header + 8]), "TX")
        yield row("four bytes of the ports", Raw(bytes(usual)[:header + 4]), "TX")
        yield row("three bytes of the ports", Raw(bytes(usual)[:header + 3]), "no-service")
        yield row("half a header", Raw(bytes(usual)[:header - 1]), "no-service")
        yield row("nothing", Raw(b""), "no-service")
        yield row("no service's port", quoted(family, VIP[family], 7), "no-service")
        yield row("another source", quoted(family, OTHER[family], 80), "no-service")
        yield row("for no VIP", quoted(family, OTHER[family], 80), "PASS", vip=OTHER[family])
        yield row("tags", usual, "TX", tags=(7, 8))
        yield row("UDP", Raw(bytes(ip(family, "198.51.100.7" if family == 4 else "2001:db8:1::7",
                                      src=VIP[family]) / UDP(sport=80, dport=40000))), "TX")
        yield row("an echo of ours", Raw(bytes(ip(
            family, ROUTER[family], src=VIP[family])
            / (ICMP(type=0) if family == 4 else ICMPv6EchoReply()))), "no-service")
        if family == 4:
            yield row("a later fragment", quoted(4, VIP[4], 80, frag=5), "no-service")
            yield row("options", quoted(4, VIP[4], 80, options=nops(3)), "TX")
        else:
            for n in 1, 4, 5:
                packet = IPv6(src=VIP[6], dst="2001:db8:1::7")
                for _ in range(n):
                    packet /= IPv6ExtHdrDestOpt()
                yield row(f"{n} headers", packet / TCP(sport=80, dport=40000),
                          "TX" if n < 5 else "no-service")
        too_big = quoted(family, VIP[family], 80) / Raw(bytes(1500))
        yield row("larger than the path", Raw(bytes(too_big)[:1500 - header - 8 - 1]), "too-big")


def others(world):
    for family in 4, 6:
        request = ((lambda **f: ICMP(type=8, id=5, seq=6, **f)) if family == 4
                   else (lambda **f: ICMPv6EchoRequest(id=5, seq=6, **f)))

        def row(name, transport, fate, vlans=(), vip=VIP[family], whole=True, **fields):
            return Row(f"IPv{family}: {name}",
                       [bytes(ethernet(vlans) / ip(family, vip, **fields) / transport)], fate,
                       whole)

        for size in 0, 1, 56, 1400:
            data = (bytes(range(256)) * 6)[:size]
            yield row(f"echo of {size} bytes", request() / Raw(data), "echo")
        yield row("echo with tags", request() / Raw(b"ping"), "echo", (7, 8))
        yield row("echo to a prefix", request() / Raw(b"ping"), "echo",
                  vip="203.0.113.70" if family == 4 else "2001:db8:a:9000::1")
        yield row("echo to a portless VIP", request() / Raw(b"ping"), "echo",
                  vip="203.0.113.2" if family == 4 else "2001:db8:a::2")
        yield row("echo for no VIP", request() / Raw(b"ping"), "PASS", vip=OTHER[family])
        yield row("echo with another code", request(code=3) / Raw(b"ping"), "echo")
        yield row("echo with a wrong checksum",
                  request(**{"chksum" if family == 4 else "cksum": 0x1234}) / Raw(b"ping"), "echo",
                  whole=False)
        for check in 0, 0xffff, 0xf7ff, 0xfeff:
            yield row(f"echo with checksum {check:x}",
                      request(**{"chksum" if family == 4 else "cksum": check}), "echo",
                      whole=False)
        for source in (("224.0.0.1", "127.0.0.1", "0.1.2.3", "255.255.255.255") if family == 4 else
                       ("ff02::1", "::1", "::")):
            yield row(f"echo from {source}", request(), "malformed", src=source)
        if family == 4:
            yield row("echo with options", request(), "icmp-other", options=nops(1))
            kinds = [0, 4, 5, 9, 10, 13, 14, 15, 17, 18, 30, 40, 42, 255]
            for kind in kinds:
                yield row(f"ICMP type {kind}", ICMP(type=kind) / Raw(bytes(20)), "icmp-other")
        else:
            yield Row("IPv6: echo behind hop-by-hop options",
                      [bytes(ethernet() / ip(6, VIP[6]) / IPv6ExtHdrHopByHop() / request())],
                      "icmp-other")
            for kind in 0, 5, 100, 127, 129, 130, 131, 132, 138, 143, 160, 255:
                yield row(f"ICMPv6 type {kind}", Raw(bytes([kind]) + bytes(27)), "icmp-other",
                          nh=58)
            for kind in 133, 134, 135, 136, 137:
                yield row(f"ICMPv6 type {kind}", Raw(bytes([kind]) + bytes(27)), "PASS", nh=58)
        whole = bytes(request())
        for size in range(1, 8):
            yield row(f"{size} bytes of ICMP", Raw(whole[:size]), "malformed",
                      **({"proto": 1} if family == 4 else {"nh": 58}))


# --- errors about tunnels ---

def inside(world):
    """A router between here and a backend could not pass a tunnel packet on."""
    for service in world.services.values():
        backend, family = service.backend, service.network.version
        if backend.method not in ("ipip", "gue") or service.varied[1] or not fate_of(service):
            continue
        outer = backend.family
        node = "10.0.0.1" if outer == 4 else "2001:db8:ff::1"
        fields = {"flags": "DF"} if family == 4 else {}
        client = bytes(ip(family, address_in(service), **fields)
                       / tcp(service.first or 80, "A") / Raw(bytes(1420)))
        tunnel = (IP(src=node, dst=backend.address, flags="DF") if outer == 4
                  else IPv6(src=node, dst=backend.address))
        if backend.method == "gue":
            tunnel /= UDP(sport=50000, dport=6080, chksum=0)
            tunnel /= Raw(bytes([0, 4 if family == 4 else 41, 0, 0])[:backend.gue_header])
        quote = bytes(tunnel / Raw(client))
        if backend.method == "ipip":
            protocol = 4 if family == 4 else 41
            quote = put(quote, 9 if outer == 4 else 6, protocol)
        for mtu in 1400, 1280, 1279, 500, 0:
            message = (ICMP(type=3, code=4, nexthopmtu=mtu) if outer == 4
                       else ICMPv6PacketTooBig(mtu=mtu))
            short = overhead(service) + (28 if family == 4 else 48)
            for what, size in ("much", 500), ("enough", short), ("too little", short - 1):
                router = "10.1.0.1" if outer == 4 else "2001:db8:ee::1"
                frame = (ethernet() / ip(outer, node, src=router) / message / Raw(quote[:size]))
                fate = "PASS" if what == "too little" else "too-big-inside"
                # RFC 8201, section 4: less than 1280 is discarded.
                if fate != "PASS" and (mtu < 1280 if outer == 6 else not mtu):
                    fate = "icmp-other"
                yield Row(f"{service.name}: MTU {mtu} inside, {what} quoted", [bytes(frame)], fate)


ROWS = [methods, tags, malformed, truncated, wildcards, zeros, sizes, segments, fragments,
        extensions, errors, others, inside]


def all_rows(world):
    return [row for rows in ROWS for row in rows(world)]

# SPDX-License-Identifier: GPL-2.0-only
"""ICMP (RFC 792, RFC 4443) for a VIP and about tunnels: what is answered, and whose an error is."""
import ipaddress
import struct

from departure import Dropped, Passed
from headers import (DESTINATION, FRAGMENT, HOP_BY_HOP, ICMP, ICMP6, ROUTING, TCP,
                     TTL, UDP, checksum, ip4_header, ip6_header, pseudo_header, updated)
from world import OWN_MAC, Outcome

ECHO = {4: (8, 0), 6: (128, 129)}  # request, reply
ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}  # quench is none any more (RFC 6633)
NEIGHBOUR = range(133, 138)  # RFC 4861: the stack's
TOO_BIG = {4: (3, 4), 6: (2, 0)}
QUOTED_EXTENSIONS = 4
# RFC 1812, section 4.3.2.3, less a tunnel's header; RFC 4443, section 2.4 (c).
QUOTE = {4: 576 - 20 - 28, 6: 1280 - 48}
QUOTED_INSIDE = {4: 28, 6: 48}  # as little as may be
SMALLEST6 = 1280
SMALLEST4 = 576  # of a path: less is not believed


def is_icmp(packet):
    return packet.protocol == (ICMP if packet.family == 4 else ICMP6)


def can_be_told(source):
    """RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e): the source is one host's."""
    ip = ipaddress.ip_address(source)
    if ip.version == 4:
        return source[0] not in (0, 127) and source[0] < 224
    return not ip.is_multicast and source[:8] != bytes(8)


def with_zero_of(expected, seen):
    """Ones' complement has two zeros; a receiver takes either, unless all it covers is zero."""
    return seen if {expected, seen} == {0, 0xffff} else expected


# --- echo ----------------------------------------------------------------------------------------

def echo(packet, frame, rate, seen):
    """The frame with its addresses exchanged."""
    if not rate:
        raise Dropped("echo-off")
    if frame[6] & 1 or not can_be_told(packet.source):
        raise Dropped("malformed")
    if packet.fragment:
        raise Dropped("fragment")
    if packet.l4 != (20 if packet.family == 4 else 40):
        raise Dropped("icmp-other")
    request, reply = ECHO[packet.family]
    data = bytearray(packet.data)
    if packet.family == 4:
        old = bytes(data[8:10])
        data[8] = TTL
        check = updated(int.from_bytes(data[10:12], "big"), old, bytes(data[8:10]))
        data[10:12] = check.to_bytes(2, "big")
        data[12:16], data[16:20] = packet.destination, packet.source
    else:
        data[7] = TTL
        data[8:24], data[24:40] = packet.destination, packet.source
    at = packet.l4
    check = updated(int.from_bytes(data[at + 2:at + 4], "big"), bytes([request, data[at + 1]]),
                    bytes([reply, data[at + 1]]))
    shift = len(frame) - len(packet.data) - len(packet.rest)
    check = with_zero_of(check, int.from_bytes(seen[shift + at + 2:shift + at + 4], "big"))
    data[at] = reply
    data[at + 2:at + 4] = check.to_bytes(2, "big")
    return frame[6:12] + OWN_MAC + frame[12:shift] + bytes(data) + packet.rest


# --- errors about a flow -------------------------------------------------------------------------

def quoted_flow(packet):
    """Protocol and ports, as the client sees them, of the packet that an error is about: the
    backend sent it from the VIP."""
    quote = packet.transport[8:]
    source, protocol, rest = (quoted4 if packet.family == 4 else quoted6)(quote)
    if source != packet.destination:
        raise Dropped("no-service")
    ports = None
    if protocol in (TCP, UDP):
        if len(rest) < 4:
            raise Dropped("no-service")
        ports = struct.unpack("!HH", rest[:4])[::-1]
    return protocol, ports


def quoted4(quote):
    if len(quote) < 20 or quote[0] >> 4 != 4 or quote[0] & 15 < 5:
        raise Dropped("no-service")
    if int.from_bytes(quote[6:8], "big") & 0x1fff:
        raise Dropped("no-service")  # a later fragment has no ports
    return quote[12:16], quote[9], quote[4 * (quote[0] & 15):]


def quoted6(quote):
    if len(quote) < 40 or quote[0] >> 4 != 6:
        raise Dropped("no-service")
    source, protocol, rest = quote[8:24], quote[6], quote[40:]
    for _ in range(QUOTED_EXTENSIONS):
        if protocol not in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION):
            break
        if len(rest) < 4:
            raise Dropped("no-service")
        size = 8 if protocol == FRAGMENT else 8 * (rest[1] + 1)
        if protocol == FRAGMENT and int.from_bytes(rest[2:4], "big") & 0xfff8:
            raise Dropped("no-service")
        protocol, rest = rest[0], rest[size:]
    return source, protocol, rest


# --- packet too big ------------------------------------------------------------------------------

def may_be_told(packet, fits):
    if packet.family == 4:
        return (packet.flags and not (packet.fragment and packet.fragment[1])
                and packet.protocol != ICMP and len(packet.data) > fits
                and can_be_told(packet.source))
    return (packet.protocol != ICMP6 and len(packet.data) > max(fits, SMALLEST6)
            and can_be_told(packet.source))


def too_big(family, neighbour, tags, client, vip, fits, quote):
    """The frame that tells the client; RFC 1191, RFC 8201."""
    kind, code = TOO_BIG[family]
    if family == 4:
        message = struct.pack("!BBHHH", kind, code, 0, 0, fits) + quote
        message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
        # RFC 1812, section 4.3.2.5: the precedence of internetwork control.
        header = ip4_header(0xc0, 20 + len(message), 0, 0x4000, ICMP, vip, client)
    else:
        message = struct.pack("!BBHI", kind, code, 0, max(fits, SMALLEST6)) + quote
        check = checksum(pseudo_header(vip, client, len(message), ICMP6) + message)
        message = message[:2] + check.to_bytes(2, "big") + message[4:]
        header = ip6_header(0, 0, len(message), ICMP6, vip, client)
    ether_type = b"\x08\0" if family == 4 else b"\x86\xdd"
    return neighbour + OWN_MAC + tags + ether_type + header + message


# --- errors about tunnels ------------------------------------------------------------------------

def inside(frame, tags, packet, is_vip):
    """A router says that a tunnel packet of ours did not fit: the client is told."""
    error = packet.transport
    if packet.fragment or len(error) < 8 or error[0] != TOO_BIG[packet.family][0]:
        raise Passed
    if packet.family == 4 and error[1] != TOO_BIG[4][1]:
        raise Passed  # RFC 4443: IPv6 has no other code, or it does not matter
    mtu = int.from_bytes(error[6:8] if packet.family == 4 else error[4:8], "big")
    outer = error[8:]
    family, inner = inside_outer(outer, packet)
    size = 20 if family == 4 else 40
    if len(inner) < size or mtu > 0xffff:
        raise Passed
    source, destination = ((inner[12:16], inner[16:20]) if family == 4
                           else (inner[8:24], inner[24:40]))
    if not is_vip(destination) or len(inner) < QUOTED_INSIDE[family]:
        raise Passed
    # RFC 8201, section 4: discarded, and nobody is told; RFC 1191, section 5: the router is old.
    if frame[6] & 1 or (mtu < SMALLEST6 if packet.family == 6 else not mtu):
        raise Dropped("icmp-other")
    fits = max(mtu, SMALLEST4) - (len(outer) - len(inner))
    if not may_be_told_inside(family, inner, source, fits):
        raise Dropped("icmp-other")
    out = too_big(family, frame[6:12], tags, source, destination, fits,
                  inner[:QUOTED_INSIDE[family]])
    return Outcome("TX", (), ("too-big-inside",), (), out)


def inside_outer(outer, packet):
    """Family and bytes of what is behind the outer header that is quoted."""
    if packet.family == 4:
        ours = len(outer) >= 20 and outer[0] == 0x45 and outer[12:16] == packet.destination
        protocol, rest = (outer[9], outer[20:]) if ours else (None, b"")
    else:
        ours = len(outer) >= 40 and outer[0] >> 4 == 6 and outer[8:24] == packet.destination
        protocol, rest = (outer[6], outer[40:]) if ours else (None, b"")
    if protocol == UDP and len(rest) >= 10:
        if rest[8] == 0 and rest[9] in (4, 41):
            return (4 if rest[9] == 4 else 6), rest[12:]
        version = rest[8] >> 4  # variant 1: the packet itself
        return version, rest[8:] if version in (4, 6) else b""
    if protocol not in (4, 41):
        raise Passed
    return (4 if protocol == 4 else 6), rest


def may_be_told_inside(family, inner, source, fits):
    if not can_be_told(source):
        return False
    if family == 4:
        flags = int.from_bytes(inner[6:8], "big")
        return (inner[0] & 15 == 5 and flags & 0x4000 and not flags & 0x1fff and inner[9] != ICMP
                and int.from_bytes(inner[2:4], "big") > fits)
    return inner[6] != ICMP6 and 40 + int.from_bytes(inner[4:6], "big") > max(fits, SMALLEST6)

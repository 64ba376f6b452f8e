# SPDX-License-Identifier: GPL-2.0-only
"""Headers and checksums, from the RFCs, for the reference of the data plane."""
import struct
from dataclasses import dataclass

IPV4, IPV6, QTAG, STAG = 0x0800, 0x86dd, 0x8100, 0x88a8
ICMP, TCP, UDP, DCCP, ICMP6, UDPLITE = 1, 6, 17, 33, 58, 136
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
WALKED = HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION
UNKNOWN = 135, 139, 140, 253, 254  # extension headers to IANA that few packets have
TTL = 64


def ones_sum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def checksum(data):
    """RFC 1071."""
    return ~ones_sum(data) & 0xffff


def updated(check, old, new):
    """RFC 1624, equation 3: a checksum after `old` in what it covers became `new`."""
    total = (~check & 0xffff) + (~ones_sum(old) & 0xffff) + ones_sum(new)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def pseudo_header(source, destination, length, protocol):
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!II", length, protocol)


def ip4_header(tos, length, ident, flags, protocol, source, destination, ttl=TTL):
    header = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, tos, length, ident, flags, ttl, protocol,
                                   0, source, destination))
    header[10:12] = checksum(header).to_bytes(2, "big")
    return bytes(header)


def ip6_header(traffic_class, label, length, protocol, source, destination, limit=TTL):
    return struct.pack("!IHBB16s16s", 6 << 28 | traffic_class << 20 | label, length, protocol,
                       limit, source, destination)


@dataclass
class Packet:
    """An IP packet and what was around it."""
    family: int
    data: bytes  # the packet, without what the frame has behind it
    rest: bytes  # of the frame
    source: bytes
    destination: bytes
    tos: int
    protocol: int = 0
    l4: int = 0  # where the transport header begins, or would in another fragment
    ident: int = 0
    flags: int = 0  # IPv4: DF where the header has it
    fragment: tuple = None  # (identification, offset) of a part of a packet
    ports: tuple = None  # if it has them, and in this fragment
    extensions: int = 0  # headers of IPv6 before the transport header
    routed: bool = False  # a source route of IPv6 has not come to its end
    tags: bytes = b""

    @property
    def later(self):
        """It is a fragment other than the first."""
        return self.fragment is not None and self.fragment[1] > 0

    @property
    def transport(self):
        return self.data[self.l4:]

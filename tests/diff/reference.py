# SPDX-License-Identifier: GPL-2.0-only
"""What the data plane must do with a frame: verdict, counters and the whole frame that leaves.

Written from the RFCs and the manual, with nothing of bpf/ in it. Fields that may vary with the flow
(an outer source within its prefix, flow label, the source port of GUE) are taken from what was seen
and must only lie where they may.
"""
import dataclasses
import ipaddress
import struct

import icmp
from departure import Dropped, Leaving, Passed, TooBig
from headers import (FRAGMENT, IPV4, IPV6, QTAG, ROUTING, STAG, TCP, UDP, UNKNOWN, WALKED, Packet,
                     updated)
from world import LOCAL, OWN_MAC, Outcome

EXTENSIONS_MAX = 8
SYN = 2
MSS, NOP, END = 2, 1, 0


class Reference:
    def __init__(self, world):
        self.world = world
        self.fragments = {}  # what is remembered of first ones: service and frame
        self.followed = None  # the frame that the last one, a later fragment, has followed

    def outcome(self, frame, seen=b""):
        """The frame's, which is not changed when it is passed."""
        self.followed = None
        try:
            return self._outcome(frame, seen)
        except Passed:
            return Outcome("PASS", (), (), (), frame)
        except Dropped as drop:
            return Outcome("DROP", (str(drop),), (), (), b"")

    def _outcome(self, frame, seen):
        family, tags, data = self.untag(frame)
        at = 24 if family == 6 else 16
        ours = self.is_vip(data[at:at + (16 if family == 6 else 4)])
        try:
            packet = (dissect4 if family == 4 else dissect6)(data)
        except Dropped:
            if ours:
                raise
            raise Passed
        if icmp.is_icmp(packet):
            return self.icmp(frame, tags, packet, ours, seen)
        service = self.service_of(packet) if ours else None
        if packet.later and ours and service is None:
            raise Dropped("fragment")
        if service is None:
            raise Passed
        return self.forward(frame, tags, packet, service, seen)

    def untag(self, frame):
        """Family, tags and what is behind the Ethernet header."""
        if len(frame) < 14 or frame[:6] != OWN_MAC:
            raise Passed
        at = 14
        while int.from_bytes(frame[at - 2:at], "big") in (QTAG, STAG):
            if at == 22 or len(frame) < at + 4:
                raise Passed
            at += 4
        family = {IPV4: 4, IPV6: 6}.get(int.from_bytes(frame[at - 2:at], "big"))
        if not family or len(frame) < at + (20 if family == 4 else 40):
            raise Passed
        return family, frame[12:at - 2], frame[at:]

    # --- what it is for ---

    def is_vip(self, address):
        return address in self.world.vips or self.network_of(address) is not None

    def network_of(self, address):
        """The longest prefix of wildcard services that covers the address."""
        ip = ipaddress.ip_address(address)
        covering = [n for n in self.world.networks if ip in n]
        return max(covering, key=lambda n: n.prefixlen, default=None)

    def service_of(self, packet):
        if packet.later and self.key(packet) in self.fragments:
            service, self.followed = self.fragments[self.key(packet)]
            return service
        service = self.service_for(packet.destination, packet.protocol, packet.ports)
        if packet.later and service and not service.portless:
            return None
        return service

    def service_for(self, destination, protocol, ports):
        """`ports` is None if there are none, or not here."""
        if ports:
            service = self.world.exact.get((destination, protocol, ports[1]))
            if service:
                return service
        network = self.network_of(destination)
        for service in self.world.rules_of(network) if network else []:
            if not service.portless and protocol not in service.protocols:
                continue
            last = service.last or service.first
            if (service.first <= ports[1] <= last if ports
                    else (service.first, last) == (0, 65535)):
                return service
        return None

    @staticmethod
    def key(packet):
        """RFC 791; RFC 8200, section 4.5, where the protocol is not in it."""
        protocol = packet.protocol if packet.family == 4 else None
        return packet.source, packet.destination, packet.fragment[0], protocol

    # --- where it goes ---

    def forward(self, frame, tags, packet, service, seen, error=False):
        counted = ((service.id, len(frame)),)
        if not error:
            packet = clamped(packet, service)
        leaving = Leaving(self.world, packet, service, seen)
        try:
            out = frame if service.backend.method == LOCAL else leaving.frame()
        except TooBig as big:
            return self.too_big(frame, tags, big, error)
        if packet.fragment and not packet.later:
            self.fragments[self.key(packet)] = service, frame
        verdict = ("PASS" if service.backend.method == LOCAL else
                   "REDIRECT" if leaving.away else "TX")
        return Outcome(verdict, (), (), counted, out)

    def too_big(self, frame, tags, big, error):
        packet, at = big.packet, 14 + len(tags)
        quote = frame[at:at + icmp.QUOTE[packet.family]]
        if (error or frame[6] & 1 or not icmp.may_be_told(packet, big.fits)
                or len(quote) < icmp.QUOTE[packet.family]):
            raise Dropped("too-big")
        out = icmp.too_big(packet.family, frame[6:12], tags, packet.source, packet.destination,
                           big.fits, quote)
        return Outcome("TX", ("too-big",), ("too-big",), (), out)

    def icmp(self, frame, tags, packet, ours, seen):
        if packet.fragment:
            raise Dropped("fragment") if ours else Passed
        if packet.family == 6 and packet.transport[:1] and packet.transport[0] in icmp.NEIGHBOUR:
            raise Passed
        if not ours:
            return icmp.inside(frame, tags, packet, self.is_vip)
        if len(packet.transport) < 8:
            raise Dropped("malformed")
        kind = packet.transport[0]
        if kind == icmp.ECHO[packet.family][0]:
            out = icmp.echo(packet, frame, self.world.rates[0], seen)
            return Outcome("TX", (), ("echo",), (), out)
        if kind not in icmp.ERRORS[packet.family]:
            raise Dropped("icmp-other")
        service = self.service_for(packet.destination, *icmp.quoted_flow(packet))
        if service is None:
            raise Dropped("no-service")
        return self.forward(frame, tags, packet, service, seen, error=True)


# --- what it is ----------------------------------------------------------------------------------

def dissect4(data):
    version_ihl, tos, total, ident, fragment, _, protocol, _, source, destination = struct.unpack(
        "!BBHHHBBH4s4s", data[:20])
    header = (version_ihl & 15) * 4
    if version_ihl >> 4 != 4 or header < 20 or total < header:
        raise Dropped("malformed")
    if total > len(data):
        raise Dropped("truncated")
    packet = Packet(4, data[:total], data[total:], source, destination, tos, protocol, header,
                    ident, fragment & 0x4000)
    if fragment & 0x3fff:
        packet.fragment = ident, (fragment & 0x1fff) * 8
    read_ports(packet)
    return packet


def dissect6(data):
    first, length, protocol, _, source, destination = struct.unpack("!IHBB16s16s", data[:40])
    if first >> 28 != 6:
        raise Dropped("malformed")
    if 40 + length > len(data):
        raise Dropped("truncated")
    packet = Packet(6, data[:40 + length], data[40 + length:], source, destination,
                    first >> 20 & 0xff, protocol, 40)
    walk_extensions(packet)
    read_ports(packet)
    return packet


def walk_extensions(packet):
    """RFC 8200, section 4: up to the transport header, or to a later fragment's data."""
    while packet.protocol in WALKED and packet.extensions < EXTENSIONS_MAX:
        header, kind = packet.transport, packet.protocol
        size = 8 if kind == FRAGMENT else 8 * (header[1] + 1) if len(header) > 1 else 8
        if len(header) < size:
            raise Dropped("malformed")
        if kind == ROUTING and header[3]:
            packet.routed = True
        packet.protocol, packet.l4 = header[0], packet.l4 + size
        packet.extensions += 1
        if kind != FRAGMENT:
            continue
        if packet.fragment:
            raise Dropped("ipv6-extension")
        offset, more = int.from_bytes(header[2:4], "big") & 0xfff8, header[3] & 1
        if offset or more:  # RFC 6946: what is neither is whole
            packet.fragment = header[4:8], offset
        if packet.later:
            return
    if packet.protocol in WALKED + UNKNOWN:
        raise Dropped("ipv6-extension")


def read_ports(packet):
    """RFC 9293, RFC 768: as far as the header must mean what it says."""
    if packet.later:
        # RFC 1858: nothing of a TCP header is in a later one; RFC 791: nothing ends beyond this.
        if packet.protocol == TCP and packet.fragment[1] < 20 or (
                packet.fragment[1] + len(packet.transport) > 0xffff):
            raise Dropped("malformed")
        return
    if packet.protocol not in (TCP, UDP):
        return
    l4, room = packet.transport, len(packet.transport)
    if packet.protocol == TCP:
        if room < 20 or l4[12] >> 4 < 5 or (l4[12] >> 4) * 4 > room:
            raise Dropped("malformed")
    else:
        length = int.from_bytes(l4[4:6], "big")
        if room < 8 or length < 8 or (length > room and not packet.fragment):
            raise Dropped("malformed")
    packet.ports = struct.unpack("!HH", l4[:4])


def clamped(packet, service):
    """The MSS of a SYN (RFC 9293, section 3.7.1), lowered and never raised."""
    if (not service.mss or service.portless or packet.protocol != TCP or packet.later
            or not packet.transport[13] & SYN):
        return packet
    data, at = bytearray(packet.data), packet.l4 + 20
    end = packet.l4 + (packet.transport[12] >> 4) * 4
    while at < end and data[at] != END:
        if data[at] == NOP:
            at += 1
            continue
        if at + 1 >= end or data[at + 1] < 2 or at + data[at + 1] > end:
            break
        if data[at] == MSS and data[at + 1] == 4:
            lower(data, packet.l4, at + 2, service.mss)
            break
        at += data[at + 1]
    return dataclasses.replace(packet, data=bytes(data))


def lower(data, tcp, at, mss):
    old = int.from_bytes(data[at:at + 2], "big")
    if old <= mss:
        return
    # The words that the checksum is made of, also where the option begins at an odd byte.
    first, last = at - (at - tcp) % 2, at + 2 + (at - tcp) % 2
    before = bytes(data[first:last])
    data[at:at + 2] = mss.to_bytes(2, "big")
    check = updated(int.from_bytes(data[tcp + 16:tcp + 18], "big"), before, bytes(data[first:last]))
    data[tcp + 16:tcp + 18] = check.to_bytes(2, "big")

# SPDX-License-Identifier: GPL-2.0-only
"""How a packet leaves for its backend, by each forwarding method."""
import ipaddress
import struct

from headers import (AUTHENTICATION, DCCP, ICMP6, IPV4, IPV6, QTAG, STAG, TCP, UDP, UDPLITE,
                     checksum, ip4_header, ip6_header, pseudo_header, updated)
from world import ALIVE, GUE, GUE_PORT, IPIP, L2, OWN_PORT, RESOLVED, TOS

GUE_PORTS = 49152, 65535  # RFC 6335: dynamic


class Passed(Exception):
    """It is not the data plane's business."""


class Dropped(Exception):
    """By name."""


class TooBig(Exception):
    def __init__(self, packet, fits):
        super().__init__(fits)
        self.packet, self.fits = packet, fits


class Leaving:
    """A packet on its way to a service's backend."""

    def __init__(self, world, packet, service, seen):
        self.packet, self.service, self.backend = packet, service, service.backend
        self.port = world.ports[self.backend.port]
        self.away = self.port.interface != world.ports[OWN_PORT].interface
        self.tags = self._own_tags()
        self.seen = seen[14 + len(self.tags):]  # the IP packet that left, if it did

    def _own_tags(self):
        tpids = [STAG, QTAG][-len(self.port.tags):]
        return b"".join(struct.pack("!HH", tpid, vid) for tpid, vid in zip(tpids, self.port.tags))

    def frame(self):
        if not self.backend.flags & ALIVE:
            raise Dropped("backend-down")
        if not self.backend.flags & RESOLVED:
            raise Dropped("unresolved")
        method = {IPIP: self.tunnel, GUE: self.tunnel, TOS: self.rewrite, L2: self.direct}
        family, data = method[self.backend.method]()
        ether_type = struct.pack("!H", IPV4 if family == 4 else IPV6)
        return self.backend.mac + self.port.mac + self.tags + ether_type + data + self.packet.rest

    def fit(self, overhead):
        if len(self.packet.data) + overhead > self.backend.mtu:
            raise TooBig(self.packet, self.backend.mtu - overhead)

    def direct(self):
        self.fit(0)
        return self.packet.family, self.packet.data

    # RFC 2003, 2473, 4213; draft-ietf-intarea-gue: the packet itself is not touched.

    def tunnel(self):
        source = self.outer_source()
        udp = 8 + self.backend.gue_header if self.backend.method == GUE else 0
        self.fit(udp + (20 if self.backend.family == 4 else 40))
        payload = self.gue(source) if udp else self.packet.data
        protocol = UDP if udp else 4 if self.packet.family == 4 else 41
        return self.backend.family, self.outer(source, protocol, payload)

    def outer(self, source, protocol, payload):
        p = self.packet
        if self.backend.family == 6:
            label = int.from_bytes(self.seen[1:4], "big") & 0xfffff  # RFC 6438: of the flow
            return ip6_header(p.tos, label, len(payload), protocol, source,
                              self.backend.packed) + payload
        # RFC 6864: what cannot be fragmented any more needs no identification.
        ident, flags = (p.ident, p.flags) if p.family == 4 else (0, 0x4000)
        return ip4_header(p.tos, 20 + len(payload), ident, flags, protocol, source,
                          self.backend.packed) + payload

    def outer_source(self):
        prefix, bits = self.service.varied
        if bits and ipaddress.ip_address(prefix).version == self.backend.family:
            at, size = (12, 4) if self.backend.family == 4 else (8, 16)
            mask = (1 << bits) - 1
            value = int(ipaddress.ip_address(prefix))
            value |= int.from_bytes(self.seen[at:at + size], "big") & mask
            return value.to_bytes(size, "big")
        own = self.port.source.get(self.backend.family)
        if not own:
            raise Dropped("no-source")
        return ipaddress.ip_address(own).packed

    def gue(self, source):
        header = b""
        if self.backend.gue_header:
            header = bytes([0, 4 if self.packet.family == 4 else 41, 0, 0])
        at = 20 if self.backend.family == 4 else 40
        port = int.from_bytes(self.seen[at:at + 2], "big")
        if port < GUE_PORTS[0] or port > GUE_PORTS[1]:
            port = GUE_PORTS[0]
        payload = header + self.packet.data
        udp = struct.pack("!HHHH", port, GUE_PORT, 8 + len(payload), 0)
        if self.backend.family == 6 and self.seen[at + 6:at + 8] != b"\0\0":  # RFC 6935: or none
            check = checksum(pseudo_header(source, self.backend.packed, 8 + len(payload), UDP)
                             + udp + payload) or 0xffff
            udp = udp[:6] + check.to_bytes(2, "big")
        return udp + payload

    # L3DSR: destination and DSCP are other ones, and all checksums that cover them.

    def rewrite(self):
        p, data = self.packet, bytearray(self.packet.data)
        self.fit(0)
        old, new = p.destination, self.backend.packed
        tos = self.backend.dscp << 2 | p.tos & 3
        self.fix_transport(data, old, new)
        if p.family == 4:
            before = bytes(data[:2])
            data[1], data[16:20] = tos, new
            check = int.from_bytes(data[10:12], "big")
            check = updated(check, before + old, bytes(data[:2]) + new)
            data[10:12] = check.to_bytes(2, "big")
        else:
            first = int.from_bytes(data[:4], "big")
            data[:4] = (first & ~(0xff << 20) | tos << 20).to_bytes(4, "big")
            data[24:40] = new
        return p.family, bytes(data)

    def fix_transport(self, data, old, new):
        p = self.packet
        if p.later:
            return  # the first one has the checksum
        if p.protocol == AUTHENTICATION or p.routed:
            raise Dropped("not-rewritable")
        at = {TCP: 16, UDP: 6, UDPLITE: 6, DCCP: 6, ICMP6: 2 if p.family == 6 else None}.get(
            p.protocol)
        if at is None:
            return
        at += p.l4
        if at + 2 > len(data):
            raise Dropped("not-rewritable")
        check = int.from_bytes(data[at:at + 2], "big")
        if p.protocol in (UDP, UDPLITE):
            if not check:
                return  # RFC 768: none
            check = updated(check, old, new) or 0xffff
        else:
            check = updated(check, old, new)
        data[at:at + 2] = check.to_bytes(2, "big")

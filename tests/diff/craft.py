# SPDX-License-Identifier: GPL-2.0-only
"""Frames and checks of frames by scapy, which knows nothing of the reference either."""
from scapy.all import (IP, UDP, Dot1AD, Dot1Q, Ether, IPv6, IPv6ExtHdrFragment, Packet, Raw,
                       bind_layers)
from scapy.fields import BitField, ByteField, ShortField

from world import CLIENT, CLIENT_MAC, GUE_PORT, OWN_MAC


class GUE(Packet):
    """draft-ietf-intarea-gue, variant 0 without options."""
    name = "GUE"
    fields_desc = [BitField("variant", 0, 2), BitField("control", 0, 1), BitField("hlen", 0, 5),
                   ByteField("proto", 4), ShortField("flags", 0)]

    @classmethod
    def dispatch_hook(cls, data=b"", *_, **__):
        """Variant 1 is the packet itself: its first bits are an IP version's."""
        return {4: IP, 6: IPv6}.get(data[0] >> 4, cls) if data else cls

    def guess_payload_class(self, payload):
        return {4: IP, 41: IPv6}.get(self.proto, Raw)


bind_layers(UDP, GUE, dport=GUE_PORT)


def ethernet(tags=()):
    """The last of the tags is 802.1Q, one before it 802.1ad."""
    frame = Ether(dst=OWN_MAC.hex(":"), src=CLIENT_MAC.hex(":"))
    for i, vlan in enumerate(tags):
        frame /= (Dot1Q if i == len(tags) - 1 else Dot1AD)(vlan=vlan, prio=3)
    return frame


def ip(family, vip, **fields):
    if family == 4:
        return IP(**{"src": CLIENT[4], "dst": vip, "tos": 0xb9, "id": 0x1234, "ttl": 63, **fields})
    return IPv6(**{"src": CLIENT[6], "dst": vip, "tc": 0xb9, "fl": 0x54321, "hlim": 63, **fields})


COMPUTED = {"IP": ("chksum", "len", "ihl"), "IPv6": ("plen",), "TCP": ("chksum", "dataofs"),
            "UDP": ("chksum", "len"), "ICMP": ("chksum",)}


def recomputed(frame):
    """The frame as scapy would have written it: each length and checksum made anew, down to the
    innermost packet that is whole."""
    rebuilt = layer = Ether(frame)
    while layer:
        if layer.name.endswith("in ICMP") or layer.name.endswith("in ICMPv6"):
            break  # quoted, and cut
        computed = ("cksum",) if layer.name.startswith("ICMPv6") else COMPUTED.get(layer.name, ())
        if isinstance(layer, UDP) and not layer.chksum:
            computed = ("len",)
        for name in computed:
            delattr(layer, name)
        if isinstance(layer, IP) and (layer.frag or layer.flags.MF):
            break
        if isinstance(layer, IPv6ExtHdrFragment):
            break
        layer = layer.payload
    return bytes(rebuilt)

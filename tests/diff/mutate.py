# SPDX-License-Identifier: GPL-2.0-only
"""Frames that nobody would send: mutations of a corpus, and now and then mere noise."""
from world import OWN_MAC

INTERESTING = bytes([0, 1, 2, 3, 4, 5, 6, 8, 11, 12, 17, 20, 40, 41, 43, 44, 50, 51, 58, 59, 60,
                     64, 0x45, 0x46, 0x4f, 0x60, 0x7f, 0x80, 128, 129, 133, 135, 0xff])


def place(rng, frame):
    """Mostly in the headers."""
    return rng.randrange(12, max(13, len(frame) if rng.random() < 0.2 else min(len(frame), 100)))


def flip(rng, frame, _):
    frame = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        frame[place(rng, frame)] ^= 1 << rng.randrange(8)
    return bytes(frame)


def interesting(rng, frame, _):
    at = place(rng, frame)
    return frame[:at] + bytes([rng.choice(INTERESTING)]) + frame[at + 1:]


def word(rng, frame, _):
    """A length or an offset that is a little or much too small or too great."""
    at = place(rng, frame) & ~1
    value = int.from_bytes(frame[at:at + 2], "big")
    value = rng.choice((value + rng.randint(-9, 9), len(frame) - at + rng.randint(-2, 2), 0, 7, 8,
                        19, 20, 0x2000, 0x2001, 0x1fff, 0xffff))
    return frame[:at] + (value & 0xffff).to_bytes(2, "big") + frame[at + 2:]


def truncate(rng, frame, _):
    return frame[:rng.randrange(14, len(frame) + 1)]


def extend(rng, frame, _):
    return frame + rng.randbytes(rng.randrange(1, 64))


def splice(rng, frame, corpus):
    """The beginning of one and the end of another one."""
    other = rng.choice(corpus)
    cut = rng.choice((14, 18, 22, 34, 38, 54, 62, place(rng, frame)))
    return frame[:cut] + other[rng.choice((14, 34, 54, cut)):]


def insert(rng, frame, _):
    at = rng.choice((12, 34, 54, place(rng, frame)))
    what = rng.choice((b"\x81\0\0\x05", b"\x88\xa8\0\x05", rng.randbytes(rng.choice((1, 4, 8)))))
    return frame[:at] + what + frame[at:]


def delete(rng, frame, _):
    at = place(rng, frame)
    return frame[:at] + frame[at + rng.choice((1, 2, 4, 8)):]


MUTATIONS = [flip, flip, interesting, interesting, word, word, truncate, extend, splice, insert,
             delete]


def whole(frame):
    """Long enough to be a frame."""
    return frame + bytes(max(0, 14 - len(frame)))


def mutated(rng, corpus):
    frame = rng.choice(corpus)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 4))):
        frame = whole(rng.choice(MUTATIONS)(rng, frame, corpus))
    return frame


def noise(rng):
    ether_type = rng.choice((b"\x08\0", b"\x86\xdd", b"\x81\0", b"\x88\xa8", rng.randbytes(2)))
    return OWN_MAC + rng.randbytes(6) + ether_type + rng.randbytes(rng.randrange(0, 128))


def case(rng, corpus):
    """One frame, or one and then itself with a mutation: what is remembered of it is still true."""
    if rng.random() < 0.02:
        return [noise(rng)]
    frame = mutated(rng, corpus)
    if rng.random() < 0.1:
        return [frame, whole(rng.choice(MUTATIONS)(rng, frame, corpus))]
    return [frame]

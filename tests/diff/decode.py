# SPDX-License-Identifier: GPL-2.0-only
"""Says for people in what two outcomes of a frame differ."""
from scapy.all import Ether


def difference(frame, expected, seen):
    """An empty text, or both sides. The bytes of a dropped frame do not matter."""
    same = (expected.verdict, expected.drops, expected.answers, expected.backends) == (
        seen.verdict, seen.drops, seen.answers, seen.backends)
    if same and (expected.verdict == "DROP" or expected.frame == seen.frame):
        return ""
    return "\n".join([f"frame     {frame.hex()}", f"          {Ether(frame)!r}",
                      *side("expected", expected), *side("seen", seen)])


def side(name, outcome):
    yield (f"{name:9} {outcome.verdict} drops={outcome.drops} answers={outcome.answers}"
           f" backends={outcome.backends}")
    if outcome.verdict != "DROP":
        yield f"          {outcome.frame.hex()}"
        yield f"          {Ether(outcome.frame)!r}" if len(outcome.frame) >= 14 else "          "

# SPDX-License-Identifier: GPL-2.0-only
"""Random and mutated frames: the reference and the data plane must agree on all of them.

    FUZZ_FRAMES  how many, at least (20000), or
    FUZZ_SECONDS for how long
    FUZZ_SEED    of the random numbers; the one that is printed when they differ repeats it
    FUZZ_BATCH   only this batch, which is printed as well
"""
import os
import random
import time

from decode import difference
from mutate import case
from reference import Reference
from rows import all_rows
from world import narrow_world, usual_world

BATCH = 128
FIRST_BUFFER = 3500  # bytes: of a longer frame padding need not be counted
REPORTED = 8


def numbers():
    return {name: int(os.environ[f"FUZZ_{name}"]) for name in
            ("FRAMES", "SECONDS", "SEED", "BATCH") if f"FUZZ_{name}" in os.environ}


def batches(wanted):
    if "BATCH" in wanted:
        yield wanted["BATCH"]
        return
    end = time.monotonic() + wanted.get("SECONDS", 0)
    batch = 0
    while (time.monotonic() < end if "SECONDS" in wanted
           else batch * BATCH < wanted.get("FRAMES", 20000)):
        yield batch
        batch += 1


def kind(outcome):
    return outcome.verdict, outcome.drops, outcome.answers


class Fuzzer:
    """Batches of frames, each for the next of the worlds, and what came of them."""

    def __init__(self, server, seed):
        self.server, self.seed = server, seed
        self.worlds = [usual_world(), narrow_world()]
        self.corpus = [frame for row in all_rows(self.worlds[0]) for frame in row.frames
                       if len(frame) < FIRST_BUFFER]
        self.kinds, self.differences, self.frames = {}, {}, 0

    def batch(self, number):
        world = self.worlds[number % len(self.worlds)]
        rng = random.Random(f"{self.seed}/{number}")
        frames = [frame for _ in range(BATCH) for frame in case(rng, self.corpus)]
        self.server.say(world.lines())
        reference = Reference(world)
        for i, (frame, seen) in enumerate(zip(frames, self.server.frames(frames))):
            expected = reference.outcome(frame, seen.frame)
            if reference.followed and seen.drops == ("fragment",):
                seen = self.again(reference.followed, frame)
                expected = reference.outcome(frame, seen.frame)
            self.kinds[kind(seen)] = self.kinds.get(kind(seen), 0) + 1
            text = difference(frame, expected, seen)
            if text:
                self.differences.setdefault((kind(expected), kind(seen)), (
                    f"FUZZ_SEED={self.seed} FUZZ_BATCH={number}: frame {i}\n{text}"))
        self.frames += len(frames)

    def again(self, first, later):
        """What was remembered may make room for another datagram's, which has come since."""
        self.server.say(["forget"])
        return self.server.frames([first, later])[1]

    def report(self):
        for what, count in sorted(self.kinds.items(), key=lambda item: -item[1]):
            print(f"{count:8} {' '.join((what[0], *what[1], *what[2]))}")
        for text in list(self.differences.values())[:REPORTED]:
            print(text)
        print(f"{self.frames} frames from seed {self.seed}, {len(self.differences)} kinds of"
              " difference")


def test_program_and_reference_agree(server):
    wanted = numbers()
    fuzzer = Fuzzer(server, wanted.get("SEED", 1))
    for number in batches(wanted):
        fuzzer.batch(number)
    server.say(fuzzer.worlds[0].lines())
    fuzzer.report()
    assert not fuzzer.differences

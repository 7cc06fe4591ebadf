"""CIFAR-10's Python release, read without unpickling it.

A pickle is a program, which may do anything. `pickletools.genops` executes none of it: it lists the
instructions. Labels are the numbers after the word `labels`, pixels the one text of their size;
whatever else the file wants is never looked at. That the records came out right, their SHA-256
tells.
"""

import pickletools

import numpy as np

NUM_PIXELS = 3 * 32 * 32


def records_from_pickle(content: bytes, count: int) -> bytes:
    """Rebuild the binary release's `count` records of a batch; ValueError if they are not there."""
    labels: list[int] = []
    pixels = b""
    after_name = False
    for opcode, argument, _ in pickletools.genops(content):
        if argument == "labels":
            after_name = True
        elif opcode.name == "BININT1" and after_name and len(labels) < count:
            labels.append(int(argument or 0))
        elif isinstance(argument, str | bytes) and len(argument) == count * NUM_PIXELS:
            # Python 2 wrote bytes as text of as many characters.
            pixels = argument.encode("latin-1") if isinstance(argument, str) else argument
    if len(labels) != count or not pixels:
        raise ValueError(f"it has {len(labels)} labels and {len(pixels)} bytes of pixels")
    planes = np.frombuffer(pixels, np.uint8).reshape(count, NUM_PIXELS)
    return np.concatenate([np.array(labels, np.uint8)[:, None], planes], axis=1).tobytes()

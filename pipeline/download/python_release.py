"""CIFAR's Python releases, read without unpickling them.

A pickle is a program, which may do anything. `pickletools.genops` executes none of it: it lists the
instructions. Labels are the numbers after the word that names them, pixels the one text of their
size; whatever else the file wants is never looked at. That they came out right, the checksum of the
records or of the file tells.
"""

import pickletools

import numpy as np

NUM_PIXELS = 3 * 32 * 32


def batch_from_pickle(content: bytes, count: int, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch's labels uint8 [count], listed under `key`, and pixels uint8 [count, 3072].

    Raises ValueError if they are not there.
    """
    labels: list[int] = []
    pixels = b""
    after_name = False
    by_columns = last_flag = False
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("NEWTRUE", "NEWFALSE") or isinstance(argument, bool):
            # The one before an array's content says whether its columns lie one after another.
            last_flag = opcode.name == "NEWTRUE" or argument is True
        elif argument == key:
            after_name = True
        elif opcode.name == "BININT1" and after_name and len(labels) < count:
            labels.append(int(argument or 0))
        elif isinstance(argument, str | bytes) and len(argument) == count * NUM_PIXELS:
            # Python 2 wrote bytes as text of as many characters.
            pixels = argument.encode("latin-1") if isinstance(argument, str) else argument
            by_columns = last_flag
    if len(labels) != count or not pixels:
        raise ValueError(f"it has {len(labels)} labels and {len(pixels)} bytes of pixels")
    flat = np.frombuffer(pixels, np.uint8)
    table = flat.reshape(NUM_PIXELS, count).T if by_columns else flat.reshape(count, NUM_PIXELS)
    return np.array(labels, np.uint8), table


def records_from_pickle(content: bytes, count: int) -> bytes:
    """Rebuild the binary release's `count` records of a CIFAR-10 batch; ValueError if it is none.

    A record is a label byte and the pixels.
    """
    labels, pixels = batch_from_pickle(content, count, "labels")
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()

"""The mailbox: requests as the host reads them, and numbers as registers take them.

A request is eight 64-bit words: x0 to x6 as they will be at the HVC, and the address of the host's
calling code, or 0 for the registers as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import index

import numpy as np

from hypkit.a64.registers import MASK64
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import REQUEST_SIZE, REQUESTS_PA, REQUESTS_SIZE

MAX_ARGS = 6
WORDS = REQUEST_SIZE // 8
ROOM = REQUESTS_SIZE // REQUEST_SIZE  # requests


def whole(what: str, value: object) -> int:
    """A whole number of any kind, numpy's too, as an int; TypeError, with *what* it is, for others."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{what} is a whole number, not {value!r}") from None


def word(value: object) -> int:
    """A number as a register holds it: 64 bits, negative ones in two's complement."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(
            f"{value!r} is neither a whole number nor the name of a structure"
        ) from None
    if not -1 << 63 <= number < 1 << 64:
        raise ValueError(f"{number:#x} does not fit into a 64-bit register")
    return number & MASK64


def words(what: str, values: object) -> np.ndarray:
    """The same of many numbers, in an array of whatever shape: uint64; *what* is for the error."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        # numpy makes floats or objects of Python numbers that no one integer type holds
        array = np.asarray(values, dtype=object)
        if not all(isinstance(value, int) and -1 << 63 <= value < 1 << 64 for value in array.flat):
            raise TypeError(f"{what} holds whole numbers of 64 bits, and nothing else")
        array = np.array([value & MASK64 for value in array.flat], dtype=np.uint64).reshape(
            array.shape
        )
    return array.astype(np.uint64, copy=False)


def bulk(ids: object, args: object) -> tuple[np.ndarray, np.ndarray]:
    """x0 of many raw requests, shape (n,), and their arguments, shape (n, up to 6): uint64.

    ids and args as Machine.run takes them.
    """
    x0 = words("ids", ids)
    if x0.ndim != 1:
        raise ValueError(f"ids is a row of numbers, not an array of shape {x0.shape}")
    values = np.atleast_2d(words("args", () if args is None else args))
    if values.ndim > 2 or values.shape[1] > MAX_ARGS or values.shape[0] not in (1, len(x0)):
        raise ValueError(
            f"args has shape {values.shape}; {len(x0)} calls take one row "
            f"each (or one for all) of at most {MAX_ARGS} numbers"
        )
    return x0, np.broadcast_to(values, (len(x0), values.shape[1]))


def mailbox_header(image: Image, requests: int, power_off: bool = False) -> dict[int, bytes]:
    """Memory that says how many requests there are: physical address -> bytes."""
    start = image.host_va(REQUESTS_PA)
    return {
        image.pa("mailbox_next"): struct.pack(
            "<3Q", start, start + requests * REQUEST_SIZE, power_off
        )
    }


def mailbox(image: Image, requests: Sequence[Sequence[int]], power_off: bool) -> dict[int, bytes]:
    """Memory that puts requests before the host: physical address -> bytes.

    requests: eight words each, as Machine.request gives them, or a uint64 array of shape (n, 8);
    power_off: whether the host switches the board off when it is done, as QEMU needs it. ValueError
    for requests of another shape, and for more than the mailbox holds.
    """
    data = words("requests", requests)
    if data.size and data.shape[1:] != (WORDS,):
        raise ValueError(
            f"requests has shape {data.shape}: a request is {WORDS} words, as "
            "request(...) gives them"
        )
    if len(data) > ROOM:
        raise ValueError(f"{len(data)} requests; the mailbox holds {ROOM}")
    content = data.astype("<u8", copy=False).tobytes()
    return mailbox_header(image, len(data), power_off) | {REQUESTS_PA: content}

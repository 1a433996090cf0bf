"""The mailbox: requests as the host reads them, and numbers as registers take them.

A request is eight 64-bit words: x0 to x6 as they will be at the HVC, and the address of the host's
calling code, or 0 for the registers as they are.
"""

from __future__ import annotations

import struct
from operator import index

import numpy as np

from hypkit.a64.registers import MASK64
from hypkit.errors import WrongType, WrongValue, expected, is_whole, pass_on, shown, whole
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import REQUEST_SIZE, REQUESTS_PA, REQUESTS_SIZE

MAX_ARGS = 6
WORDS = REQUEST_SIZE // 8
ROOM = REQUESTS_SIZE // REQUEST_SIZE  # requests
MAX_CALLS = 50_000_000  # of one bulk run: their answers take 400 MB


def as_bytes(data: object) -> bytes:
    """Return what is to be written to memory.

    Raises:
        TypeError: *data* is nothing that holds bytes.
    """
    try:
        return bytes(memoryview(data))  # type: ignore[arg-type]  # to ask is the point
    except TypeError:
        raise WrongType(f"data for memory: {expected('bytes', data)}") from None


def word(value: object) -> int:
    """Return a number as a register holds it: 64 bits, negative ones in two's complement.

    Raises:
        TypeError: it is no whole number.
        ValueError: it does not fit.
    """
    if not is_whole(value):
        raise WrongType(expected("a whole number or the name of a structure", value))
    return _fitting("a whole number of 64 bits", value)


def address(value: object) -> int:
    """Return an address as 64 bits, unsigned; errors as of word()."""
    whole("an address", value)
    return _fitting("an address of 64 bits", value)


def _fitting(what: str, value: object) -> int:
    number = index(value)  # type: ignore[arg-type]  # the callers have asked
    if not -1 << 63 <= number < 1 << 64:
        got = f"{number:#x}" if number.bit_length() <= 256 else shown(number)
        raise WrongValue(f"expected {what}; got {got}")
    return number & MASK64


def words(what: str, values: object) -> np.ndarray:
    """Return many numbers as registers hold them, uint64, in an array of whatever shape.

    Raises:
        TypeError: *values* hold something else; *what* they should have been is in the message.
        ValueError: there are too many of them.
    """
    try:
        number = len(values) if hasattr(values, "__len__") else 0
    except Exception as error:  # a length beyond what Python counts, or none after all
        pass_on(error)
        number = MAX_CALLS + 1 if isinstance(values, range) else 0
    if number > MAX_CALLS:
        raise WrongValue(f"{what}: expected at most {MAX_CALLS:,} of them; got {number:,}")
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iu" and array.size:
            # numpy makes floats or objects of Python numbers that no one integer type holds
            array = np.asarray(values, dtype=object)
            flat = [value for value in array.flat]
            if not all(isinstance(v, int | np.integer) and _fits(int(v)) for v in flat):
                raise TypeError
            array = np.array([int(v) & MASK64 for v in flat], dtype=np.uint64).reshape(array.shape)
        return array.astype(np.uint64, copy=False)
    except MemoryError:
        raise
    except Exception as error:  # rows of different lengths, or whatever a learner's object does
        pass_on(error)
        raise WrongType(
            f"{what}: {expected('whole numbers of 64 bits, and as many in every row', values)}"
        ) from None


def _fits(number: int) -> bool:
    return -1 << 63 <= number < 1 << 64


def bulk(ids: object, args: object) -> tuple[np.ndarray, np.ndarray]:
    """Return x0 of many raw requests, shape (n,), and their arguments, shape (n, up to 6): uint64.

    ids and args as Machine.run takes them.
    """
    x0 = words("ids", ids)
    if x0.ndim != 1:
        raise WrongValue(f"ids: expected a row of numbers; got an array of shape {x0.shape}")
    values = np.atleast_2d(words("args", () if args is None else args))
    if values.ndim > 2 or values.shape[1] > MAX_ARGS or values.shape[0] not in (1, len(x0)):
        raise WrongValue(
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


def mailbox(image: Image, requests: object, power_off: bool) -> dict[int, bytes]:
    """Memory that puts requests before the host: physical address -> bytes.

    requests: eight words each, as Machine.request gives them, or a uint64 array of shape (n, 8);
    power_off: whether the host switches the board off when it is done, as QEMU needs it. ValueError
    for requests of another shape, and for more than the mailbox holds.
    """
    data = words("requests", requests)
    if data.shape != (0,) and (data.ndim != 2 or data.shape[1] != WORDS):
        raise WrongValue(
            f"requests has shape {data.shape}: expected rows of {WORDS} words, as request(...) "
            "gives them"
        )
    if len(data) > ROOM:
        raise WrongValue(f"{len(data)} requests; the mailbox holds {ROOM}")
    content = data.astype("<u8", copy=False).tobytes()
    return mailbox_header(image, len(data), power_off) | {REQUESTS_PA: content}

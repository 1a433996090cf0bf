"""`python -m tests.record_encodings`: ask Keystone for every instruction that the kit ships, and
write data/encodings.json, from which machines without Keystone assemble."""

from hypkit import asm, image
from hypkit.abi import VARIANTS


def record() -> dict[str, int]:
    """Canonical text -> word, of every instruction in the guest of every variant."""
    with asm.recording() as words:
        for key in VARIANTS:
            image.build.__wrapped__(key)  # past its cache
    return words


if __name__ == "__main__":
    words = record()
    asm.write_encodings(words)
    print(f"{len(words)} instructions recorded")

"""Snippets that assemble, inputs that do not, and the bytes that GNU as makes of the former."""

import json
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
BASES = (0, 0x1000, 0xFFFF_8000_1008_0000)
GOLDEN = HERE / "golden.json"


def _blocks(name: str) -> list[tuple[str, str]]:
    """(header, text) of each `=== header` block; the text keeps its lines."""
    pieces = re.split(r"^=== (.*)\n", (HERE / name).read_text(encoding="utf-8"), flags=re.M)
    return list(zip(pieces[1::2], pieces[2::2], strict=True))


@cache
def snippets() -> dict[str, str]:
    """Name -> text, of the good ones."""
    blocks = _blocks("good.txt")
    assert len({name for name, _ in blocks}) == len(blocks), "two snippets have one name"
    return dict(blocks)


@cache
def bad_inputs() -> dict[str, tuple[int, str, str]]:
    """Name -> (line, pattern of the message, text)."""
    out = {}
    for header, text in _blocks("bad.txt"):
        name, line, pattern = (part.strip() for part in header.split("|", 2))
        assert name not in out, f"two bad inputs are called {name!r}"
        out[name] = int(line), pattern, text
    return out


def golden() -> dict[str, list[bytes]]:
    """Name -> what GNU as and ld make of the snippet at each of BASES."""
    recorded = json.loads(GOLDEN.read_text(encoding="ascii"))
    return {
        name: [bytes.fromhex(text) for text in (texts if isinstance(texts, list) else [texts] * 3)]
        for name, texts in recorded.items()
    }


def write_golden(made: dict[str, list[bytes]]) -> None:
    """Record GNU as's bytes, a snippet a line; equal bytes at all bases are written once."""
    lines = []
    for name, codes in sorted(made.items()):
        texts: list[str] | str = [code.hex() for code in codes]
        if len(set(texts)) == 1:
            texts = texts[0]
        lines.append(f"{json.dumps(name)}: {json.dumps(texts)}")
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")

"""The words of a picture as boxes on the page, as the widest font of its list sets them."""

import xml.etree.ElementTree as ET
from functools import cache
from itertools import combinations
from pathlib import Path

import matplotlib
from PIL import ImageFont

SVG = "{http://www.w3.org/2000/svg}"


@cache
def _font(name):
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(str(folder / name), 100)


def texts(svg):
    """(words, x0, y0, x1, y1) of each text, y downwards."""
    root = ET.fromstring(svg)
    for node in root.iter(f"{SVG}text"):
        size = float(node.get("font-size"))
        if "Mono" in node.get("font-family").split(",")[0]:
            font = _font("DejaVuSansMono.ttf")
        else:
            bold = node.get("font-weight") == "bold"
            font = _font("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
        wide = font.getlength(node.text) * size / 100
        x, y = float(node.get("x")), float(node.get("y"))
        x -= {"start": 0, "middle": wide / 2, "end": wide}[node.get("text-anchor", "start")]
        yield node.text, x, y - 0.72 * size, x + wide, y + 0.12 * size


def misplaced(svg):
    """What is cut off at the edge, and what lies on something else, in sentences."""
    root = ET.fromstring(svg)
    width, height = float(root.get("width")), float(root.get("height"))
    boxes = list(texts(svg))
    for said, x0, y0, x1, y1 in boxes:
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            yield f"{said!r} is cut off"
    for one, other in combinations(boxes, 2):
        if one[1] < other[3] and other[1] < one[3] and one[2] < other[4] and other[2] < one[4]:
            yield f"{one[0]!r} lies on {other[0]!r}"


def rects(svg, ink):
    """(x, width) of each box of that ink, in the order in which they were drawn."""
    return [
        (float(node.get("x")), float(node.get("width")))
        for node in ET.fromstring(svg).iter(f"{SVG}rect")
        if node.get("class") == f"f-{ink}"
    ]

"""Everything that a lesson can show, by one import."""

from hypkit.comparison.show import Comparison, compare, ladder, show_ladder
from hypkit.lessons.pictures.lesson02 import show_names
from hypkit.lessons.pictures.lesson03 import show_doors
from hypkit.lessons.pictures.lesson04 import show_edges
from hypkit.lessons.pictures.lesson10 import show_timeline, sources_table
from hypkit.lessons.pictures.lesson11 import show_scores
from hypkit.pictures.calls import PathTable, show_path, show_phases, show_road
from hypkit.pictures.drawing import CALL_STYLES, PHASE_STYLE, Picture, canvas, figure, look
from hypkit.pictures.hypercall_table import show_table
from hypkit.pictures.memory_map import show_layout
from hypkit.pictures.svg import Drawing
from hypkit.timetravel.widget import Stepper, stepper

__all__ = [
    "CALL_STYLES",
    "PHASE_STYLE",
    "Comparison",
    "Drawing",
    "PathTable",
    "Picture",
    "Stepper",
    "canvas",
    "compare",
    "figure",
    "ladder",
    "look",
    "show_doors",
    "show_edges",
    "show_ladder",
    "show_layout",
    "show_names",
    "show_path",
    "show_phases",
    "show_road",
    "show_scores",
    "show_table",
    "show_timeline",
    "sources_table",
    "stepper",
]

"""Everything that a lesson can show, by one import."""

from hypkit.comparison.show import Comparison, compare, ladder, show_ladder
from hypkit.lessons.pictures.lesson02 import show_indices, show_mask_and_tag, show_names
from hypkit.lessons.pictures.lesson03 import show_doors
from hypkit.lessons.pictures.lesson04 import show_edges
from hypkit.lessons.pictures.lesson10 import show_timeline, sources_table
from hypkit.lessons.pictures.lesson11 import show_scores
from hypkit.pictures.calls import PathTable, show_path, show_phases, show_road
from hypkit.pictures.hypercall_table import show_table
from hypkit.pictures.memory_map import show_layout
from hypkit.pictures.picture import Picture, figure
from hypkit.timetravel.widget import Stepper, stepper

__all__ = [
    "Comparison",
    "PathTable",
    "Picture",
    "Stepper",
    "compare",
    "figure",
    "ladder",
    "show_doors",
    "show_edges",
    "show_indices",
    "show_ladder",
    "show_layout",
    "show_mask_and_tag",
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

"""Everything that a lesson can show, by one import."""

from hypkit.comparison.show import Comparison, compare, ladder, show_ladder
from hypkit.lessons.pictures.lesson00 import show_levels
from hypkit.lessons.pictures.lesson02 import show_indices, show_mask_and_tag, show_names
from hypkit.lessons.pictures.lesson03 import show_doors
from hypkit.lessons.pictures.lesson04 import show_edges
from hypkit.lessons.pictures.lesson06 import show_list
from hypkit.lessons.pictures.lesson07 import show_pool
from hypkit.lessons.pictures.lesson08 import show_writers
from hypkit.lessons.pictures.lesson10 import show_timeline, sources_table
from hypkit.lessons.pictures.lesson11 import show_scores
from hypkit.lessons.pictures.lesson12 import show_kernels
from hypkit.lessons.reference import reference
from hypkit.pictures.calls import PathTable, show_path, show_phases, show_road
from hypkit.pictures.hypercall_table import show_table
from hypkit.pictures.memory_map import show_layout
from hypkit.pictures.picture import Picture, figure
from hypkit.pictures.rows import Rows, show_rows
from hypkit.pictures.source import Listing, show_source
from hypkit.pictures.timing import show_timing
from hypkit.timetravel.widget import Stepper, stepper

__all__ = [
    "Comparison",
    "Listing",
    "PathTable",
    "Picture",
    "Rows",
    "Stepper",
    "compare",
    "figure",
    "ladder",
    "reference",
    "show_doors",
    "show_edges",
    "show_indices",
    "show_kernels",
    "show_ladder",
    "show_layout",
    "show_levels",
    "show_list",
    "show_mask_and_tag",
    "show_names",
    "show_path",
    "show_phases",
    "show_pool",
    "show_road",
    "show_rows",
    "show_scores",
    "show_source",
    "show_table",
    "show_timeline",
    "show_timing",
    "show_writers",
    "sources_table",
    "stepper",
]

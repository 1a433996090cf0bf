"""Pictures that one lesson needs and no other: a module a lesson, on viz's figure and canvas."""

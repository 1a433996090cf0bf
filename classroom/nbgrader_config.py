"""How nbgrader reads the assignments that assignment.py makes; it is copied into a course's folder."""

import os
import tempfile

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "hypkit"
# Learners get what the lesson gives them to start from, without a solution and without an error.
c.ClearSolutions.code_stub = {"python": "# Your answer stays in this cell."}
# An answer that never ends: its cell is interrupted, and the others are judged.
c.Execute.timeout = 120
# Whatever learners pass when they are graded is none of the instructor's progress.
os.environ["HYPKIT_PROGRESS"] = tempfile.mkdtemp(prefix="hypkit-grading-")

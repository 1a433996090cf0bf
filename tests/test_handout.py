"""The handout and the answers: what is in them and what is not; and the instructor's plan."""

import io
import re
import resource
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest
import typst
from pypdf.generic import DictionaryObject, IndirectObject

from hypkit import facts
from hypkit.check import exercises
from notebooks.handout import build, lessons, tables

TOP = Path(__file__).resolve().parents[1]
LESSONS = lessons.lessons()
SOLUTIONS = lessons.lessons(lessons.NOTEBOOKS / "solutions")
INSTRUCTOR = (TOP / "INSTRUCTOR.md").read_text(encoding="utf-8")
SECONDS = 30  # of processor time, for all booklets


def words(text):
    """Text without what differs between page and source: breaks, ligatures, quotes."""
    text = text.replace("ﬁ", "fi").replace("ﬂ", "fl").replace("ﬀ", "ff").replace("ﬃ", "ffi")
    return re.sub(r"[^A-Za-z0-9_=.:]+", "", text)


def structure(pdf):
    """(type, dictionary) of every element of the PDF's structure tree, in reading order."""
    found = []

    def walk(element):
        if isinstance(element, IndirectObject):
            element = element.get_object()
        if isinstance(element, DictionaryObject):
            if "/S" in element:
                found.append((element["/S"], element))
            element = element.get("/K", [])
            element = element.get_object() if isinstance(element, IndirectObject) else element
            element = element if isinstance(element, list) else [element]
        if isinstance(element, list):
            for child in element:
                walk(child)

    walk(pypdf.PdfReader(io.BytesIO(pdf)).trailer["/Root"]["/StructTreeRoot"])
    return found


@pytest.fixture(scope="module")
def booklets():
    return {"handout": build.handout(), "answers": build.solutions(), "card": build.card()}


@pytest.fixture(scope="module")
def pdfs(booklets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("handout")
    for name, booklet in booklets.items():
        booklet.compile(folder / f"{name}.pdf")
    return {name: (folder / f"{name}.pdf").read_bytes() for name in booklets}


@pytest.fixture(scope="module")
def pages(pdfs):
    """The text of each page."""
    return {
        name: [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]
        for name, pdf in pdfs.items()
    }


@pytest.fixture(scope="module")
def texts(pages):
    return {name: words("\n".join(of_page)) for name, of_page in pages.items()}


# Building.


def test_the_command_builds_the_same_bytes_again_in_little_time(pdfs, tmp_path):
    command = [sys.executable, "-m", "notebooks.handout.build", "--out", str(tmp_path)]
    began = _children_seconds()
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert _children_seconds() - began < SECONDS
    assert done.stdout.split() == [str(tmp_path / f"{name}.pdf") for name in pdfs]
    for name, pdf in pdfs.items():
        assert (tmp_path / f"{name}.pdf").read_bytes() == pdf, name


def _children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_pdfs_say_that_they_are_accessible_and_name_neither_date_nor_machine(pdfs):
    for pdf in pdfs.values():
        reader = pypdf.PdfReader(io.BytesIO(pdf))
        assert reader.trailer["/Root"]["/Lang"] == "en-GB"
        assert reader.metadata.title.startswith("hypkit: the ")
        assert b"pdfuaid:part" in reader.trailer["/Root"]["/Metadata"].get_object().get_data()
        assert str(TOP).encode() not in pdf and b"/tmp/" not in pdf


def test_only_the_fonts_that_typst_brings_are_used(pdfs):
    for pdf in pdfs.values():
        fonts = set()
        for page in pypdf.PdfReader(io.BytesIO(pdf)).pages:
            for font in page["/Resources"].get("/Font", {}).values():
                fonts.add(font.get_object()["/BaseFont"].partition("+")[2])
        assert fonts and all(re.match(r"Libertinus|DejaVuSansMono|NewCM", f) for f in fonts), fonts


@pytest.mark.parametrize("name", ["handout", "answers"])
def test_each_picture_has_its_alt_text(booklets, pdfs, name):
    booklet = booklets[name]
    drawn = re.findall(r"^!\[(.+)\]\((.+?)\)", booklet.text, re.MULTILINE)
    assert {file for _, file in drawn} == set(booklet.pictures)
    told = [element.get("/Alt", "") for kind, element in structure(pdfs[name]) if kind == "/Figure"]
    assert len(told) == len(drawn) and all(len(alt.split()) > 5 for alt in told)
    assert [words(alt) for alt in told] == [words(alt) for alt, _ in drawn]
    assert name != "handout" or {"road.svg", "names.svg", "ladder.svg"} <= set(booklet.pictures)


def test_a_picture_without_alt_text_stops_the_build():
    with pytest.raises(RuntimeError, match="the picture a.png has no alt text"):
        build.Booklet("x", "x", "x", text="![](a.png)").typst()


@pytest.mark.parametrize("name", ["handout", "answers"])
def test_headings_do_not_jump_and_tables_have_headers(pdfs, name):
    kinds = [kind for kind, _ in structure(pdfs[name])]
    levels = [int(kind[2:]) for kind in kinds if re.fullmatch(r"/H\d", kind)]
    assert levels[0] == 1 and len(levels) > 10
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))
    if "/Table" in kinds:
        assert kinds.count("/TH") >= 2 * kinds.count("/Table")


def test_the_title_page_says_version_licence_and_where_the_source_is(pages):
    first = " ".join(pages["handout"][0].split())
    version = re.search(r'^version = "(.+)"', (TOP / "pyproject.toml").read_text(), re.MULTILINE)[1]
    for said in (f"Version {version}", "CC BY 4.0", "MIT License", "the hypkit repository"):
        assert said in first


def test_every_page_has_its_number(pages):
    for of_page in pages.values():
        for number, text in enumerate(of_page, start=1):
            assert f"{number} / {len(of_page)}" in text


def test_no_code_is_wider_than_the_page(booklets):
    """A longer line would be broken in two; printed results may be."""
    for booklet in booklets.values():
        for block in re.findall(r"^```+python\n(.*?)^```+$", booklet.text, re.M | re.S):
            assert max(map(len, block.splitlines())) <= 100, block


def on_paper(booklet):
    """The exercises that are asked in full, each from its heading on."""
    text = booklet.text[: booklet.text.index("# Forms")]
    found = re.split(r"^### (?=Exercise)", text, flags=re.MULTILINE)[1:]
    return [exercise.partition("\n:::\n")[0] for exercise in found]


def test_an_exercise_stands_on_one_page_with_all_that_it_gives(booklets, pages):
    on_page = [words(text) for text in pages["handout"]]
    found = on_paper(booklets["handout"])
    assert [exercise[9:13] for exercise in found] == sorted(lessons.PAPER)
    for exercise in found:
        heading = exercise.partition("\n")[0]
        given = re.findall(r"^```+(?:python|text)\n(.*?)^```+$", exercise, re.M | re.S)
        (page,) = [text for text in on_page if words(heading) in text]
        for line in "".join(given).splitlines():
            assert words(line) in page, heading


def test_each_sheet_begins_a_leaf_when_printed_on_both_sides(pages):
    for lesson in LESSONS:
        heading = words(f"Lesson {lesson.number}: {lesson.title}")
        begins = [n for n, text in enumerate(pages["handout"], 1) if heading in words(text)]
        assert begins[-1] % 2 == 1, heading  # the contents name it too


def test_no_page_is_empty_but_the_back_of_a_sheet(pages):
    for name, of_page in pages.items():
        empty = [n for n, text in enumerate(of_page, 1) if len(text.split()) < 20]
        assert all(n % 2 == 0 and "Lesson" in of_page[n] for n in empty), (name, empty)


def test_an_answer_has_its_code_on_the_page_of_its_heading(booklets, pages):
    on_page = [words(text) for text in pages["answers"]]
    parts = re.split(r"^## (?=Exercise)", booklets["answers"].text, flags=re.MULTILINE)[1:]
    assert len(parts) == len(exercises())
    for part in parts:
        heading = part.partition("\n")[0]
        code = re.search(r"^```+python\n(.*?)^```+$", part, re.M | re.S)
        (page,) = [text for text in on_page if words(heading) in text]
        for line in code[1].splitlines()[:2]:
            assert words(line) in page, heading


def test_a_verdict_stands_on_the_page_of_the_answer(booklets, pages):
    on_page = [words(text) for text in pages["answers"]]
    found = re.findall(r"([^\n]+)\n```+\n\n\*(\d\d\.\d: right[^*]*)\*", booklets["answers"].text)
    assert len(found) >= len(exercises())
    for code, verdict in found:
        assert any(words(verdict) in page and words(code) in page for page in on_page), verdict


# What is in the handout.


def test_a_sheet_has_a_place_for_each_guess_and_never_the_answer(booklets, texts):
    for lesson in LESSONS:
        asked = lessons.predictions(lesson)
        assert asked, lesson.number
        for one in asked:
            assert words(f"{one['id']} {one['question'].replace('`', '')}") in texts["handout"]
            assert set(one) == {"id", "question", "options", "kind", "unit"}
            place = lessons.boxes(one)
            assert place.count("{.option}") == len(one["options"])
            assert one["options"] or "#blank" in place
            assert place in booklets["handout"].text


def test_forms_take_the_place_of_ruled_lines_for_code(booklets):
    text = booklets["handout"].text
    for form in ("registers", "stack", "walk", "bits"):
        assert f"#form-{form}" in text
    for exercise in on_paper(booklets["handout"]):
        assert "#room(" in exercise and "\ndef " not in exercise, exercise[:60]


def test_nothing_on_a_sheet_needs_the_screen_but_what_is_named_as_such(booklets):
    for exercise in on_paper(booklets["handout"]):
        for word in ("workbench", "Ctrl+Enter", "import ", "print(", "show_source", "Listing:"):
            assert word not in exercise, exercise[:60]
    named = re.findall(
        r"^\*\*At the screen\*\*, in the notebook: (.*)\.$", booklets["handout"].text, re.M
    )
    elsewhere = {number for line in named for number in re.findall(r"\*\*(\d\d\.\d)\*\*", line)}
    assert len(named) == len(LESSONS) and elsewhere == set(exercises()) - lessons.PAPER


def test_what_an_exercise_lists_is_printed_in_full(texts):
    assert words("#define KVM_HOST_HCALL_IDX___vgic_v3_read_vmcr 10") in texts["handout"]  # 06.1
    assert words("// your three lines") in texts["handout"]  # 09.2


def test_the_key_points_come_after_the_predictions_that_they_answer(booklets):
    for sheet in re.split(r"^## (?=Lesson)", booklets["handout"].text, flags=re.MULTILINE)[1:]:
        assert sheet.index("**Predict**") < sheet.index("**Key points**")


def test_a_number_in_hexadecimal_is_never_set_in_the_type_of_the_text(booklets):
    """There its letters run together: 0xfff, for one, is five signs wide."""
    for booklet in booklets.values():
        made = re.sub(r"`+[^`]*`+", "", booklet.typst().partition("\n#show")[2])
        told = re.sub(r'#(?:picture|fitted)\(".*?\n', "", made)
        assert re.findall(r"0x[0-9a-f]+", told) == []


@pytest.mark.parametrize("paper", build.PAPERS)
def test_the_card_is_two_sides_of_one_sheet(booklets, paper):
    card = booklets["card"]
    assert len(card.compile(None, format="png", ppi=20, paper=paper)) == 2
    for term in facts.glossary():
        assert words(term.term) in words(card.text)
    for said in ("m.call(", "m.hvc(", "next step", "ESR_EL2", "kern_hyp_va", "relocated"):
        assert said in card.text, said


def test_the_keys_on_the_card_are_those_of_the_stepper():
    keys = tables.stepper_keys()
    assert ("n or \u2192", "next step") in keys and len(keys) >= 15


def test_an_answer_has_its_question_above_it(booklets):
    text = booklets["answers"].text
    for lesson in LESSONS:
        for number, question in lessons.questions(lesson).items():
            heading = text.index(f"## Exercise {number}:")
            assert heading < text.index(question.splitlines()[0], heading) < heading + 400, number


def test_the_slides_ask_each_prediction_and_show_the_pictures_of_each_lesson():
    slides = build.slides()
    text = slides.text
    assert len(slides.pictures) > len(LESSONS) and text.count("#fitted(") == len(slides.pictures)
    assert len(slides.compile(None, format="png", ppi=5)) > len(slides.pictures)
    for lesson in LESSONS:
        assert f"# {lesson.number}: {lesson.title}" in text
        for one in lessons.predictions(lesson):
            assert f"## Predict {one['id']}" in text and lessons.marked(one["question"]) in text


def test_a_booklet_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit):
        build.main(["poster"])
    assert (
        "no booklet 'poster'; there are handout, answers, card, slides" in capsys.readouterr().err
    )


def test_the_handout_names_every_exercise_of_every_lesson(texts):
    for lesson in LESSONS:
        for cell in lesson.section("## Exercises"):
            for number, name in re.findall(r"^### Exercise (\d\d\.\d): (.+) \(", cell.source, re.M):
                assert (
                    words(f"{number} {name}") in texts["handout"]
                    or words(f"Exercise {number}: {name}") in texts["handout"]
                ), number


def test_a_sheet_has_title_minutes_objectives_and_key_points(texts):
    for lesson in LESSONS:
        assert words(f"Lesson {lesson.number}: {lesson.title}") in texts["handout"]
        minutes = "Minutes {} teaching, {} exercises".format(*lesson.minutes)
        assert words(minutes) in texts["handout"]
        points = re.findall(r"^- (.+)$", lesson.section("## Key points")[0].source, re.MULTILINE)
        assert points
        for point in points:
            assert words(re.sub(r"\*|`|\\", "", point)) in texts["handout"], point


def test_the_handout_tells_the_whole_story_and_says_how_sure_it_is(texts):
    for event in facts.history():
        assert words(event.title) in texts["handout"], event
    for remark in facts.suggestions():
        assert words(remark.what) in texts["handout"], remark
    assert "recalled" not in texts["handout"]


def test_the_reference_has_every_call_with_its_numbers(texts):
    for call in facts.hypercalls():
        row = f"{call.index} {0x100 + call.index:#x} {0x1000 + call.index:#x} {call.smccc_id:#x}"
        assert words(row) in texts["handout"]
        assert words(call.prototype) in texts["handout"]
    for stub in facts.stubs():
        assert words(f"{stub.number} {stub.name}") in texts["handout"]


def test_the_map_of_x0_is_what_the_machines_do():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in tables.behaviour().splitlines()
        if line.startswith("|")
    ]
    head, found = (
        rows[0],
        {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]},
    )
    assert head[1:] == [
        f"`{key}`" for key in ("fnptr", "numbered", "reviewed", "jump_table", "smccc")
    ]
    assert found["`0x100` to `0x10d`"]["`numbered`"] == "**handler**"
    assert found["`0x1000` to `0x100d`"]["`jump_table`"] == "**handler**"
    assert found["`0x10e` to `0xfff`"]["`numbered`"] == "refused: -38"
    assert found["`0x10e` to `0xfff`"]["`jump_table`"] == "stub: `0xbadca11`"
    assert found["`0x11` to `0xff`"]["`fnptr`"] == "panic"
    assert found["a function's hyp address"]["`fnptr`"] == "**handler**"
    assert {of_row["`fnptr`"] for of_row in found.values()} == {
        "stub: `0xbadca11`",
        "restart",
        "stub: 0",
        "panic",
        "**handler**",
    }


def test_a_range_in_which_a_machine_does_several_things_stops_the_build():
    with tables.Machine("numbered", seed=1) as machine:
        with pytest.raises(lessons.HandoutError, match="x0 from 0x0 to 0x3 does several things"):
            tables._agreed(machine, "numbered", [0, 3])


# What is not in the handout.


def shown_to_learners():
    """All text of the learner's notebooks, as comparable words."""
    return words(
        "\n".join(
            text
            for lesson in LESSONS
            for cell in lesson.cells
            for text in (
                cell.source,
                *(
                    output.get("text", "") + output.get("data", {}).get("text/plain", "")
                    for output in cell.get("outputs", ())
                ),
            )
        )
    )


def test_the_learners_copy_holds_no_answer(texts, booklets):
    shown = shown_to_learners()
    code = {
        line.strip()
        for lesson in SOLUTIONS
        for cell in lesson.cells
        if cell.cell_type == "code"
        for line in cell.source.splitlines()
        if not line.startswith("check(")
    }
    secret = {line for line in code if len(words(line)) >= 12 and words(line) not in shown}
    assert len(secret) >= 5 * len(SOLUTIONS)
    assert {line for line in secret if words(line) in texts["handout"]} == set()
    assert {line for line in secret if words(line) not in texts["answers"]} == set()
    assert not re.search(r"\d\d\.\d: (right|not answered yet)", booklets["handout"].text)


def test_the_learners_copy_holds_no_answer_in_words(texts):
    """Nor the verdicts of right answers, nor the sentences of the solutions."""
    for lesson in SOLUTIONS:
        told = [
            output.data["text/plain"]
            for cell in lesson.cells
            if cell.cell_type == "code"
            for output in cell.outputs
            if ": right. " in output.get("data", {}).get("text/plain", "")
        ]
        prose = [cell.source for cell in lesson.cells[1:] if cell.cell_type == "markdown"]
        sentences = [
            line
            for text in prose
            for line in text.splitlines()
            if len(words(line)) > 50 and not line.startswith("#")
        ]
        assert told
        for sentence in [*told, *sentences]:
            assert words(sentence) not in texts["handout"], sentence


def test_the_learners_copy_holds_no_instructor_note(texts):
    lines = [line.strip("#|*- ") for line in INSTRUCTOR.splitlines()]
    notes = [line for line in lines if len(words(line)) >= 30]
    notes += [line[3:] for line in INSTRUCTOR.splitlines() if line.startswith("## ")]
    assert len(notes) > 80
    assert [note for note in notes if words(note) in texts["handout"]] == []


# What the pieces do with lessons that are not as they should be.


def lesson(*cells, name="01-a.ipynb"):
    return lessons.Lesson(
        Path(name),
        tuple(
            lessons.NotebookNode(cell_type=kind, source=source, outputs=[])
            for kind, source in cells
        ),
    )


OPENING = ("markdown", "# A\n\n**Minutes** 20 teaching, 15 exercises")
POINTS = ("markdown", "## Key points\n\n- one")


def test_a_sheet_leaves_out_what_only_a_notebook_needs():
    asked = (
        "markdown",
        "## Exercises\n\nRun it.\n\n% stepper: x\n\n### Exercise 02.1: x (easy)\n\nA?",
    )
    code = ("code", "from hypkit.check import check, hint\n\nanswer = ...\n\ncheck('02.1', answer)")
    form = ("code", "answer = [..., ...]\n\ncheck('02.1', answer)")
    made = lessons.sheet(lesson(OPENING, asked, code, form, POINTS), {})
    for left_out in ("check", "Run it", "stepper", "answer = ...\n"):
        assert left_out not in made
    assert "```python\nanswer = [..., ...]\n```" in made and made.count("- one") == 1
    assert made.index("20 teaching") < made.index("### Exercise 02.1") < made.index("- one")


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([OPENING], "01-a.ipynb has no section '## Key points'"),
        ([OPENING, POINTS], "01-a.ipynb has no section '## Exercises'"),
        (
            [OPENING, POINTS, ("markdown", "## Exercises\n\n### Exercise 02.1: x (tough)\n")],
            r"'### Exercise 02.1: x \(tough\)' must end with how hard it is: easy, medium",
        ),
    ],
)
def test_a_lesson_that_gives_no_sheet_is_named(cells, sentence):
    with pytest.raises(lessons.HandoutError, match=sentence):
        lessons.sheet(lesson(*cells), {})


def test_a_table_or_minutes_that_are_missing_are_named():
    bare = lesson(("markdown", "# A"))
    with pytest.raises(lessons.HandoutError, match="has no table that begins with '| x'"):
        bare.table("| x")
    with pytest.raises(lessons.HandoutError, match="does not say how many minutes"):
        bare.minutes  # noqa: B018


def test_a_master_text_that_asks_for_what_is_not_there_stops_the_build(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(build.tables, "ladders", lambda pictures: {})
    (tmp_path / "handout.md").write_text("<<nothing>>\n")
    with pytest.raises(lessons.HandoutError, match="nothing is called <<nothing>>; there are addr"):
        build.handout()
    (tmp_path / "handout.md").write_text("<<table 99: | x>>\n")
    with pytest.raises(lessons.HandoutError, match="no lesson 99 for <<table 99"):
        build.handout()


def test_code_that_holds_backquotes_stays_in_one_piece():
    assert lessons.fenced("a\n```\nb", "text") == "````text\na\n```\nb\n````"


def test_a_sign_at_the_beginning_of_a_cell_is_no_list():
    text = tables.table(("a", "b"), [("+ enum", "= 1"), ("- 1", "x")])
    made = build.Booklet("x", "x", "x", text=text).typst()
    assert r"[\+ enum], [\= 1]" in made and r"[\- 1]" in made


def test_typst_is_new_enough_for_the_accessible_pdf():
    pdf = typst.compile(b'#set document(title: "a"); a', pdf_standards=["ua-1"])
    assert pdf.startswith(b"%PDF")


# The instructor's text.


def day():
    """The rows of the day's table: from, minutes, what, teaching, exercises, part."""
    block = INSTRUCTOR.partition("## The day")[2].partition("### When time is short")[0]
    lines = [line for line in block.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_days_minutes_are_those_of_the_notebooks():
    planned = {row[2][-2:]: (int(row[3]), int(row[4])) for row in day() if "Lesson" in row[2]}
    assert planned.items() >= {lesson.number: lesson.minutes for lesson in LESSONS}.items()
    assert [number for number in planned] == sorted(planned)
    said = re.search(r"All fourteen lessons take [a-z ]+ hours \((\d+) minutes\)", INSTRUCTOR)
    assert int(said[1]) == sum(map(sum, planned.values()))


def test_the_day_goes_from_minute_to_minute_and_is_five_and_a_half_hours_of_course():
    rows = day()
    for row, following in zip(rows, rows[1:], strict=False):
        hours, minutes = map(int, row[0].split(":"))
        ends = hours * 60 + minutes + int(row[1])
        assert following[0] == f"{ends // 60:02}:{ends % 60:02}", row
    course = [row for row in rows if "Lesson" in row[2]]
    assert sum(int(row[1]) for row in course) == 330
    assert all(int(row[1]) <= int(row[3]) + int(row[4]) for row in course)
    assert all(int(row[1]) <= 90 for row in rows)


def test_the_exercises_and_places_that_the_instructor_is_sent_to_are_there():
    known = {lesson.number: lesson for lesson in LESSONS}
    for number in set(re.findall(r"\b\d\d\.\d\b", INSTRUCTOR)):
        assert number in exercises(), number
    for row in day():
        for heading in re.findall(r'"(.+?)"', row[5]):
            text = "\n".join(cell.source for cell in known[row[2][-2:]].cells)
            assert re.search(rf"^##+ {re.escape(heading)}", text, re.MULTILINE), heading
    assert "## Every instruction is a door" in "\n".join(c.source for c in known["03"].cells)


def test_every_lesson_has_its_stumbling_block():
    block = INSTRUCTOR.partition("## Where learners stumble")[2].partition("\n## ")[0]
    assert {lesson.number for lesson in LESSONS} <= set(re.findall(r"^\| (\d\d) \|", block, re.M))


def test_the_commands_in_the_instructors_text_exist():
    makefile = (TOP / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", INSTRUCTOR, re.MULTILINE))
    assert {"handout", "notebooks", "check", "test", "lab"} <= named <= set(targets)

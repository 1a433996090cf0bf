"""What each ABI lets a hostile host do: the matrix that the lesson shows, cell by cell."""

import pytest

from hypkit.attack import Matrix, Outcome, matrix
from hypkit.timetravel.opener import Opener

CALLS = 1_500


@pytest.fixture(scope="module")
def found():
    keys = ["fnptr", "numbered", "jump_table", "relocated", "smccc", "vhe"]
    return matrix(keys, calls=CALLS, progress=False)


def test_a_pointer_enters_any_instruction_and_a_number_only_its_functions(found):
    assert found["fnptr", "x0"].outcome is Outcome.MID_FUNCTION
    for key in ("numbered", "jump_table", "relocated"):
        assert found[key, "x0"].outcome is Outcome.REFUSED
        assert found[key, "x0"].finding is None


def test_arguments_are_believed_by_all(found):
    for key in found.variants[:-1]:
        assert found[key, "arguments"].outcome in (Outcome.PANIC, Outcome.EL2_CHANGED)
        assert found[key, "arguments"].finding.verdict.by_arguments
        assert found[key, "structures"].outcome is Outcome.PANIC


def test_who_reads_a_word_of_el1_is_steered_by_who_writes_it(found):
    assert found["numbered", "variables"].outcome is Outcome.MID_FUNCTION
    for key in ("fnptr", "jump_table", "relocated"):
        assert found[key, "variables"].outcome is None
    assert found["numbered", "table"].outcome is Outcome.MID_FUNCTION
    assert found["relocated", "table"].outcome is Outcome.MID_FUNCTION
    assert found["jump_table", "table"].outcome is None


def test_no_dispatcher_mends_the_page_tables_or_the_soft_restart(found):
    for key in found.variants[:-1]:
        assert found[key, "page tables"].outcome is Outcome.FOREIGN_CODE
        assert found[key, "stub"].outcome is Outcome.RESTARTED


def test_a_cell_opens_in_the_stepper_and_an_empty_one_says_why_not(found):
    assert "fnptr" in repr(found["fnptr", "x0"].stepper())
    with pytest.raises(ValueError, match="jump_table, table: nothing was found to step"):
        found["jump_table", "table"].stepper()
    with pytest.raises(KeyError, match="expected a variant and a power, such as 'fnptr', 'x0'"):
        found["fnptr", "luck"]


def test_the_matrix_can_be_read_as_text_and_as_a_table(found):
    text, page = repr(found), found._repr_html_()
    assert text.splitlines()[1].startswith("fnptr") and "entered mid-function" in text
    assert page.count('scope="row"') == 6 and page.count('scope="col"') == 9
    assert "m.hvc(0x1, 0x40446000)" in page


def test_the_picture_has_every_cell_in_words_too(found):
    picture = found.picture()
    assert picture.alt.count("code run that is no hyp text") == 5
    assert picture.alt.count("EL2 restarted where the host says") == 5
    assert "jump_table: x0 refused" in picture.alt and "table nothing to act on" in picture.alt
    assert picture.svg.count(">foreign code<") == 5 and picture.svg.count(">mid-function<") == 4
    assert picture.svg.count(">EL2 restarted<") == 5
    assert [row[0] for row in picture.rows] == list(found.variants)


def test_a_vhe_host_has_no_boundary_and_says_so(found):
    assert {found["vhe", power].words for power in found.powers} == {"no boundary"}
    with pytest.raises(ValueError, match=r"nothing was found to step through \(no boundary\)"):
        found["vhe", "x0"].stepper()


def test_a_call_leaves_hyp_addresses_in_registers_unless_the_abi_gives_them_back(found):
    for key in ("fnptr", "numbered", "jump_table", "relocated"):
        assert found[key, "registers"].outcome is Outcome.LEAKED, key
    # The SMC calling convention gives back x4 to x17; a void handler's x1 goes to the host as it is.
    assert {f.verdict.detail for f in found["smccc", "registers"].reports[0].leaked} == {"x1"}


def test_a_finding_is_asked_for_by_its_kind(found):
    finding = found.finding("fnptr", "mid-function")
    assert finding.verdict.outcome is Outcome.MID_FUNCTION
    assert "fnptr" in repr(finding.stepper())
    with pytest.raises(KeyError, match="no row 'fnptrs'; did you mean 'fnptr'"):
        found.finding("fnptrs", "panic")
    with pytest.raises(
        KeyError, match="nothing of the kind 'luck' was found against fnptr: there is"
    ):
        found.finding("fnptr", "luck")


def test_kernels_that_are_not_here_are_said(found):
    missing = Matrix(list(found.cells.values()), ["5.10", "7.2"])
    assert "No snapshot of Linux 5.10, 7.2 is on this computer" in repr(missing)
    assert "make linux ARGS=" in missing._repr_html_()


def test_a_click_on_an_example_opens_its_stepper_and_a_wrong_one_is_told(found, monkeypatch):
    output = found._repr_mimebundle_()["text/html"]
    examples = sum(cell.finding is not None for cell in found.cells.values())
    assert output.count("<button ") == examples > 20
    assert 'title="matrix[&#x27;fnptr&#x27;, &#x27;x0&#x27;].stepper()"' in output
    sent = []
    monkeypatch.setattr(found._opener, "send", sent.append)
    found._opener._heard(None, {"open": "fnptr, x0"}, [])
    assert "fnptr" in repr(found._opener.opened) and "hypkit-stepper" in sent[0]["html"]
    found._opener._heard(None, {"open": "fnptr, luck"}, [])
    assert len(sent) == 1


def test_a_click_that_fails_says_why_where_it_was_made():
    def fails():
        raise ValueError("no such call")

    opener = Opener("<table></table>", {"a": fails})
    sent = []
    opener.send = sent.append
    opener._heard(None, {"open": "a"}, [])
    assert sent == [{"said": "Error: no such call", "html": ""}]

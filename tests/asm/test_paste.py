"""A learner pastes a dispatcher as the kernel spells it, and gets to the lesson's numbers by doing
what the messages say, nothing else."""

import re

import pytest

from hypkit import Machine
from hypkit.asm import AsmError
from hypkit.kernel.programs import GUEST
from hypkit.lessons.dispatcher_judge import prove
from hypkit.lessons.judge import Wrong
from tests.marks import needs_engine


def pasted() -> str:
    """The kit's own dispatcher of the patch, as it would stand in a patch of the kernel's.

    The lines that were chosen for `numbered`, without the kit's entry, in the spelling of the kernel
    of April 2020: an include, names with two underscores, a macro of its own for the call, SB.
    """
    text = (GUEST / "dispatch_numbered.S").read_text()
    text = re.sub(r"^//.*\n", "", text, flags=re.MULTILINE)
    for option in ("no_base", "cached", "adr_l", "shuffle3"):
        text = re.sub(rf"\.if {option}\n.*?\.else\n(.*?)\.endif\n", r"\1", text, flags=re.DOTALL)
        text = re.sub(rf"\.if {option}\n.*?\.endif\n", "", text, flags=re.DOTALL)
    text = text.replace("        divert_stub_calls\n", "").replace("dispatch:", "", 1)
    text = text.replace("KVM_HOST_HCALL_", "__KVM_HOST_HCALL_").replace(" args=6", "")
    text = text.replace("speculation_barrier", "sb")
    moves = "".join(f"        mov     x{n}, x{n + 1}\n" for n in range(6))
    macro = (
        ".macro do_el2_call\n        str     lr, [sp, #-16]!\n        mov     lr, x0\n"
        f"{moves}        blr     lr\n        ldr     lr, [sp], #16\n.endm\n"
    )
    start = "#include <asm/kvm_host_hypercalls.h>\n"
    return f"{start}{macro}SYM_CODE_START(dispatch)\n{text}\nSYM_CODE_END(dispatch)\n"


def line_out(text: str, error: AsmError) -> str:
    lines = text.split("\n")
    del lines[error.line - 1]
    return "\n".join(lines)


def followed(text: str, error: AsmError) -> str:
    """The text after doing what the message says."""
    said = error.message
    if "the C preprocessor does not run here" in said:
        return line_out(text, error)
    if brings := re.match(r"the kit brings the macro '(\w+)' along .*leave yours out", said):
        return re.sub(rf"\.macro {brings[1]}\b.*?\.endm\n", "", text, flags=re.DOTALL)
    if spelled := re.search(r"'(\w+)' is not defined; did you mean '(\w+)'", said):
        return re.sub(rf"\b{spelled[1]}\b", spelled[2], text)
    if label := re.search(r"write `(\w+:)`$", said):
        lines = text.split("\n")
        lines[error.line - 1] = label[1]
        return "\n".join(lines)
    if said.endswith("leave this line out"):
        return line_out(text, error)
    raise AssertionError(f"nobody can follow this: {error}")


def advised(text: str, sentence: str) -> str:
    """The text after doing what the judge says."""
    if "`divert_stub_calls`" in sentence:
        return text.replace("dispatch:\n", "dispatch:\n        divert_stub_calls\n", 1)
    if eret := re.search(r"every eret.* line (\d+)", sentence):
        lines = text.split("\n")
        place = int(eret[1])
        lines[place : place + ("an sb" in sentence)] = ["        speculation_barrier"]
        return "\n".join(lines)
    raise AssertionError(f"nobody can follow this: {sentence}")


@needs_engine
def test_from_paste_to_the_lessons_numbers_by_following_the_messages():
    text, heard = pasted(), []
    for _ in range(12):
        try:
            Machine("numbered", dispatcher=text).close()
        except AsmError as error:
            heard.append(error.message)
            text = followed(text, error)
        else:
            break
    assert len(heard) >= 5, heard
    score = None
    for _ in range(6):
        try:
            score = prove(text)
        except Wrong as wrong:
            heard.append(str(wrong))
            text = advised(text, heard[-1])
        else:
            break
    assert score is not None, heard
    # do_el2_call of the kit's moves three arguments; the patch's moves six, three more instructions.
    assert (score.instructions, score.loads) == (46, 6)
    six = prove(text.replace("do_el2_call\n", "do_el2_call args=6\n"))
    assert (six.instructions, six.loads, six.bytes) == (49, 6, 348)
    assert six.cycles == {"cortex-a55": 78, "neoverse-n1": 31}


@needs_engine
def test_the_paste_is_not_the_kits_own_text():
    with pytest.raises(AsmError, match="C preprocessor"):
        Machine("numbered", dispatcher=pasted())

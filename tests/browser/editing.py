"""What a reader does in one of the kit's editors: read its text, and put another in its place."""


def editor_of(page, label):
    """The editor of a label, once CodeMirror is there."""
    editor = page.locator(f'.cm-content[aria-label="{label}"]')
    editor.wait_for()
    return editor


def text_in(editor):
    """The whole text of an editor, also what is scrolled out of sight."""
    return editor.evaluate("(content) => content.closest('.hk-edit').code.text")


def type_over(page, editor, text):
    """Select all, and paste a text over it."""
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def wrong_line(page):
    """The number of the line that is marked as wrong."""
    page.locator(".hk-crosses .hk-wrong-line", has_text="✖").wait_for()
    return int(page.locator(".cm-lineNumbers .hk-wrong-line").inner_text())

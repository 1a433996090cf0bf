"""A real browser for the tests of the stepper, a JupyterLab for it to visit, and axe-core."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from tests.judges import BROWSER_FLAGS, judge, required

ROOT = Path(__file__).resolve().parents[2]
AXE = "axe-core@4.10.3"
PATIENCE = 60_000  # milliseconds: on a busy machine a kernel alone takes many seconds to start


@pytest.fixture(scope="session")
def launched():
    """launched(path) -> a Chromium, started and in the end closed."""
    judge("browser")
    from playwright.sync_api import sync_playwright

    with contextlib.ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())

        def launch(path):
            browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
            stack.callback(browser.close)
            return browser

        yield launch


@pytest.fixture(scope="session")
def chromium(launched):
    """Debian's Chromium as a person has it, one for all tests: Jupyter's applications run in it."""
    return launched(judge("browser"))


@pytest.fixture(scope="session")
def shell(launched):
    """Chromium's engine alone, where it is installed: it shows the kit's own pages in half the time."""
    return launched(shutil.which("chromium-headless-shell") or judge("browser"))


@pytest.fixture
def errors():
    """What pages complained about during a test; the test fails when it is not empty."""
    found = []
    yield found
    assert not found


@pytest.fixture(scope="session")
def cut_off(shell):
    """A browser context without a network."""
    context = shell.new_context(offline=True)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def offline(cut_off, errors, tmp_path):
    """open(html, ...) -> page: a file in a browser whose network is off."""
    pages = []

    def open_file(text, *, width=1400, height=1000, scheme="light"):
        path = tmp_path / f"page{len(pages)}.html"
        path.write_text(text, encoding="utf-8")
        page = cut_off.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda request: errors.extend(
                []
                if request.url.startswith(("file:", "data:", "blob:"))
                else [f"asked the network for {request.url}"]
            ),
        )
        page.goto(path.as_uri())
        if 'id="stepper-data"' in text:  # an exported file: it has to unpack its data
            page.wait_for_function("globalThis.hypkit !== undefined")
        return page

    yield open_file
    for page in pages:
        if not page.is_closed():
            page.evaluate("localStorage.clear()")  # notes, which a file's next reader would find
        page.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The text of axe-core's script, from the npm registry."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    reason = "npm is missing"
    if npm:
        done = subprocess.run(
            [
                npm,
                "install",
                "--prefix",
                folder,
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--silent",
                AXE,
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        script = folder / "node_modules" / "axe-core" / "axe.min.js"
        if script.exists():
            return script.read_text(encoding="utf-8")
        reason = done.stderr.strip()[-300:]
    message = f"{AXE} could not be installed: {reason}"
    if "browser" in required():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def command(page, name, args=None):
    """Give JupyterLab a command. Not waited for: some are done only when a dialog is answered."""
    page.evaluate(
        "([name, args]) => void jupyterapp.commands.execute(name, args)", [name, args or {}]
    )


def _free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def served(folder, module, *more):
    """Start an application of Jupyter with settings of its own, and give the address it serves at."""
    port = _free_port()
    settings = {
        name: str(folder / f".{name.lower()}")
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "IPYTHONDIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
        )
    }
    # No dialog about a kernel, no question about news: nobody is there to answer.
    for plugin, wish in (
        ("notebook-extension/tracker", {"autoStartDefaultKernel": True}),
        ("apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False}),
    ):
        path = Path(
            settings["JUPYTERLAB_SETTINGS_DIR"], f"@jupyterlab/{plugin}.jupyterlab-settings"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wish), encoding="utf-8")
    environment = os.environ | settings | {"PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            module,
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--ServerApp.token=",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={folder}",
            *more,
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            assert server.poll() is None, f"{module} did not start"
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # with its kernels, which are in its session
        try:
            server.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


LAB = (
    "jupyterlab",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab with settings of its own: (its address, the folder that it serves)."""
    folder = tmp_path_factory.mktemp("lab")
    with served(folder, *LAB) as address:
        yield address, folder


@pytest.fixture(scope="session")
def laboratory(lab, chromium):
    """A page with JupyterLab in it, opened once: it takes seconds."""
    address, folder = lab
    context = chromium.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.complaints = []
    # anywidget runs our module from a blob; what JupyterLab itself stumbles over is not ours.
    page.on(
        "pageerror",
        lambda error: page.complaints.extend(
            [str(error)] if "blob:" in (error.stack or "") else []
        ),
    )
    page.goto(f"{address}/lab?reset")
    page.wait_for_selector(".jp-Launcher")
    yield page
    context.close()


def _cell(text, name):
    """A code cell, or a cell of text where the text begins with two line feeds."""
    make = nbformat.v4.new_markdown_cell if text.startswith("\n\n") else nbformat.v4.new_code_cell
    return make(text.removeprefix("\n\n"), id=name)


def turning(rounds):
    """A dispatcher that turns in a loop, two steps a round, and then finds nothing."""
    return f"""dispatch:
        mov x9, #{rounds}
1:      sub x9, x9, #1
        cbnz x9, 1b
dispatch_find:
dispatch_call:
dispatch_return:
        eret
"""


def until_ready(page):
    """Wait until the notebook in front has a kernel that waits for a cell."""
    page.wait_for_function("""() => {
      const session = globalThis.jupyterapp?.shell.currentWidget?.sessionContext;
      return session?.isReady && session.session?.kernel?.status === "idle";
    }""")


def closed(page):
    """Save the notebook in front as its owner does, end its kernel, close it, and give its name."""
    # Not by the commands: they ask whether to save and whether to stop the kernel.
    name = page.evaluate("""async () => {
      const widget = jupyterapp.shell.currentWidget;
      await widget.context.save();
      await widget.sessionContext.shutdown();
      const name = widget.title.label;
      widget.dispose();
      return name;
    }""")
    page.locator(".hk-view").first.wait_for(state="detached")
    return name


@pytest.fixture
def notebook(laboratory, lab):
    """open(cell, ...) -> the page, with a notebook of these cells in front, run from the top.

    A notebook that is there already (name=) is opened as it is.
    """
    page, folder = laboratory, lab[1]

    def open_notebook(*cells, name=None):
        run = name is None
        if run:
            name = f"test{len(list(folder.glob('*.ipynb')))}.ipynb"
            book = nbformat.v4.new_notebook(
                cells=[_cell(cell, f"cell-{n}") for n, cell in enumerate(cells)],
                metadata={
                    "kernelspec": {"name": "python3", "display_name": "Python 3"},
                    "language_info": {"name": "python"},
                },
            )
            nbformat.write(book, folder / name)
        command(page, "docmanager:open", {"path": name})
        page.wait_for_function(
            """([name, run]) => {
              const widget = jupyterapp.shell.currentWidget;
              const session = widget?.sessionContext;
              return widget?.title.label === name && widget.content.widgets.length
                && (!run || session.isReady && session.session?.kernel?.status === "idle");
            }""",
            arg=[name, run],
        )
        if run:  # earlier, the command would be lost
            command(page, "notebook:run-all-cells")
        return page

    page.complaints.clear()
    yield open_notebook
    closed(page)
    assert not page.complaints

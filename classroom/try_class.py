"""A class on a hub, with everybody at once: `python classroom/try_class.py`, which is `make class`.

The hub is that of jupyterhub_config.py. So many learners sign in, get their servers, open lesson 01,
run all of it, and have three answers checked: a number, a function, and assembly. Two more disturb:
one's loop never ends, and one wants all memory. What is measured: how long each waits for a server, how
long lesson 01 takes, the time of a check and of a step (a cell that makes one call and looks at it, by
each learner in turn), and the memory of a learner's processes together. It fails if a learner sees an
error, a check that does not pass, or a kernel that dies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

HERE = Path(__file__).resolve().parent
TOP = HERE.parent
LESSON = "lessons/01-there-and-back.ipynb"
# A number; a function, which may run for three seconds; a text, which another process assembles.
CHECKS = (
    "from hypkit import Machine; from hypkit.check import check\n"
    "check('01.1', Machine('fnptr', seed=7).address('__kvm_call_hyp') + 4)",
    "check('04.2', lambda x: 'stub' if x < 3 else 'call' if 256 <= x < 270 else '-ENOSYS')",
    "from hypkit.lessons.exercises.lesson04 import SOLUTION\ncheck('04.4', SOLUTION)",
)
STEP = "numbered.call('__kvm_timer_set_cntvoff', 0x1234).trace.find('dispatch_find')"
STEPS = 10  # by each learner
LOOP = "while True: pass"
HOG = "hog = []\nwhile True: hog.append(bytearray(16 << 20))"
PATIENCE = 600  # seconds


class ClassError(Exception):
    """Something that a class must not see."""


@dataclass
class Learner:
    """One who sits in the class: cookies, a server, a kernel; and what was measured."""

    name: str
    hub: str
    password: str
    jar: dict[tuple[str, str], str] = field(default_factory=dict)  # (path, name) -> value
    kernel: str = ""
    ready: float = 0.0
    lesson: float = 0.0
    checks: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    memory: int = 0

    @property
    def server(self) -> str:
        """Return the address of this learner's server."""
        return f"{self.hub}/user/{self.name}"

    def cookies(self, url: str) -> dict[str, str]:
        """Return the cookies for an address; of a name that is there twice, the nearer one."""
        path = f"{url.removeprefix(self.hub).partition('?')[0]}/"
        near = sorted(self.jar, key=lambda key: len(key[0]))
        return {name: self.jar[place, name] for place, name in near if path.startswith(place)}

    async def ask(
        self, method: str, url: str, body: Any = None, form: bool = False
    ) -> HTTPResponse:
        """Return the answer to a request, with the cookies that were given before."""
        for _ in range(10):
            mine = self.cookies(url)
            headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in mine.items())}
            data = None
            if body is not None:
                data = urlencode(body) if form else json.dumps(body)
                headers["Content-Type"] = (
                    "application/x-www-form-urlencoded" if form else "application/json"
                )
                headers["X-XSRFToken"] = mine.get("_xsrf", "")
            elif method == "POST":
                data = ""
            answer = await AsyncHTTPClient().fetch(
                url, method=method, headers=headers, body=data, follow_redirects=False,
                request_timeout=PATIENCE, connect_timeout=PATIENCE, raise_error=False,
            )  # fmt: skip
            for cookie in answer.headers.get_list("Set-Cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                path = re.search(r";\s*path=([^;]+)", cookie, re.IGNORECASE)
                self.jar[path[1] if path else "/", name] = value
            if answer.code not in (301, 302, 303, 307):
                return answer
            place = answer.headers["Location"]
            url = place if place.startswith("http") else self.hub + place
            method, body = "GET", None
        raise ClassError(f"{self.name} is sent round in a circle, at {url}")

    async def sign_in(self) -> None:
        """Sign in, and wait until the server is ready."""
        began = time.monotonic()
        await self.ask("GET", f"{self.hub}/hub/login")
        said = {"username": self.name, "password": self.password}
        said["_xsrf"] = self.cookies(f"{self.hub}/hub/login")["_xsrf"]
        answer = await self.ask(
            "POST", f"{self.hub}/hub/login?next=%2Fhub%2Fspawn", said, form=True
        )
        if answer.code != 200:
            raise ClassError(f"{self.name} cannot sign in: {answer.code} {answer.reason}")
        while True:
            answer = await self.ask("GET", f"{self.server}/lab")
            if answer.code == 200 and b"jupyter-config-data" in answer.body:
                break
            if time.monotonic() - began > PATIENCE:
                raise ClassError(f"{self.name} got no server in {PATIENCE} s: {answer.code}")
            await asyncio.sleep(1)
        self.ready = time.monotonic() - began

    async def get(self, path: str, body: Any = None, method: str = "") -> Any:
        """Return what the server's API says."""
        method = method or ("GET" if body is None else "POST")
        answer = await self.ask(method, f"{self.server}/api/{path}", body)
        if answer.code >= 400:
            raise ClassError(f"{self.name}: {path} answers {answer.code}: {answer.body[:300]!r}")
        return json.loads(answer.body or b"null")

    async def start(self, name: str) -> None:
        """Open a notebook with a kernel of its own."""
        wanted = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "python3"}}
        self.kernel = (await self.get("sessions", wanted))["kernel"]["id"]

    async def connect(self) -> WebSocketClientConnection:
        """Return a channel to the kernel."""
        from tornado.httpclient import HTTPRequest

        address = self.server.replace("http", "ws", 1) + f"/api/kernels/{self.kernel}/channels"
        mine = self.cookies(f"{self.server}/api")
        cookies = "; ".join(f"{k}={v}" for k, v in mine.items())
        return await websocket_connect(
            HTTPRequest(address, headers={"Cookie": cookies}, request_timeout=PATIENCE),
            max_message_size=64 << 20,
        )

    async def run(self, channel: WebSocketClientConnection, code: str) -> str:
        """Run a cell; return what it shows as text. ClassError for an error."""
        mark = await send(channel, code)
        shown: list[str] = []
        while True:
            said = await asyncio.wait_for(channel.read_message(), PATIENCE)
            if said is None:
                raise ClassError(f"{self.name}: the kernel is gone, in {code[:60]!r}")
            message = json.loads(said)
            if message["parent_header"].get("msg_id") != mark:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "error":
                raise ClassError(f"{self.name}: {content['ename']}: {content['evalue']}")
            if kind in ("execute_result", "display_data"):
                shown.append(content["data"].get("text/plain", ""))
            if kind == "status" and content["execution_state"] == "idle":
                return "\n".join(shown)

    async def work(self) -> None:
        """Run all of lesson 01, give an answer, then make steps."""
        book = await self.get(f"contents/{LESSON}")
        await self.start(LESSON)
        channel = await self.connect()
        began = time.monotonic()
        for cell in book["content"]["cells"]:
            if cell["cell_type"] == "code":
                await self.run(channel, "".join(cell["source"]))
        self.lesson = time.monotonic() - began
        for check in CHECKS:
            began = time.monotonic()
            said = await self.run(channel, check)
            if ": right." not in said:
                raise ClassError(f"{self.name}: the check says {said!r}")
            self.checks.append(time.monotonic() - began)
        for _ in range(STEPS):
            began = time.monotonic()
            await self.run(channel, STEP)
            self.steps.append(time.monotonic() - began)
            await asyncio.sleep(secrets.randbelow(2000) / 1000)  # somebody reads
        channel.close()


async def send(channel: WebSocketClientConnection, code: str) -> str:
    """Ask a kernel to run a cell; return the request's mark."""
    mark = uuid4().hex
    header = {"msg_id": mark, "msg_type": "execute_request", "username": "", "session": mark,
              "version": "5.3", "date": ""}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {},
               "allow_stdin": False, "stop_on_error": False}  # fmt: skip
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content,
               "channel": "shell", "buffers": []}  # fmt: skip
    await channel.write_message(json.dumps(message))
    return mark


def memory(root: Path, name: str) -> int:
    """Return the bytes of a learner's processes together: shared pages in shares (PSS)."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = process.joinpath("environ").read_bytes()
            if f"HOME={root}/learners/{name}".encode() not in said.split(b"\0"):
                continue
            for line in process.joinpath("smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
        except OSError:  # ended meanwhile
            continue
    return total


def ports() -> int:
    """Return the first of three free ports."""
    for first in range(18000 + secrets.randbelow(9000), 32000, 3):
        try:
            for port in range(first, first + 3):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise ClassError("no three free ports")


async def lesson(learners: list[Learner], root: Path, disturbed: bool) -> None:
    """Have all learners work at once, with two who disturb."""
    await asyncio.gather(*(one.sign_in() for one in learners))
    bad = [Learner(name, learners[0].hub, learners[0].password) for name in ("loop", "hog")]
    if disturbed:
        await asyncio.gather(*(one.sign_in() for one in bad))
        loop, hog = bad
        for one in bad:
            await one.start("mine.ipynb")
        channel = await loop.connect()
        await send(channel, LOOP)
        greedy = await hog.connect()
        try:
            await hog.run(greedy, HOG)
        except ClassError as error:
            if "MemoryError" not in str(error):
                raise
        else:
            raise ClassError("expected a MemoryError for the one who wants all memory; got none")
        if await hog.run(greedy, "del hog; 7 * 6") != "42":
            raise ClassError("the kernel of the one who wanted all memory answers no more")
    await asyncio.gather(*(one.work() for one in learners))
    for one in learners:
        one.memory = memory(root, one.name)
    if disturbed:
        await bad[0].get(f"kernels/{bad[0].kernel}/interrupt", {})
        if await bad[0].run(await bad[0].connect(), "7 * 6") != "42":
            raise ClassError("an endless loop cannot be stopped any more")


def spread(values: list[float], unit: str, digits: int) -> str:
    """Return median, 95th percentile and most of some values."""
    found = sorted(values)
    p95 = found[min(len(found) - 1, int(0.95 * len(found)))]
    of = (found[len(found) // 2], p95, found[-1])
    return "median {}, p95 {}, most {}".format(*(f"{value:.{digits}f} {unit}" for value in of))


def main(arguments: list[str]) -> int:
    """Hold the class; return the exit status."""
    parser = argparse.ArgumentParser(prog="make class", description=__doc__)
    parser.add_argument("--learners", type=int, default=20)
    parser.add_argument("--quiet", action="store_true", help="without the two who disturb")
    parser.add_argument("--proxy", help="configurable-http-proxy (default: on the path, or by npm)")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="hypkit-class-"))
    first, password = ports(), secrets.token_hex(8)
    outside = os.environ | {
        "HYPKIT_HUB_ROOT": str(root), "HYPKIT_HUB_SIGN_IN": "shared", "HYPKIT_HUB_PORT": str(first),
        "HYPKIT_HUB_PASSWORD": password, "HYPKIT_HUB_PROXY": proxy(options.proxy, root),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")])),
    }  # fmt: skip
    log = root / "hub.log"
    with log.open("wb") as said:
        hub = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", HERE / "jupyterhub_config.py"],
            cwd=root, env=outside, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{first}"
    names = [f"learner{number:02}" for number in range(1, options.learners + 1)]
    learners = [Learner(name, address, password) for name in names]
    try:
        asyncio.run(held(hub, learners, root, not options.quiet))
    except (ClassError, OSError, HTTPClientError, TimeoutError) as error:
        print(f"the class failed: {type(error).__name__}: {error}", file=sys.stderr)
        print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
        return 1
    finally:
        end(hub, root)
        shutil.rmtree(root, ignore_errors=True)
    disturbers = "nobody disturbed" if options.quiet else "a loop and a memory hog beside them"
    print(f"{len(learners)} learners on {os.cpu_count()} processors, {disturbers}: no error")
    print("server ready after:  ", spread([one.ready for one in learners], "s", 1))
    print("all of lesson 01 in: ", spread([one.lesson for one in learners], "s", 1))
    print(
        "a check takes:       ", spread([took for one in learners for took in one.checks], "s", 1)
    )
    steps = [1000 * step for one in learners for step in one.steps]
    print("a step takes:        ", spread(steps, "ms", 0))
    print("memory of a learner: ", spread([one.memory / 2**20 for one in learners], "MiB", 0))
    return 0


async def held(
    hub: subprocess.Popen[bytes], learners: list[Learner], root: Path, bad: bool
) -> None:
    """Wait for the hub, and hold the class."""
    AsyncHTTPClient.configure(None, max_clients=200)
    for _ in range(240):
        if hub.poll() is not None:
            raise ClassError("the hub does not start")
        try:
            await AsyncHTTPClient().fetch(f"{learners[0].hub}/hub/api")
            break
        except (OSError, HTTPClientError):
            await asyncio.sleep(0.5)
    await lesson(learners, root, bad)


def proxy(named: str | None, root: Path) -> str:
    """Return the command of the proxy: what was named, what is on the path, or npm's."""
    found = named or shutil.which("configurable-http-proxy")
    if found:
        return found
    folder = root / "npm"
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent"]
    subprocess.run([*command, "configurable-http-proxy@^5"], check=True)
    return str(folder / "node_modules" / ".bin" / "configurable-http-proxy")


def end(hub: subprocess.Popen[bytes], root: Path) -> None:
    """End the hub, which ends its proxy and servers; then whatever of theirs is left."""
    hub.send_signal(signal.SIGTERM)
    try:
        hub.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(hub.pid, signal.SIGKILL)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"={root}/".encode() in process.joinpath("environ").read_bytes()
            if mine and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

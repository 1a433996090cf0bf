"""Two shells of one kernel use one machine: a cell, and what a widget's button does meanwhile.

JupyterLab 4.4 and later hand the messages of widgets to a *subshell*, which with ipykernel 7.0 to
7.3 is another thread. HYPKIT_KERNELS names more Pythons whose ipykernel is tried, separated by
colons: for instance /tmp/ipykernel-6/bin/python:/tmp/ipykernel-7.3/bin/python.
"""

import os
import sys
import time

import pytest
from jupyter_client.manager import KernelManager

CELL = """
import threading, time
ends, done = time.monotonic() + 3, 0
while time.monotonic() < ends:
    assert machine.call("__kvm_timer_set_cntvoff", 5).x0 == 5
    assert (machine.run([0x101] * 500) == 6).all()
    done += 1
print("cell", done > 0)
"""
BUTTON = """
ends, pressed = time.monotonic() + 2, 0
while time.monotonic() < ends:
    assert machine.call("__kvm_get_mdcr_el2").x0 == 6
    machine.reg("pc"), machine.snapshot()
    pressed += 1
print("button", pressed > 0, threading.current_thread() is threading.main_thread())
"""
START = """
import threading, time
from hypkit import Machine
machine = Machine("numbered", seed=7)
presses = []
def opened(comm, message):
    def pressed(message):
        try:
            presses.append(machine.call("__kvm_get_mdcr_el2").x0)
        except BaseException as error:
            presses.append(repr(error))
    comm.on_msg(pressed)
get_ipython().kernel.comm_manager.register_target("button", opened)
import ipykernel
print(ipykernel.__version__)
"""
AFTER = (
    'assert machine.call("__kvm_get_mdcr_el2").x0 == 6\nprint(machine, set(presses), len(presses))'
)
PYTHONS = [sys.executable, *filter(None, os.environ.get("HYPKIT_KERNELS", "").split(":"))]


class Kernel:
    """A kernel of some Python, asked over its sockets."""

    def __init__(self, python):
        self.manager = KernelManager()
        self.manager.kernel_spec.argv[0] = python
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)
        self.printed = {}
        self.ended = set()

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def send(self, kind, content, subshell=None):
        message = self.client.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def execute(self, code, subshell=None):
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {},
                   "allow_stdin": False, "stop_on_error": True}  # fmt: skip
        return self.send("execute_request", content, subshell)

    def control(self, kind):
        message = self.client.session.msg(kind, {})
        self.client.control_channel.send(message)
        while True:
            reply = self.client.control_channel.get_msg(timeout=30)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]

    def wait(self, *requests, timeout=90):
        """What each request printed, or the last line of its error."""
        end = time.monotonic() + timeout
        while not self.ended.issuperset(requests):
            assert time.monotonic() < end and self.manager.is_alive(), "the kernel is gone or hangs"
            try:
                message = self.client.iopub_channel.get_msg(timeout=1)
            except Exception:
                continue
            request = message["parent_header"].get("msg_id")
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                self.printed[request] = self.printed.get(request, "") + content["text"]
            elif message["msg_type"] == "error":
                self.printed[request] = f"{content['ename']}: {content['evalue']}"
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                self.ended.add(request)
        return [self.printed.get(request, "").strip() for request in requests]


@pytest.fixture(params=PYTHONS, ids=lambda python: python.split("/")[-3])
def kernel(request):
    if not os.path.exists(request.param):
        pytest.skip(f"KERNEL MISSING: {request.param}, which HYPKIT_KERNELS names")
    kernel = Kernel(request.param)
    yield kernel
    kernel.close()


@pytest.mark.filterwarnings("default")
def test_a_cell_and_a_subshell_may_use_one_machine_at_once(kernel):
    (version,) = kernel.wait(kernel.execute(START))
    major = int(version.split(".")[0])
    if major >= 7:
        subshell = kernel.control("create_subshell_request")["subshell_id"]
    else:  # ipykernel 6 has none: the button's work waits for the cell
        subshell = None
    comm = {"comm_id": "1" * 32, "target_name": "button", "data": {}}
    kernel.wait(kernel.send("comm_open", comm, subshell))
    cell = kernel.execute(CELL)
    time.sleep(0.3)
    button = kernel.execute(BUTTON, subshell)
    presses = [
        kernel.send("comm_msg", {"comm_id": "1" * 32, "data": {}}, subshell) for _ in range(20)
    ]
    printed, pressed, *_ = kernel.wait(cell, button, *presses)
    assert printed == "cell True"
    assert pressed == f"button True {major < 7}"
    (after,) = kernel.wait(kernel.execute(AFTER))
    assert after == "Machine('numbered', seed=7): ready {6} 20"

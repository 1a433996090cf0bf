"""Record what QEMU does in every scenario: python -m tests.oracle.record"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.oracle import qemu
from tests.oracle.rows import digest, of_trace
from tests.oracle.test_qemu import GOLDEN
from tests.scenarios import SCENARIOS


def main() -> None:
    golden = {}
    for scenario in SCENARIOS:
        with scenario.machine() as machine, tempfile.TemporaryDirectory() as folder:
            requests = scenario.requests(machine)
            length = sum(1 for _ in of_trace(machine.reboot(requests)))
            golden[str(scenario)] = digest(
                list(qemu.rows(machine.image, requests, Path(folder)))[:length]
            )
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(digests)}" for name, digests in golden.items()
    )
    GOLDEN.write_text("{\n" + lines + "\n}\n")
    print(f"{len(golden)} scenarios recorded")


if __name__ == "__main__":
    main()

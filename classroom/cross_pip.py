"""`pip` as it would decide on another computer: `python cross_pip.py MARKERS pip's arguments`.

`pip download --platform` takes the wheels of another system, and still reads the markers of
requirements ("; sys_platform == 'win32'") as those of the computer that it runs on. Here they are read
as MARKERS, a JSON object, says.
"""

import json
import sys

from pip._internal.cli.main import main
from pip._vendor.packaging import markers


def pretend(said: dict[str, str]) -> None:
    """Have pip take these values for what it asks the computer."""
    ours = markers.default_environment
    markers.default_environment = lambda: {**ours(), **said}  # type: ignore[assignment]


if __name__ == "__main__":
    pretend(json.loads(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))

"""Typed access to the facts in `data/`: hypercalls, cores, published costs, history."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def data_path(name: str) -> Path:
    """Path of the data file or folder `name`, such as "cores.toml" or "prebuilt/numbered.bin".

    An installed wheel carries the files in `hypkit/data/`; a checkout (also when installed with
    `pip install -e`) keeps them in `data/` at the top. Raises ValueError for a name that leads
    out of the data folder, and FileNotFoundError that says where it looked.
    """
    relative = Path(name)
    if not name or relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"data_path takes a name inside data/, such as 'cores.toml', not {name!r}")
    folder = _HERE / "data"
    if not folder.is_dir():
        folder = _HERE.parent / "data"
    path = folder / relative
    if not path.exists():
        raise FileNotFoundError(f"hypkit has no data file {name!r}: looked for {path}")
    return path

"""Tensors and what describes them, to disk and back, without pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sfsc.files import InputError, replacing


def save(path: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able `info` to one safetensors file; see `replacing`."""
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with replacing(path) as beside:
        try:
            # One metadata key: safetensors does not keep the order of several.
            save_file(plain, beside, metadata={"sfsc": json.dumps(info, sort_keys=True)})
        except SafetensorError as error:  # its words for what the system says
            raise OSError(str(error)) from None


def remove_unfinished(path: Path) -> None:
    """Remove what a process that was killed while it saved to `path` left next to it."""
    for beside in path.parent.glob(f".*.{path.name}"):
        beside.unlink(missing_ok=True)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save` was given. Raises InputError for a file that is broken or not of this suite."""
    try:
        with safe_open(path, framework="pt") as file:
            info = json.loads((file.metadata() or {})["sfsc"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a safetensors file of this suite: {error}") from None
    return tensors, info

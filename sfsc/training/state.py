"""What a training is after some steps: saved without pickle, resumed to the same bits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sfsc import tensors
from sfsc.files import InputError
from sfsc.training.log import Column, TrainingLog
from sfsc.training.processes import Processes
from sfsc.training.step import Step


class State:
    """The modules and the optimiser of a Step, the log, how many steps are done, and their time.

    Where `path` holds the state of an earlier process with the same `fingerprint`, it begins there.
    """

    def __init__(
        self, path: Path, fingerprint: Mapping[str, Any], update: Step, processes: Processes
    ):
        self.path, self._fingerprint = path, fingerprint
        self._update, self._processes = update, processes
        self.done, self.seconds, self.log = 0, 0.0, TrainingLog()
        if processes.rank == 0:
            tensors.remove_unfinished(path)
        if path.exists():
            self._resume()
        done = torch.tensor(float(self.done), device=next(update.modules.parameters()).device)
        if processes.mean(done) != self.done:
            raise InputError(
                f"{path}: not all processes see the same saved state; results must be on a disk"
                " that they share"
            )

    def save(self, steps: int) -> None:
        """Write the state after `done` of `steps` steps; InputError where a weight is not finite,
        and the last good state stays."""
        if self._processes.rank > 0:
            return
        modules = self._update.modules.state_dict()
        state = {f"state.{key}": value for key, value in modules.items()}
        state |= _optimiser_tensors(self._update.optimiser)
        if not all(tensor.isfinite().all() for tensor in state.values()):
            raise InputError(
                f"training stopped after step {self.done} of {steps}: weights are not finite;"
                f" lower training.learning_rate (the last saved state is kept in {self.path})"
            )
        info = {
            "fingerprint": self._fingerprint,
            "step": self.done,
            "seconds": self.seconds,
            "columns": self.log.columns,
        }
        tensors.save(self.path, state | {"log": self.log.values()}, info)

    def _resume(self) -> None:
        saved, info = tensors.load(self.path)
        if info["fingerprint"] != self._fingerprint:
            return
        self._update.modules.load_state_dict(
            {k.removeprefix("state."): v for k, v in saved.items() if k.startswith("state.")}
        )
        _restore_optimiser(self._update.optimiser, saved)
        self.log = TrainingLog([Column(*column) for column in info["columns"]], saved["log"])
        self.done, self.seconds = info["step"], info["seconds"]


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors, named by the parameter's place and their own name."""
    return {
        f"optimiser.{place}.{name}": value
        for place, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def _restore_optimiser(optimiser: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    """The inverse of `_optimiser_tensors`, on a new optimiser of the same parameters."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for key, value in saved.items():
        if key.startswith("optimiser."):
            _, place, name = key.split(".")
            parameter = parameters[int(place)]
            # In the parameter's memory layout, on its device: as the optimiser would have made it.
            same = value.shape == parameter.shape
            like = torch.empty_like(parameter if same else value, device=parameter.device)
            optimiser.state[parameter][name] = like.copy_(value)

"""What a resumed optimiser starts from."""

import torch
from torch import nn

from sfsc.training.state import _optimiser_tensors, _restore_optimiser


def test_a_restored_state_is_as_the_optimiser_makes_it_and_on_the_parameters_device():
    def stepped(parameter):
        optimiser = torch.optim.AdamW([parameter], fused=True)
        parameter.grad = torch.ones_like(parameter)
        optimiser.step()
        return optimiser

    weight = torch.ones(4, 3, 2, 2).to(memory_format=torch.channels_last)
    tensors = _optimiser_tensors(stepped(nn.Parameter(weight)))
    assert set(tensors) == {f"optimiser.0.{name}" for name in ("step", "exp_avg", "exp_avg_sq")}
    for device in ("cpu", "meta"):  # a GPU's fused step wants all there, the step count too
        parameter = nn.Parameter(weight.to(device))
        optimiser = torch.optim.AdamW([parameter], fused=True)
        _restore_optimiser(optimiser, tensors)
        state = optimiser.state[parameter]
        assert all(value.device == parameter.device for value in state.values())
        assert state["exp_avg"].stride() == parameter.stride()
        if device == "cpu":
            for name, value in state.items():
                assert torch.equal(value, tensors[f"optimiser.0.{name}"])

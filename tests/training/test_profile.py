"""Where a step's time goes."""

import pytest
from running import running

from sfsc.training.profile import profile_steps


@pytest.mark.parametrize(
    ("method", "networks"), [("sfsc", ["w050+w100"]), ("bct", ["w100", "w050"])]
)
def test_every_part_of_every_network_takes_a_share(make_task, method, networks):
    task = make_task()
    parts = profile_steps(running(task, method))
    assert list(parts["network"].unique()) == networks
    for name, own in parts.groupby("network"):
        passes = [f"{way} {model}" for model in name.split("+") for way in ("forward", "backward")]
        assert own["part"].tolist() == ["batch", *passes, "aggregation", "optimiser"]
        assert (own["ms"] > 0).all()
        assert own["share"].sum() == pytest.approx(1)
    assert not task.records.exists()
    assert not task.models.exists()

"""Control: as `bct`, with the teacher's frozen classifier alone, and none of a model's own."""

from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.training.family import Family
from sfsc.training.objectives import FrozenClassifier
from sfsc.training.upgrade import one_by_one


def train(family: Family, options: NoOptions) -> None:
    one_by_one(family, lambda problem, tie: FrozenClassifier(problem, tie.prototypes()))


METHOD = Method(
    train,
    summary="control: bct, with the teacher's frozen classifier alone",
    varies=("bct", "the frozen classifier alone"),
)

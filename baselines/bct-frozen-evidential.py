"""Control: `bct-frozen` with SFSC's uncertainty loss, for the teacher too."""

from functools import partial

from sfsc.method import Method
from sfsc.training.family import Family
from sfsc.training.objectives import Evidence, EvidenceOptions, FrozenClassifier, PrivateClassifiers
from sfsc.training.upgrade import one_by_one


def train(family: Family, options: EvidenceOptions) -> None:
    loss = partial(Evidence, options)
    one_by_one(
        family,
        lambda problem, tie: FrozenClassifier(problem, tie.prototypes(), loss),
        first=partial(PrivateClassifiers, loss=loss),
    )


METHOD = Method(
    train,
    summary="control: bct-frozen, with the uncertainty loss",
    options=EvidenceOptions,
    varies=("bct-frozen", "the uncertainty loss"),
)

"""Control: the models of `independent` with SFSC's uncertainty loss.

What they gain over `independent` is the loss, not compatible training.
"""

from functools import partial

from sfsc.method import Method
from sfsc.training.family import Family
from sfsc.training.objectives import Evidence, EvidenceOptions, PrivateClassifiers


def train(family: Family, options: EvidenceOptions) -> None:
    for member in family.members:
        family.fit_alone(member, partial(PrivateClassifiers, loss=partial(Evidence, options)))


METHOD = Method(
    train,
    summary="control: independent, with the uncertainty loss",
    options=EvidenceOptions,
    varies=("independent", "the uncertainty loss"),
)

"""Control: separate networks trained together against one classifier, the mirror of `joint`.

What `sfsc-plain` gains over it is the sharing of weights.
"""

from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.training.family import Family
from sfsc.training.objectives import SharedClassifier


def train(family: Family, options: NoOptions) -> None:
    fitted = family.fit(family.separate(), SharedClassifier)
    for member in family.members:
        family.save(member, fitted.extract(member))


METHOD = Method(
    train,
    summary="control: separate networks trained together against one classifier",
    varies=("sfsc-plain", "no weights are shared but the classifier's"),
)

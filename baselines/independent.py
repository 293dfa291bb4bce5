"""One model per member, each trained alone, with its own initial weights: nothing ties them."""

from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.training.family import Family
from sfsc.training.objectives import PrivateClassifiers


def train(family: Family, options: NoOptions) -> None:
    for member in family.members:
        family.fit_alone(member, PrivateClassifiers)


METHOD = Method(
    train,
    summary="each model is trained alone: nothing ties the embeddings of the models together",
)

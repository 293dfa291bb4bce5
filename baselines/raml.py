"""RAML: a teacher's embedding of the image, and its similarities in the batch.

Suma and Tolias, Large-to-small Image Resolution Asymmetry in Deep Metric Learning, WACV 2023; the
weights are those of AIR-Distiller.
"""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.imitation import Imitation
from sfsc.training.upgrade import one_by_one


@dataclass(frozen=True)
class Options:
    weight: float = at_least(0, 1.0)
    asymmetric: float = at_least(0, 0.7482)
    """Of the similarities between the model and its teacher."""
    symmetric: float = at_least(0, 0.6778)
    """Of the model's own similarities."""


class Relations(Imitation[Options]):
    """Adds three squared errors: of the cosine, and of two matrices of similarities."""

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        options = self.options
        expected = of_teacher @ of_teacher.T
        own = (1 - (embeddings * of_teacher).sum(dim=1)).square().mean()
        asymmetric = (embeddings @ of_teacher.T - expected).square().mean()
        symmetric = (embeddings @ embeddings.T - expected).square().mean()
        found: Tensor = own + options.asymmetric * asymmetric + options.symmetric * symmetric
        return options.weight * found


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Relations, options=options))


METHOD = Method(
    train,
    summary="each model imitates a teacher's embeddings and the similarities between them",
    paper="Suma and Tolias, WACV 2023",
    options=Options,
)

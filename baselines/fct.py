"""Forward-compatible training, without side information: old embeddings are brought forward.

Ramanujan et al., Forward Compatible Training for Large-Scale Embedding Retrieval Systems, CVPR
2022. All models are trained alone. A network then learns to turn each one's embeddings into the
last one's, on the training images; nothing is embedded anew. The paper's transformation also sees
an embedding of side information, which an old model would have had to store.
"""

from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.switchable.translation import Translation
from sfsc.training.adapters import Adapted, Towards, save_adapters, trained_alone
from sfsc.training.family import Family


@dataclass(frozen=True)
class Options:
    hidden: int = at_least(1, 2048)
    """Units between the two spaces."""
    epochs: int = at_least(1, 10)
    """Of the transformation's training."""
    rate: float = at_least(0, 5e-4)


def train(family: Family, options: Options) -> None:
    teachers = trained_alone(family)
    last = family.members[-1]
    how = replace(
        family.task.options, epochs=options.epochs, learning_rate=options.rate, schedule="cosine"
    )
    adapters = {}
    for member in family.members[:-1]:
        layers = [
            nn.Linear(member.spec.embedding_dim, options.hidden),
            nn.Linear(options.hidden, last.spec.embedding_dim),
        ]
        network = Adapted(member, teachers[member], Translation(layers))
        objective = partial(Towards, target=teachers[last])
        family.fit(network, objective, data=last, options=how)
        adapters[member] = network.translation
    save_adapters(family, adapters)


METHOD = Method(
    train,
    summary="models trained alone; a network turns the embeddings of each into those of the last",
    paper="Ramanujan et al., CVPR 2022",
    options=Options,
)

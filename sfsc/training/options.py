"""How a network is trained: the config's `training` section."""

from dataclasses import dataclass, field
from typing import Literal

from sfsc.data.loader import Augment
from sfsc.training.gradients import Scope


@dataclass(frozen=True)
class TrainingOptions:
    """The config's `training` section."""

    epochs: int
    batch_size: int
    """Of all processes together."""
    learning_rate: float
    """Peak rate of AdamW: linear warm-up, then linear decay to zero."""
    weight_decay: float = 0.05
    """Decoupled, of weights; normalisation and biases have none."""
    warmup: float = 0.2
    """Share of the steps in which the rate rises."""
    clip_norm: float | None = None
    """Largest norm of the whole update's gradient; a longer one is shortened. For attention."""
    augment: Augment = field(default_factory=Augment)
    embedding_scale: float = 16.0
    """Length of the normalised embeddings that the classifiers see."""
    kl_weight: float = 0.5
    """lambda, the weight of the divergence in the uncertainty loss, per class over ln K."""
    learn_temperature: bool = False
    """Let the uncertainty loss learn a factor of the logits."""
    learn_offset: bool = False
    """Let the uncertainty loss learn one number that is added to all logits."""
    projection: Scope = "network"
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's forward and backward passes; losses and updates are always float32."""
    compile: bool = False
    """Compile the network's passes, each width by itself, with torch.compile."""
    batch_norm: Literal["local", "synchronised"] = "local"
    """Statistics of each process's part of a batch, or of the whole batch."""
    workers: int = 0
    """Threads that decode images ahead of the training; 0: all images are held in memory."""
    on_bad_image: Literal["stop", "skip"] = "stop"
    checkpoint_seconds: float = 60.0

"""What a profile may hold: each key with its type, bounds, text and default, written once, here.

`sfsc schema` writes the JSON schema of it to workflow/schemas/config.schema.yaml; profiles are
checked against it (sfsc.config), and code reads defaults from these classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

import yaml

from sfsc.schema import Keys, Rule, Schema, only, schema_of

_NAME = {"pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)"}

Name = Annotated[str, Rule(**_NAME)]
Text = Annotated[str, Rule(minLength=1)]
Count = Annotated[int, Rule(minimum=1)]
Natural = Annotated[int, Rule(minimum=0)]
AtLeastTwo = Annotated[int, Rule(minimum=2)]
Share = Annotated[float, Rule(minimum=0, maximum=1)]
PositiveShare = Annotated[float, Rule(exclusiveMinimum=0, maximum=1)]
Positive = Annotated[float, Rule(exclusiveMinimum=0)]
NotNegative = Annotated[float, Rule(minimum=0)]
BelowOne = Annotated[float, Rule(minimum=0, exclusiveMaximum=1)]
UpToTwo = Annotated[float, Rule(minimum=0, maximum=2)]
Plain = Annotated[Any, Rule(**{"$ref": "#/$defs/plain"})]
"""What JSON can hold: sub-models keep it."""

_FILLED = Rule(minItems=1)
_DIFFERENT = Rule(minItems=1, uniqueItems=True)
_SOME = Rule(minProperties=1)
_OR_EMPTY = Rule(type=["object", "null"])

OnDisk = Literal["gldv2", "cifar10", "cifar100", "folder"]
"""The kinds of training sets that have a `path`."""

CLASSES_OF_GLDV2 = 203_094

_WITH_PATH = ("revisited", *get_args(OnDisk))


@dataclass(frozen=True)
class Model:
    """The section `model`."""

    backbone: str
    """timm's name of a model, such as resnet18; see docs/backbones.md."""
    embedding_dim: Annotated[int, Rule(minimum=1, maximum=65536)]
    """D, the same for all sub-models."""
    base_channels: Annotated[int, Rule(minimum=1, maximum=64)] = 64
    """Of ResNets: channels of the first stage at width 1.0; all channel counts scale with it."""
    stem_stride: Literal[1, 2, 4] = 4
    """4 is timm's own stem; 2 and 1 are one 3x3 convolution without pooling, for small images."""
    args: Mapping[str, Plain] = field(default_factory=dict)
    """Further arguments of timm.create_model, such as layers: [1, 1, 1, 1]."""
    pretrained: str | bool = False
    """Initial weights of the backbone: timm's own, or those of a file."""
    pooling: Literal["avg", "gem", "max", None] = None
    """Of the backbone's features, for those that timm averages; gem learns its power; empty: as
    timm's does."""
    embedding_norm: bool = False
    """Whether batch normalisation, private to each sub-model, follows the embedding."""


@dataclass(frozen=True, kw_only=True)
class MemberEntry(Model):
    """A member: keys of `model` of its own, and what data it sees."""

    width: PositiveShare = 1.0
    """Channel multiplier."""
    class_fraction: Share | tuple[Share, Share] = 1.0
    """Train on this share of the classes, or [from, to]."""
    image_fraction: Share | tuple[Share, Share] = 1.0
    """Train on this share of each class's images, or [from, to]."""


@dataclass(frozen=True)
class Augment:
    """Random changes of each training image; every default changes nothing."""

    flip: bool = False
    """Mirror left and right with probability 1/2."""
    shift: Share = 0.0
    """Largest translation along each axis, as a share of the image's side."""
    zoom: UpToTwo = 0.0
    """Scale by exp(u), u uniform in [-zoom, zoom]."""
    light: UpToTwo = 0.0
    """Multiply by and add u, uniform in [-light, light], in units of the pixels' deviation."""


@dataclass(frozen=True)
class Margin:
    """Cross entropy reads cosines, of which the right class's must win by a margin.

    Prototypes then count by their direction alone. A margin of 0 is the softmax of the cosines
    times `scale`. The formulas are in sfsc.training.margins.
    ."""

    kind: Literal["arcface", "cosface"]
    scale: Positive = 30.0
    """Takes the place of embedding_scale."""
    margin: Annotated[float, Rule(minimum=0, exclusiveMaximum=1.5)] = 0.3
    """Of the angle, in radians, for arcface; of the cosine for cosface."""


@dataclass(frozen=True)
class TrainingOptions:
    """The section `training`. Options of methods may stand there, too."""

    epochs: Count
    batch_size: AtLeastTwo
    """Of all processes together."""
    learning_rate: Positive
    """The highest rate of the schedule."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    momentum: BelowOne = 0.9
    """Of sgd."""
    nesterov: bool = False
    """Whether sgd looks ahead along its momentum."""
    weight_decay: NotNegative = 0.05
    """Of weights; normalisation and biases have none. That of adamw is decoupled, of sgd not."""
    warmup: Share = 0.2
    """Share of the steps in which the rate rises, linearly."""
    schedule: Literal["linear", "cosine", "steps"] = "linear"
    """How the rate falls after that: to zero along a line or a cosine, or by steps."""
    milestones: tuple[Share, ...] = (1 / 6, 1 / 3, 2 / 3)
    """Of steps: shares of the training after which the rate is multiplied by `decay`."""
    decay: Positive = 0.1
    """Of steps."""
    clip_norm: Positive | None = None
    """Largest norm of the whole update's gradient; a longer one is shortened. For attention, 1."""
    augment: Augment = field(default_factory=Augment)
    embedding_scale: Positive = 16.0
    """Length of the normalised embeddings that classifiers see."""
    margin: Annotated[Margin | None, _OR_EMPTY] = None
    """Of cross entropy, whichever classifier it reads; evidence has none."""
    label_smoothing: BelowOne = 0.0
    """Of cross entropy: the share of the target that all classes get alike."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's forward and backward passes; losses and updates are always float32."""
    compile: bool = False
    """The network's passes, each width by itself, by torch.compile; it pays on GPUs."""
    batch_norm: Literal["local", "synchronised"] = "local"
    """Statistics of each process's part of a batch, or of the whole batch."""
    decoding_threads: Natural = 0
    """Threads that decode images ahead of the training; 0: all images are held in memory."""
    on_bad_image: Literal["stop", "skip"] = "stop"
    """Skip needs a packed set, or all images in memory."""
    checkpoint_seconds: Positive = 60.0


@dataclass(frozen=True)
class SyntheticOptions:
    """How much to draw; `*_landmarks` count landmarks, `*_views` the images of each."""

    seed: Natural = 0
    image_size: Annotated[int, Rule(minimum=32)] = 96
    """Pixels, width and height; Revisited queries are 1.5 x 1.25 as large."""
    train_landmarks: Annotated[int, Rule(minimum=1, maximum=CLASSES_OF_GLDV2)] = 100
    """At most as many as Google Landmarks v2 has classes."""
    train_views: Count = 20
    test_landmarks: AtLeastTwo = 40
    """That Google Landmarks v2's queries show."""
    index_views: Count = 8
    query_views: Count = 3
    revisited_landmarks: Count = 15
    revisited_views: AtLeastTwo = 20
    revisited_queries: Count = 3
    """Images of each landmark, next to its views in the gallery."""
    distractors: Natural = 100
    """Images in each of the two galleries, of landmarks no query shows."""


@dataclass(frozen=True, kw_only=True)
class Synthetic(SyntheticOptions):
    """The section `synthetic`."""

    path: Text


@dataclass(frozen=True)
class Archives:
    """How many archives each part of Google Landmarks v2 has."""

    train: Count = 500
    index: Count = 100
    test: Count = 20


@dataclass(frozen=True)
class Fetch:
    """The section `fetch`."""

    path: Text
    mirror: Text | None = None
    """An address or a folder with <set>/<path on the set's site>; by default their own sites."""
    archives: Archives = field(default_factory=Archives)
    """Of a mirror that packs Google Landmarks v2 into fewer archives."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the images of a set are."""

    kind: str
    path: Text | None = only(_WITH_PATH, required=True)
    """Environment variables and a leading ~ are filled in, as in every path."""
    tuning: bool = only(("digits",), default=False)
    """Digits only: split the training images again, to choose settings on images that no table
    reports."""


@dataclass(frozen=True, kw_only=True)
class TrainSetEntry(Source):
    """An entry of `train_sets`."""

    kind: Literal[OnDisk, "digits"]
    image_size: Annotated[int, Rule(minimum=8, maximum=512)]
    """Pixels; images are resized to a square."""
    class_fraction: PositiveShare = 1.0
    """Train on this share of the classes, chosen at random, always alike."""
    packed: Text | None = None
    """Folder to pack the images into, at image_size, before training."""
    model: Annotated[Mapping[str, Any], Keys(Model)] = field(default_factory=dict)
    training: Annotated[Mapping[str, Any], Keys(TrainingOptions)] = field(default_factory=dict)
    methods: Mapping[str, Annotated[Mapping[str, Any], Keys(TrainingOptions)]] = field(
        default_factory=dict
    )
    """Training options of single methods on this set, such as tuning chose."""


@dataclass(frozen=True)
class Sizes:
    """The sizes at which images are embedded."""

    long_side: Annotated[int, Rule(minimum=8)] | None = None
    """Pixels of the longer side at most, aspect ratio kept; by default the square of the training
    set."""
    scales: Annotated[tuple[Positive, ...], _FILLED] = (1.0,)
    """Embed at each of these factors of that size, and average."""


@dataclass(frozen=True)
class Expansion:
    """What is added to an embedding: its nearest gallery rows, each times its score to `alpha`."""

    neighbours: Count = 10
    alpha: NotNegative = 3.0


@dataclass(frozen=True)
class Reranking:
    """The parameters of Zhong et al., and how many of the best rows are ranked again."""

    depth: Count = 200
    k1: Count = 20
    """Neighbours that must be mutual."""
    k2: Count = 6
    """Neighbours whose encodings are averaged, the row itself included."""
    weight: Share = 0.3
    """lambda, of the original distance, 1 - cosine; the Jaccard distance has the rest."""


@dataclass(frozen=True)
class Refinement:
    """The gallery is augmented first, then queries expand in it, then the best are re-ranked."""

    query_expansion: Expansion | None = None
    """Move queries towards their nearest gallery rows, each by its score to the alpha."""
    database_augmentation: Expansion | None = None
    """The same of gallery rows."""
    reranking: Reranking | None = None
    """Rank the `depth` best of each query again by k-reciprocal neighbours."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How nearest rows are found."""

    kind: Literal["exact", "faiss"]
    factory: Text | None = only(("faiss",), required=True)
    """As of faiss.index_factory, such as IVF4096,PQ64."""
    parameters: str = only(("faiss",), default="")
    """As of faiss.ParameterSpace, such as nprobe=16."""


@dataclass(frozen=True, kw_only=True)
class EvalSetEntry(Refinement, Sizes, Source):
    """An entry of `eval_sets`."""

    kind: Literal[OnDisk, "revisited", "digits"]
    train_set: str
    name: Name | None = only(("revisited",), required=True)
    """Revisited only: the <name> of gnd_<name>.pkl."""
    distractors: Text | None = only(("revisited",))
    """Revisited only: the folder of revisitop1m, whose images join the gallery."""
    query_crop: bool = only(("revisited",), default=True)
    """Revisited only: queries are cropped to their box, as the protocol says; false: whole
    images."""
    whitening: Name | None = None
    """Whiten all members' embeddings by the map that this member's embeddings of the training
    images give."""
    search: Search = Search(kind="exact")
    """Exact unless it says faiss, to measure what an approximate index costs."""


@dataclass(frozen=True)
class Contrast:
    """A question for the table of contrasts."""

    claim: str
    method: Name
    against: Name
    measure: str
    """Self_mean, cross_mean, cross_others, worst_pair, C, or such as self-test w100."""


_METHODS = Rule(
    items={
        "type": ["string", "object"],
        **_NAME,
        "if": {"required": ["method"]},
        "then": {"properties": {key: {"type": "string", **_NAME} for key in ("name", "method")}},
        "else": {
            "minProperties": 1,
            "propertyNames": {"type": "string", **_NAME},
            "additionalProperties": {"type": ["object", "null"]},
        },
    }
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile of the SFSC suite."""

    profile: Name
    """The folder under results/."""
    title: str | None = None
    """Heading of the result page; by default the profile's name."""
    seeds: Annotated[tuple[Annotated[int, Rule(minimum=0, maximum=2**63 - 1)], ...], _DIFFERENT]
    methods: Annotated[tuple[Any, ...], _FILLED, _METHODS]
    """Each NAME, {NAME: options} or {name: NAME, method: METHOD, options}; options are keys of
    `training`, or the method's own (`sfsc methods NAME`)."""
    ablation: Annotated[tuple[Any, ...], _METHODS] = ()
    """More methods, which the target `ablation` alone trains."""
    contrasts: tuple[Contrast, ...] = ()
    """Questions for the table of contrasts: how `method` differs from `against` in a measure."""
    grid: Annotated[Mapping[str, Annotated[tuple[Any, ...], _DIFFERENT]], _SOME] = field(
        default_factory=dict
    )
    """Tuning: each method is trained with each combination of these options."""
    scenario: Literal["capacity", "generations"] = "capacity"
    """What orders the members: from narrow to wide, or from old to new."""
    members: Annotated[
        Mapping[Name, Annotated[Mapping[str, Any] | None, Keys(MemberEntry), _OR_EMPTY]], _SOME
    ] = field(default_factory=dict)
    """The models of each family, in order; without them, `widths` of one backbone."""
    widths: Annotated[tuple[PositiveShare, ...], _DIFFERENT] = ()
    """Channel multipliers, one sub-model each."""
    mixed_galleries: bool = False
    """Also score galleries that several models embedded: refresh.csv and mixed.csv."""
    threads: Count = 1
    """CPU threads of each process; trained weights depend on it in the last bits."""
    gpu: bool = False
    """Ask the scheduler for a GPU for each process that trains or embeds."""
    processes: Count = 1
    """That train one family together on each machine, by torchrun; batch_size is of all of them."""
    nodes: Count = 1
    """Machines that train one family together; more than one needs SLURM."""
    model: Model
    training: Annotated[Mapping[str, Any], Keys(TrainingOptions, all_required=True)]
    synthetic: Synthetic | None = None
    """The generated landmarks."""
    fetch: Fetch | None = None
    """Sets whose path lies below it are downloaded; see docs/datasets.md."""
    train_sets: Annotated[Mapping[Name, TrainSetEntry], _SOME]
    eval_sets: Annotated[Mapping[Name, EvalSetEntry], _SOME]


REFINING = tuple(each.name for each in fields(Refinement))
"""Keys of an evaluation set that change how embeddings are searched, and not these."""


def schema() -> Schema:
    """The JSON schema of profiles."""
    plain = {"$ref": "#/$defs/plain"}
    found = schema_of(Profile)
    found["$defs"]["TrainingOptions"]["methodOptions"] = True
    found["$defs"]["plain"] = {
        "type": ["string", "number", "boolean", "null", "array", "object"],
        "items": plain,
        "additionalProperties": plain,
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def as_yaml() -> str:
    """The same as the text of workflow/schemas/config.schema.yaml."""
    text = yaml.dump(schema(), Dumper=_Plain, sort_keys=False, width=100, default_flow_style=None)
    return f"# By `sfsc schema`, from sfsc/profile.py: change it there.\n{text}"


class _Plain(yaml.SafeDumper):
    """YAML that says again what it said, in place of anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

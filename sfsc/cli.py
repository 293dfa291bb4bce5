"""`sfsc ...`: every step that a rule runs, by hand. No logic: each command calls the library.

Imports are inside the commands, so that those that need neither torch nor plots start at once.
"""

import atexit
import errno
import gc
import io
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from sfsc import __version__, config, layout
from sfsc.files import InputError, check_output, is_stream
from sfsc.options import part
from sfsc.profile import Expansion, Refinement, Reranking, TrainingOptions, as_yaml


class OneLine(click.Command):
    """A command for which bad input is one clear line and exit code 1, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            click.echo(f"sfsc: {error}", err=True)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # who read the output has left; click ends in silence
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"sfsc: {place}{error.strerror or error}", err=True)
        sys.exit(1)


class _Commands(OneLine, click.Group):
    """Commands of that kind."""


class _Path(click.Path):
    """A path; an empty one, as a variable that is not set gives, is not the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            name = param.opts[0] if param else "path"
            raise InputError(f"{name}: is empty; name a file or a folder")
        return super().convert(value, param, ctx)


_PATH = _Path(path_type=Path)
_config = click.option("--config", "file", type=_PATH, required=True, help="A profile's YAML file.")
_method = click.option("--method", required=True, help="A method's name.")
_SEED = click.IntRange(0, 2**63 - 1)
_EXPANSION = (click.IntRange(1), click.FloatRange(0))
_seed = click.option("--seed", type=_SEED, required=True, help="One of the profile's seeds.")


# What `evaluate`, `refresh` and `mixed` have in common.
_ground_truth = click.option(
    "--ground-truth", type=_PATH, required=True, help="gnd_*.pkl, solution CSV or labels CSV."
)
_queries = click.option("--query", "queries", multiple=True, required=True, metavar="NAME=FILE.npy")
_galleries = click.option(
    "--gallery", "galleries", multiple=True, required=True, metavar="NAME=FILE.npy"
)
_query_ids = click.option(
    "--query-ids", type=_PATH, help="GLDv2: one id per line, in the queries' row order."
)
_gallery_ids = click.option(
    "--gallery-ids", type=_PATH, help="GLDv2: one id per line, in the gallery's row order."
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Train, embed, evaluate and report switchable networks and their baselines.

    Each command is one step of the workflow; `snakemake --cores 8 all` runs them all. Results go
    to results/<profile>/.
    """
    # Imports make a million objects that stay. To look for garbage among them, and at the exit to
    # free each, took a third of a short job's time.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells which of its builds it tried


@main.command()
@_config
def check(file: Path) -> None:
    """Check a profile: keys, values, networks, and the data that is there; writes nothing."""
    profile = config.read(file)
    # Not before the keys are right: torch takes seconds to start.
    from sfsc.checks import require_sound

    require_sound(profile, str(file))
    click.echo(f"{file}: profile {profile['profile']} is in order")


@main.command()
@click.argument("names", nargs=-1)
def methods(names: tuple[str, ...]) -> None:
    """List all methods as a Markdown table, or NAMES with their options and defaults."""
    from sfsc import method

    click.echo("\n\n".join(map(method.in_words, names)) if names else method.as_table())


@main.command()
def schema() -> None:
    """Write the JSON schema of profiles, as workflow/schemas/config.schema.yaml has it."""
    click.echo(as_yaml(), nl=False)


@main.command()
@_config
def generate(file: Path) -> None:
    """Draw the synthetic landmarks of a profile."""
    from sfsc.data.synthetic import generate as draw

    synthetic = config.typed(config.read(file)).synthetic
    if not synthetic:
        raise InputError(f"{file}: synthetic: the profile has no such section")
    draw(config.expanded(synthetic.path), synthetic)


@main.command()
@_config
def plan(file: Path) -> None:
    """Say what a profile has yet to fetch, and how much disk space that needs; fetches nothing.

    Exits with code 1 where the disk has too little room.
    """
    from sfsc.fetch.plan import plan as describe

    text, has_room = describe(config.read(file))
    click.echo(text or "There is nothing to fetch.")
    sys.exit(0 if has_room else 1)


@main.command()
@_config
@click.argument("name")
def fetch(file: Path, name: str) -> None:
    """Fetch one file of a profile's data sets, such as gldv2/train/images_000.tar."""
    from sfsc.fetch.fetch import at_mirror
    from sfsc.fetch.fetch import fetch as get
    from sfsc.fetch.plan import needed

    profile = config.read(file)
    root, found = config.fetch_root(profile), {item.name: item for item in needed(profile)}
    if root is None or name not in found:
        raise InputError(f"{file}: {name} is no file of its sets below fetch.path")
    get(at_mirror(found[name], profile["fetch"].get("mirror")), root)


@main.command()
@_config
@click.option("--train-set", required=True, help="A name of train_sets.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    help="Processes that decode images; default 1.",
)
def pack(file: Path, train_set: str, processes: int) -> None:
    """Pack a training set's images, at the training size, into shards that are read in a row."""
    from sfsc.data import packing
    from sfsc.data.kinds import source_set

    profile = _profile(file, train_set=train_set)
    entry = profile["train_sets"][train_set]
    if "packed" not in entry:
        raise InputError(f"{file}: train_sets.{train_set}.packed: names no folder to pack into")
    on_bad_image = part(
        TrainingOptions, config.settings(profile, train_set)["training"]
    ).on_bad_image
    packing.pack(
        source_set(entry, on_bad_image),
        config.expanded(entry["packed"]),
        entry["image_size"],
        config.packed_description(entry),
        on_bad_image,
        processes,
    )


@main.command()
@_config
@click.option("--train-set", required=True, help="A name of train_sets.")
@_method
@_seed
def train(file: Path, train_set: str, method: str, seed: int) -> None:
    """Train a family: one method on one training set with one seed.

    A run that was cut off goes on from its last checkpoint. SIGTERM saves one first and exits
    with code 143.
    """
    import torch

    from sfsc.training import preemption
    from sfsc.training.family import train_family
    from sfsc.training.task import task

    profile = _profile(file, train_set=train_set, method=method)
    torch.set_num_threads(config.typed(profile).threads)
    try:
        train_family(task(profile, train_set, method, seed))
    except preemption.Preempted as stopped:
        click.echo(f"sfsc: {stopped}", err=True)
        sys.exit(preemption.EXIT_CODE)


@main.command()
@_config
@click.option("--train-set", required=True, help="A name of train_sets.")
@_method
def profile(file: Path, train_set: str, method: str) -> None:
    """Show where the time of a method's training steps goes; trains and writes nothing."""
    import torch

    from sfsc.training.profile import profile_steps
    from sfsc.training.task import task

    chosen = _profile(file, train_set=train_set, method=method)
    torch.set_num_threads(config.typed(chosen).threads)
    parts = profile_steps(task(chosen, train_set, method, chosen["seeds"][0]))
    click.echo(parts.to_markdown(index=False, floatfmt=("", "", ".2f", ".1%")))


@main.command()
@_config
@click.option("--out", type=_PATH, required=True, help="Folder to write the event files to.")
def tensorboard(file: Path, out: Path) -> None:
    """Write a profile's training logs for TensorBoard, which must be installed next to sfsc."""
    from sfsc.tensorboard import export

    profile = config.read(file)
    export(config.results(profile), config.method_names(profile), out)


_study = click.option(
    "--study",
    "file",
    type=_PATH,
    default=Path("config/study/study.yaml"),
    help="A study's YAML file.",
)
_study_set = click.option("--set", "name", required=True, help="A name of the study's sets.")


@main.group(cls=_Commands)
def study() -> None:
    """Run units of a study, and decide its hypotheses; `make study` does both."""


@study.command()
@_study
@_study_set
@_seed
def draw(file: Path, name: str, seed: int) -> None:
    """Draw the generated data of a unit, where it has some."""
    from sfsc.study.plan import Unit, read_study
    from sfsc.study.unit import draw as draw_data

    draw_data(read_study(file).profile(Unit(name, "", seed)))


@study.command("run")
@_study
@_study_set
@click.option("--arm", required=True, help="One of the methods of the set's profile.")
@_seed
def run_unit(file: Path, name: str, arm: str, seed: int) -> None:
    """Train, embed and score one unit; what was cut off goes on."""
    from sfsc.study.plan import Unit, read_study
    from sfsc.study.unit import run

    run(read_study(file), Unit(name, arm, seed))


@study.command("conflicts")
@click.option("--map", "file", type=_PATH, default=Path("config/study/conflicts.yaml"))
@click.option("--out", type=_PATH, default=Path("results/published/study/conflicts"))
def map_conflicts(file: Path, out: Path) -> None:
    """Measure the cells of the map of conflict that are missing, and render it."""
    from sfsc.study.conflicts import measure_all

    measure_all(file, out)


@study.command()
@_study
def verdicts(file: Path) -> None:
    """Decide the hypotheses by the units that have been run."""
    from sfsc.study.plan import read_study
    from sfsc.study.write import write_verdicts

    write_verdicts(read_study(file))


@main.command()
@_config
@click.option("--eval-set", required=True, help="A name of eval_sets.")
@_method
def embed(file: Path, eval_set: str, method: str) -> None:
    """Embed an evaluation set with every sub-model, all seeds, of a method."""
    import torch

    from sfsc.data.kinds import retrieval_set, train_set
    from sfsc.embedding.embed import WhitenedBy, embed_set
    from sfsc.embedding.sizes import sizes_of

    profile = _profile(file, eval_set=eval_set)
    torch.set_num_threads(config.typed(profile).threads)
    results, entry = config.results(profile), profile["eval_sets"][eval_set]
    models = {
        layout.embeddings(results, eval_set, method, seed, name): layout.models(
            results, entry["train_set"], method, seed
        )
        / f"{name}.safetensors"
        for seed in profile["seeds"]
        for name in config.model_names(profile)
    }
    whitened = None
    if "whitening" in entry:
        images = train_set(profile["train_sets"][entry["train_set"]]).images
        whitened = WhitenedBy(entry["whitening"], images)
    embed_set(retrieval_set(entry), models, sizes_of(entry), whitened)


@main.command("evaluate-method")
@_config
@click.option("--eval-set", required=True, help="A name of eval_sets.")
@_method
def evaluate_one_method(file: Path, eval_set: str, method: str) -> None:
    """Score every cross-model pair of a method's families, from their embedding files."""
    import torch

    from sfsc.data.kinds import retrieval_set
    from sfsc.retrieval.approximate import index_of
    from sfsc.retrieval.families import evaluate_method
    from sfsc.retrieval.refinement import refinement_of

    profile = _profile(file, eval_set=eval_set)
    torch.set_num_threads(config.typed(profile).threads)
    entry = profile["eval_sets"][eval_set]
    evaluate_method(
        config.results(profile),
        retrieval_set(entry).ground_truth,
        eval_set,
        method,
        profile["seeds"],
        config.model_names(profile),
        index_of(entry),
        config.typed(profile).mixed_galleries,
        refinement_of(entry, f"eval_sets.{eval_set}"),
    )


@main.command()
@_ground_truth
@_queries
@_galleries
@click.option(
    "--translated-query",
    "translated_queries",
    multiple=True,
    metavar="QUERY/GALLERY=FILE.npy",
    help="Queries of model QUERY that count where it meets GALLERY alone.",
)
@click.option(
    "--translated-gallery",
    "translated_galleries",
    multiple=True,
    metavar="QUERY/GALLERY=FILE.npy",
    help="The same of the gallery of model GALLERY.",
)
@_query_ids
@_gallery_ids
@click.option("--factory", help="Search by this faiss index, such as IVF4096,PQ64; default: exact.")
@click.option("--parameters", default="", help="Of the faiss index, such as nprobe=16.")
@click.option(
    "--query-expansion",
    type=_EXPANSION,
    metavar="K ALPHA",
    help="Move each query towards its K nearest gallery rows, by their score to the ALPHA.",
)
@click.option(
    "--database-augmentation",
    type=_EXPANSION,
    metavar="K ALPHA",
    help="The same of each gallery row, before the search.",
)
@click.option(
    "--reranking",
    type=(click.IntRange(1), click.IntRange(1), click.IntRange(1), click.FloatRange(0, 1)),
    metavar="DEPTH K1 K2 LAMBDA",
    help="Rank the DEPTH best again by k-reciprocal neighbours, such as 200 20 6 0.3.",
)
@click.option("--dataset", default="", help="Value of the dataset column.")
@click.option("--method", default="", help="Value of the method column.")
@click.option("--seed", type=_SEED, default=0, help="Value of the seed column.")
@click.option("--out", type=_PATH, required=True, help="The metrics CSV to write.")
def evaluate(
    ground_truth: Path,
    queries: Iterable[str],
    galleries: Iterable[str],
    translated_queries: Iterable[str],
    translated_galleries: Iterable[str],
    query_ids: Path | None,
    gallery_ids: Path | None,
    factory: str | None,
    parameters: str,
    query_expansion: tuple[int, float] | None,
    database_augmentation: tuple[int, float] | None,
    reranking: tuple[int, int, int, float] | None,
    dataset: str,
    method: str,
    seed: int,
    out: Path,
) -> None:
    """Score every pair of any embeddings: each --query against each --gallery.

    Embeddings are .npy files, float32, (N, D), L2-normalised. A labels CSV has the columns
    id,label and, where queries and gallery differ, role (query or gallery). Per-query values are
    written next to --out, except where that is a pipe or a device.
    """
    from sfsc.retrieval.approximate import FaissIndex
    from sfsc.retrieval.collect import write_scores
    from sfsc.retrieval.ground_truth import read
    from sfsc.retrieval.pairs import evaluate_pairs, open_files

    by_query, by_gallery = _named(queries, "--query"), _named(galleries, "--gallery")
    by_pair = [
        _pairs(translated_queries, "--translated-query", by_query, by_gallery),
        _pairs(translated_galleries, "--translated-gallery", by_query, by_gallery),
    ]
    lists = [file for file in (query_ids, gallery_ids) if file]
    embeddings = [*by_query.values(), *by_gallery.values()]
    embeddings += [file for each in by_pair for file in each.values()]
    check_output(out, [ground_truth, *lists, *embeddings])
    truth = read(ground_truth, query_ids, gallery_ids)
    files = open_files(truth, by_query, by_gallery, *by_pair)
    index = FaissIndex(factory, parameters) if factory else None
    refinement = Refinement(
        Expansion(*query_expansion) if query_expansion else None,
        Expansion(*database_augmentation) if database_augmentation else None,
        Reranking(*reranking) if reranking else None,
    )
    frames = evaluate_pairs(truth, *files, index, refinement)
    metrics, per_query = (f.assign(dataset=dataset, method=method, seed=seed) for f in frames)
    beside = None if is_stream(out) else out.with_suffix(".per_query.parquet")
    write_scores(out, beside, metrics, per_query)


@main.command()
@_ground_truth
@click.option("--query", type=_PATH, required=True, help="The new model's queries, a .npy file.")
@click.option("--old", type=_PATH, required=True, help="The gallery as it is, a .npy file.")
@click.option("--new", type=_PATH, required=True, help="The gallery by the new model.")
@_query_ids
@_gallery_ids
@click.option("--seed", type=_SEED, default=0, help="Of the random order.")
@click.option("--out", type=_PATH, required=True, help="The CSV to write.")
def refresh(
    ground_truth: Path,
    query: Path,
    old: Path,
    new: Path,
    query_ids: Path | None,
    gallery_ids: Path | None,
    seed: int,
    out: Path,
) -> None:
    """Score a gallery while a new model re-embeds it, at eleven shares from none to all."""
    from sfsc.retrieval.collect import write_csv
    from sfsc.retrieval.ground_truth import read
    from sfsc.retrieval.mixed import area
    from sfsc.retrieval.mixed import refresh as curves
    from sfsc.retrieval.pairs import open_files

    given = [file for file in (ground_truth, query_ids, gallery_ids, query, old, new) if file]
    check_output(out, given)
    truth = read(ground_truth, query_ids, gallery_ids)
    files = open_files(truth, {"new": query}, {"old": old, "new": new})
    galleries = files.galleries
    found = curves(truth, files.queries["new"], galleries["old"], galleries["new"], seed)
    write_csv(out, found)
    click.echo(area(found).to_markdown(index=False, floatfmt=".4f"))


@main.command()
@click.option("--source", type=_PATH, required=True, help="Embeddings of some images, a .npy file.")
@click.option("--target", type=_PATH, required=True, help="The other model's, of the same images.")
@click.option(
    "--map",
    "kind",
    type=click.Choice(["procrustes", "affine", "mlp"]),
    default="affine",
    help="Default: affine.",
)
@click.option("--apply", "applied", type=_PATH, required=True, help="The embeddings to translate.")
@click.option("--seed", type=_SEED, default=0, help="Of the mlp.")
@click.option("--out", type=_PATH, required=True, help="The .npy file to write.")
def adapt(source: Path, target: Path, kind: str, applied: Path, seed: int, out: Path) -> None:
    """Fit a map from one model's embeddings to another's, and translate embeddings by it."""
    from sfsc.embedding.translated import adapt as translate

    check_output(out, [source, target, applied])
    translate(source, target, kind, applied, seed, out)


@main.command("mixed")
@_ground_truth
@_queries
@_galleries
@_query_ids
@_gallery_ids
@click.option("--seed", type=_SEED, default=0, help="Of the draw.")
@click.option("--out", type=_PATH, required=True, help="The CSV to write.")
def mixed_gallery(
    ground_truth: Path,
    queries: Iterable[str],
    galleries: Iterable[str],
    query_ids: Path | None,
    gallery_ids: Path | None,
    seed: int,
    out: Path,
) -> None:
    """Score queries on a gallery whose images are each embedded by one of several models."""
    from sfsc.retrieval.collect import write_csv
    from sfsc.retrieval.ground_truth import read
    from sfsc.retrieval.mixed import mixed
    from sfsc.retrieval.pairs import open_files

    by_query, by_gallery = _named(queries, "--query"), _named(galleries, "--gallery")
    lists = [file for file in (query_ids, gallery_ids) if file]
    check_output(out, [ground_truth, *lists, *by_query.values(), *by_gallery.values()])
    truth = read(ground_truth, query_ids, gallery_ids)
    files = open_files(truth, by_query, by_gallery)
    write_csv(out, mixed(truth, files.queries, files.galleries, seed))


@main.command()
@_config
@click.option("--method", "methods", multiple=True, help="Default: all methods of the profile.")
@click.option("--out", type=_PATH, help="Folder to write to; default: results/<profile>.")
def collect(file: Path, methods: tuple[str, ...], out: Path | None) -> None:
    """Put the methods' scores together: metrics, per-query values and compatibility."""
    from sfsc.retrieval import collect

    profile = config.read(file)
    results = config.results(profile)
    chosen = methods or config.method_names(profile)
    with_mixed = config.typed(profile).mixed_galleries
    collect.collect(results, list(profile["eval_sets"]), chosen, out or results, with_mixed)


@main.command()
@click.argument("model", type=_PATH)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["onnx", "pt2"]),
    default="onnx",
    help="Default: onnx.",
)
@click.option("--out", type=_PATH, help="Default: MODEL with the format's ending.")
def export(model: Path, file_format: str, out: Path | None) -> None:
    """Write a sub-model to run without this suite, and next to it how to prepare its images.

    MODEL is a w<width>.safetensors file. onnx is for ONNX Runtime and what else reads ONNX, pt2 is
    torch.export's archive. Batches may have any size.
    """
    from sfsc.deploy.export import export as write
    from sfsc.switchable import submodel

    loaded = submodel.load(model)
    out = out or model.with_suffix(f".{file_format}")
    check_output(out, [model])
    click.echo(f"{out} and {write(loaded, out, file_format)}")


@main.command()
@click.argument("query", type=_PATH)
@click.option("--query-model", type=_PATH, required=True, help="Embeds the queries.")
@click.option("--gallery", type=_PATH, required=True, help="A folder of images.")
@click.option("--gallery-model", type=_PATH, required=True, help="Embeds the gallery.")
@click.option("--top", type=click.IntRange(min=1), default=5, help="Hits per query; default 5.")
@click.option("--sheet", type=_PATH, help="Draw a contact sheet of the first 20 queries: a PNG.")
def search(
    query: Path, query_model: Path, gallery: Path, gallery_model: Path, top: int, sheet: Path | None
) -> None:
    """Find the images of a folder most like each query: one image, or a folder of them.

    The two models are sub-models of one family, such as w025.safetensors for the queries and
    w100.safetensors for the gallery.
    """
    from tabulate import tabulate

    from sfsc.data.folder import loose_images
    from sfsc.deploy import search as deployed

    if sheet and sheet.suffix.lower() != ".png":
        raise InputError(f"--sheet {sheet}: is no name of a .png file")
    asked, searched = loose_images(query), loose_images(gallery)
    if sheet:
        check_output(sheet, [*asked.paths, *searched.paths, query_model, gallery_model])
    hits = deployed.search(asked, query_model, searched, gallery_model, top)
    rows = [
        (hits.queries.ids[place], rank, f"{score:.4f}", hits.gallery.ids[row])
        for place in range(len(hits.rows))
        for rank, (row, score) in enumerate(
            zip(hits.rows[place], hits.scores[place], strict=True), 1
        )
    ]
    click.echo(tabulate(rows, ["query", "rank", "cosine", "image"], disable_numparse=True))
    if sheet:
        title = f"queries by {query_model.stem}, gallery by {gallery_model.stem}"
        deployed.draw_sheet(sheet, hits, title)


@main.command()
@_config
@click.option("--processes", type=click.IntRange(min=1), default=1, help="Processes that export.")
def latency(file: Path, processes: int) -> None:
    """Measure how long each architecture of the cost list takes, exported as ONNX."""
    from sfsc.measure.latency import write_latency

    profile = config.read(file)
    write_latency(config.results(profile), config.typed(profile).threads, processes)


@main.command()
@_config
def cost(file: Path) -> None:
    """List what each sub-model costs: parameters, multiply-adds, bytes, training time."""
    from sfsc.measure.cost import write_cost

    profile = config.read(file)
    results = config.results(profile)
    methods = config.method_names(profile)
    write_cost(results, list(profile["train_sets"]), methods, profile["seeds"])


@main.command()
@_config
@click.argument("names", nargs=-1, required=True)
@click.option("--scores", type=_PATH, help="Folder that `sfsc collect` wrote to.")
def tables(file: Path, names: tuple[str, ...], scores: Path | None) -> None:
    """Render tables by name.

    summary, main, pairs, compatibility, upgrade, refresh, ablation, contrasts, cost.
    """
    from sfsc.report.tables import Shown, write_tables

    profile = config.read(file)
    results = config.results(profile)
    contrasts = config.typed(profile).contrasts
    shown = Shown(config.method_names(profile), config.ablations(profile), contrasts)
    write_tables(scores or results, results / "tables", shown, names)


@main.command()
@_config
def tune(file: Path) -> None:
    """Choose each method's settings from the evaluated runs of a profile's grid."""
    from sfsc.report.tuning import choose

    profile = config.read(file)
    choose(config.results(profile), profile)


@main.command()
@_config
def figures(file: Path) -> None:
    """Draw the figures."""
    from sfsc.report.figures import write_figures

    profile = config.read(file)
    methods = config.method_names(profile)
    write_figures(config.results(profile), methods, config.train_set_of(profile))


@main.command()
@_config
def page(file: Path) -> None:
    """Write provenance.json and the page that shows tables and figures together."""
    from sfsc.report.page import write_page
    from sfsc.report.provenance import write_provenance

    profile = config.read(file)
    results = config.results(profile)
    write_provenance(results, profile)
    title = config.typed(profile).title or profile["profile"]
    methods = config.method_lines(profile)
    write_page(results, title, methods, config.train_set_of(profile))


@main.command()
@_config
@click.option("--name", required=True, help="The folder below results/published/.")
def publish(file: Path, name: str) -> None:
    """Copy rendered results to results/published/NAME and refresh the README's quotes."""
    from sfsc.report.publish import publish as copy
    from sfsc.report.publish import refresh_quotes

    copy(config.results(config.read(file)), config.ROOT / "results" / "published", name)
    refresh_quotes([config.ROOT / "README.md"], config.ROOT)


def _profile(file: Path, **chosen: str) -> config.Config:
    """The profile, where each chosen train_set, eval_set or method is known."""
    profile = config.read(file)
    for section, name in chosen.items():
        known = config.all_method_names(profile) if section == "method" else profile[f"{section}s"]
        if name not in known:
            option = section.replace("_", "-")
            raise InputError(f"--{option} {name}: not in {file}; choose from {', '.join(known)}")
    return profile


def _pairs(
    given: Iterable[str], option: str, queries: dict[str, Path], galleries: dict[str, Path]
) -> dict[tuple[str, str], Path]:
    found = {}
    for names, file in _named(given, option).items():
        query, _, gallery = names.partition("/")
        if query not in queries or gallery not in galleries:
            raise InputError(
                f"{option} {names}={file}: give QUERY/GALLERY=FILE.npy, with the names of a --query"
                " and a --gallery"
            )
        found[query, gallery] = file
    return found


def _named(pairs: Iterable[str], option: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not (name and equals and file) or name in files:
            raise InputError(f"{option} {pair}: give NAME=FILE.npy, each name once")
        files[name] = Path(file)
    return files

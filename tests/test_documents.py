"""Every command and every block of code in the documents is one that works.

Commands of `sfsc` are parsed by the real command line, Snakemake's by its own parser, blocks of
Python and YAML by theirs; what can be run in a moment is run. NOT_RUN says what is not, and why.
"""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from jsonschema import Draft202012Validator

from sfsc import config
from sfsc.cli import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")

NOT_RUN = {
    "cmp": "compares two whole runs",
    "conda": "downloads an environment",
    "docker": "builds an image",
    "kubectl": "needs a cluster",
    "pip": "downloads packages",
    "source": "changes a shell; the environment that it activates runs these tests",
    "export": "sets a variable",
    "ruff": "is what `make lint` runs",
    "pytest": "is what `make test` runs; its paths are checked",
    "torchrun": "starts processes on machines; the `sfsc train` that it starts is checked",
}
"""Commands in the documents that no test runs."""


def blocks(language):
    return [
        pytest.param(document, block[2], id=f"{document.name}-{number}")
        for document in DOCUMENTS
        for number, block in enumerate(BLOCK.finditer(document.read_text()))
        if block[1] == language
    ]


def lines(text):
    """The commands of a shell's block, as words: without comments, continued lines joined."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in line.split("&&"):
            if words := shlex.split(command, comments=True):
                yield words


def named_in_text(program):
    """Inline code of the documents that begins with `program` and goes on, as words."""
    for document in DOCUMENTS:
        for code in INLINE.findall(BLOCK.sub("", document.read_text())):
            words = code.split()
            if words[0] == program and len(words) > 1 and "…" not in code and "..." not in code:
                yield pytest.param(shlex.split(code), id=f"{document.name}: {' '.join(words)[:60]}")


def in_blocks(*programs):
    return [
        pytest.param(words, id=f"{document.name}: {' '.join(words)[:60]}")
        for document in DOCUMENTS
        for block in BLOCK.finditer(document.read_text())
        if block[1] == "sh"
        for words in lines(block[2])
        if words[0] in programs
    ]


def parsed(words):
    """What click makes of `sfsc` and these words; fails for what it would refuse."""
    name, *arguments = words
    if name.startswith("-"):
        return main.make_context("sfsc", words, resilient_parsing=True)
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"sfsc has no command {name}"
    return command.make_context(name, arguments) if arguments else None


@pytest.mark.parametrize("words", [*in_blocks("sfsc"), *named_in_text("sfsc")])
def test_sfsc_understands_its_commands(words):
    context = parsed(words[1:])
    file = context and context.params.get("file")
    if file is not None and file.parts[0] == "config" and file.name != "mine.yaml":
        assert (ROOT / file).is_file()


@pytest.mark.parametrize("words", in_blocks("torchrun"))
def test_torchrun_starts_what_sfsc_understands(words):
    parsed(words[words.index("sfsc") + 1 :])


RULES = re.compile(r"^rule (\w+):", re.MULTILINE)


@pytest.mark.parametrize("words", [*in_blocks("snakemake"), *named_in_text("snakemake")])
def test_snakemake_understands_its_commands(words):
    from snakemake.cli import get_argument_parser

    options = get_argument_parser().parse_args(words[1:])
    rules = set(RULES.findall((ROOT / "Snakefile").read_text()))
    # Argparse takes the target for a second configuration file where that option comes before it.
    files = [Path(file) for file in options.configfile or () if str(file) not in rules]
    assert all((ROOT / file).is_file() for file in files if file.name != "mine.yaml")
    for target in options.targets:
        assert target in rules or str(target).startswith("results/mini/"), target
    if options.workflow_profile:
        assert (ROOT / options.workflow_profile).is_dir()


@pytest.mark.parametrize("words", [*in_blocks("make"), *named_in_text("make")])
def test_make_has_its_targets(words):
    targets = [word for word in words[1:] if "=" not in word]
    makefile = (ROOT / "Makefile").read_text()
    variables = re.findall(r"^(\w+) [:?]?=", makefile, re.MULTILINE)
    for variable in (word.partition("=")[0] for word in words[1:] if "=" in word):
        assert variable in variables or f"$({variable})" in makefile
        assert f"{variable}" in makefile
    rules = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE)) | {
        ".venv/.ready",
        ".venv/.ready-dev",
    }
    assert set(targets) <= rules


def test_benchmarks_that_are_named_have_a_quick_form():
    """Which tests/benchmarks/test_quick.py runs, and .ci/run for `make bench`."""
    named = {
        words.values[0][2]
        for words in [*in_blocks("python"), *named_in_text("python")]
        if words.values[0][1] == "-m"
    } - {"benchmarks.NAME"}
    assert named
    for module in named:
        text = (ROOT / Path(*module.split("."))).with_suffix(".py").read_text()
        assert "command.run(main)" in text or module in {"benchmarks.published", "benchmarks.fuzz"}
    assert "make bench QUICK=1" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("words", in_blocks("cp", "pytest"))
def test_files_that_commands_name_are_there(words):
    # The last word of `cp` is the file to come.
    for word in words[1:-1] if words[0] == "cp" else words[1:]:
        if "/" in word:
            assert (ROOT / word).exists()


def test_every_command_is_checked_or_named_above():
    checked = {"sfsc", "snakemake", "make", "cp", "cd", "python"}
    seen = {
        words[0]
        for document in DOCUMENTS
        for block in BLOCK.finditer(document.read_text())
        if block[1] == "sh"
        for words in lines(block[2])
    }
    assert seen <= checked | set(NOT_RUN)


@pytest.mark.parametrize(("document", "text"), blocks("python"))
def test_python_compiles(document, text):
    if text.startswith(("rule ", "use rule ")):  # Snakemake's language
        written = {path.read_text() for path in (ROOT / "docs/examples").glob("*.smk")}
        assert text in written or text.startswith("rule train_mine:")
        return
    ast.parse(text, filename=str(document))


def block_with(document, part):
    text = (ROOT / "docs" / document).read_text()
    return next(block[2] for block in BLOCK.finditer(text) if part in block[2])


def test_embedding_without_the_suite_runs(tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    from sfsc.data.normalisation import Normalisation
    from sfsc.deploy.export import export
    from sfsc.switchable.backbone import NetworkSpec
    from sfsc.switchable.network import build
    from sfsc.switchable.submodel import SubModel

    monkeypatch.chdir(tmp_path)
    spec = NetworkSpec("resnet18", 8, 8, 2, {"layers": [1, 1, 1, 1]}, image_size=16)
    grey = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    network = build(spec, [1.0], 0).extract(0).eval()
    export(SubModel(network, spec, 1.0, grey, 10), Path("w025.onnx"), "onnx")
    Image.effect_noise((40, 30), 60).convert("RGB").save("query.jpg")
    scope = {}
    exec(block_with("deployment.md", "onnxruntime.InferenceSession"), scope)
    assert scope["embeddings"].shape == (1, 8)
    assert np.linalg.norm(scope["embeddings"]) == pytest.approx(1, abs=1e-5)


def without_requirements(schema):
    """The same schema for a part of a profile."""
    if isinstance(schema, list):
        return [without_requirements(part) for part in schema]
    if isinstance(schema, dict):
        return {k: without_requirements(v) for k, v in schema.items() if k != "required"}
    return schema


@pytest.mark.parametrize(("document", "text"), blocks("yaml"))
def test_yaml_is_part_of_a_profile(document, text, tmp_path, monkeypatch):
    found = yaml.safe_load(text)
    if "default-resources" in found:  # Snakemake's own profile
        known = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
        assert set(found) <= {*known, "set-resources"}
        return
    if "search" in found:  # of one set
        found = {"eval_sets": {"mine": found}}
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    if "profile" not in found:
        schema = without_requirements(schema)
    Draft202012Validator(schema).validate(found)
    if "profile" in found:
        monkeypatch.chdir(tmp_path)
        for split in ("train", "test"):
            (tmp_path / "data/mine" / split).mkdir(parents=True)
        config.check(found, document.name)


LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document):
    for target in LINK.findall(BLOCK.sub("", document.read_text())):
        assert (document.parent / target).exists(), target

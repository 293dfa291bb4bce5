"""How the parts of the library depend on each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "sfsc"


def imports(path):
    """The modules of the library that a file imports, but for those that only type checkers see."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sfsc":
            alone = node.module == "sfsc"
            yield from (f"sfsc.{each.name}" if alone else node.module for each in node.names)


def arrows():
    """From each folder, or file at the top, to those that it imports from."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        others = {name.split(".")[1] for name in imports(path)}
        found.setdefault(part, set()).update(others - {part, "__version__"})
    return found


def test_arrows_point_one_way():
    left = arrows()
    while left:
        free = [part for part, others in left.items() if not others & set(left)]
        assert free, f"these import each other in a ring: {left}"
        for part in free:
            del left[part]


@pytest.mark.parametrize("folder", ["report", "fetch"])
def test_what_needs_no_torch_does_not_import_it(folder):
    names = [f"sfsc.{folder}.{path.stem}" for path in sorted((ROOT / folder).glob("[!_]*.py"))]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_one_file_of_the_search_knows_torch():
    users = {
        path.name
        for path in (ROOT / "retrieval").glob("*.py")
        if "torch" in path.read_text()
        and any(
            line.split()[:2] in (["import", "torch"], ["from", "torch"])
            for line in path.read_text().splitlines()
        )
    }
    assert users == {"products.py"}


def test_the_report_knows_one_method_by_name():
    """`chance` is the reference; `independent` the upper bound of the update gain."""
    from sfsc.method import names

    known = set(names()) - {"chance", "independent", "cores"}  # a processor has cores, too
    for path in (ROOT / "report").glob("*.py"):
        texts = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not texts & known, path

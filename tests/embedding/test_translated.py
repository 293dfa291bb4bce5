"""Embeddings of one model in another's space."""

import numpy as np
import pytest
from click.testing import CliRunner

from sfsc.cli import main


def units(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("kind", ["procrustes", "affine", "mlp"])
def test_a_turned_space_is_turned_back(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    target = units(random.standard_normal((600, 8)))
    rotation = np.linalg.qr(random.standard_normal((8, 8)))[0]
    np.save("target.npy", target[:500])
    np.save("source.npy", units(target[:500] @ rotation))
    np.save("gallery.npy", units(target[500:] @ rotation))
    command = f"adapt --source source.npy --target target.npy --map {kind} --apply gallery.npy"
    result = CliRunner().invoke(main, [*command.split(), "--out", "moved.npy"])
    assert result.exit_code == 0, result.output
    moved = np.load("moved.npy")
    assert moved.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-4)
    assert (moved * target[500:]).sum(axis=1).mean() > (0.9 if kind == "mlp" else 0.999)


def test_files_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    np.save("a.npy", units(random.standard_normal((5, 4))))
    np.save("b.npy", units(random.standard_normal((6, 4))))
    np.save("c.npy", units(random.standard_normal((5, 3))))
    for target, applied, message in (
        ("b.npy", "a.npy", "b.npy: has 6 rows but a.npy has 5"),
        ("a.npy", "c.npy", "c.npy: has dimension 3 but a.npy has 4"),
    ):
        command = f"adapt --source a.npy --target {target} --apply {applied} --out out.npy"
        result = CliRunner().invoke(main, command.split())
        assert result.exit_code == 1
        assert message in result.output

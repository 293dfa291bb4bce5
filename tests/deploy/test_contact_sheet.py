"""Search over a folder: against a naive loop, and what the command prints and draws."""

import os

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sfsc.cli import main
from sfsc.data.folder import loose_images
from sfsc.deploy.search import search
from sfsc.embedding.embed import embed_images
from sfsc.files import InputError
from sfsc.switchable import submodel


def test_hits_are_those_of_a_naive_loop(make_model, folder):
    images = loose_images(folder)
    assert images.ids == ["a/deep/three.jpeg", "a/one.jpg", "b/two.png", "four.PNG"]
    narrow, wide = make_model(0.25), make_model(1.0)
    hits = search(images, narrow, images, wide, k=3)
    queries, gallery = (
        embed_images(images, submodel.load(path), torch.device("cpu")) for path in (narrow, wide)
    )
    scores = queries @ gallery.T
    np.testing.assert_array_equal(hits.rows, np.argsort(-scores, axis=1)[:, :3])
    np.testing.assert_allclose(hits.scores, np.take_along_axis(scores, hits.rows, 1), atol=1e-6)


def test_the_command_prints_and_draws_the_hits(make_model, folder, tmp_path):
    model = str(make_model(1.0))
    sheet = tmp_path / "out" / "sheet.png"
    arguments = ["--query-model", model, "--gallery", str(folder), "--gallery-model", model]
    command = ["search", str(folder / "a/one.jpg"), *arguments, "--top", "2"]
    result = CliRunner().invoke(main, [*command, "--sheet", str(sheet)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines()[2:]]
    # The same image by the same model is its own nearest.
    assert rows[0] == ["one.jpg", "1", "1.0000", "a/one.jpg"]
    assert (len(rows), rows[1][:2]) == (2, ["one.jpg", "2"])
    with Image.open(sheet) as drawn:
        assert len(drawn.convert("RGB").getcolors(1 << 24)) > 1000


def test_names_that_look_like_mathematics_or_are_no_text(make_model, folder, tmp_path):
    names = ["from_$5_to_$6.jpg", "caf\u00e9.jpg", os.fsdecode(b"caf\xe9.jpg")]
    for name in names:
        (folder / name).write_bytes((folder / "a" / "one.jpg").read_bytes())
    model = make_model(1.0).rename(tmp_path / "$w_$.safetensors")
    command = ["search", folder / names[2], "--query-model", model, "--gallery", folder]
    command += ["--gallery-model", model, "--top", 9, "--sheet", tmp_path / "sheet.png"]
    runner = CliRunner(charset="ascii")  # as a terminal may be
    result = runner.invoke(main, [str(word) for word in command], catch_exceptions=False)
    assert result.exit_code == 0
    assert all(name in result.output for name in (names[0], r"caf\xe9.jpg"))
    assert (tmp_path / "sheet.png").exists()


def test_refusals(make_model, folder, tmp_path):
    images, model = loose_images(folder), make_model(1.0)
    with pytest.raises(InputError, match=r"have 4 dimensions, those of .* 8; choose sub-models"):
        search(images, make_model(1.0, dimension=4), images, model, k=1)
    with pytest.raises(InputError, match="no such image or folder"):
        loose_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: has no images"):
        loose_images(tmp_path / "empty")
    (folder / "b" / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    with pytest.raises(InputError, match=r"broken\.jpg: cannot be decoded"):
        search(loose_images(folder), model, images, model, k=1)

"""A sub-model as one file that runs without this suite, and how to prepare its images."""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from torch import Tensor, nn

from sfsc.files import InputError, is_stream, replacing
from sfsc.switchable.submodel import SubModel

INPUT, OUTPUT = "images", "embeddings"
"""The names of the exported model's input and output."""

_TOLERANCE = 1e-4
# ONNX Runtime's own, of a graph that it cannot run.
_RUNTIME_ERRORS = (runtime.Fail, runtime.InvalidGraph, runtime.NotImplemented)


class _Embedder(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self._network = network

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(self._network(images), dim=1)


def export(model: SubModel, path: Path, file_format: str) -> Path:
    """Write a sub-model to `path` in one of FORMATS, and its preprocessing next to it.

    The exported model takes normalised float32 images (B, 3, S, S), any B, and answers with
    L2-normalised float32 embeddings (B, D). What the file computes is compared with the sub-model
    before it takes its place. Returns the path of the preprocessing, <stem>.preprocessing.json.
    Raises InputError for an unknown format, or a model that the format cannot hold.
    """
    if file_format not in FORMATS:
        raise InputError(f"no format is called {file_format!r}; choose from {', '.join(FORMATS)}")
    if is_stream(path):
        raise InputError(
            f"{path}: is a pipe or a device; name a file, which has its preprocessing next to it"
        )
    size = model.spec.image_size
    # In plain layout, as the layout of the tensors in memory would be traced along.
    network = copy.deepcopy(model.network).cpu().to(memory_format=torch.contiguous_format)
    embedder = _Embedder(network).eval()
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    description = path.with_name(f"{path.stem}.preprocessing.json")
    with replacing(path) as beside:
        try:
            with torch.no_grad(), warnings.catch_warnings():
                # About the exporters' own insides.
                warnings.simplefilter("ignore")
                program = torch.export.export(
                    embedder, (images,), dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}}
                )
                run = FORMATS[file_format](program, beside)
        except (RuntimeError, torch.onnx.OnnxExporterError, *_RUNTIME_ERRORS) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: cannot be exported as {file_format}: {reason}") from None
        for batch in (images, images[:1]):
            with torch.no_grad():
                difference = float(np.abs(run(batch.numpy()) - embedder(batch).numpy()).max())
            if not difference <= _TOLERANCE:
                raise InputError(
                    f"{path}: not written: as {file_format} its embeddings differ by"
                    f" {difference:.2g} from the sub-model's; choose another format"
                )
        # Before the model takes its place, so that there is none without.
        with replacing(description) as beside_it:
            beside_it.write_text(json.dumps(_preprocessing(model), indent=2) + "\n")
    return description


_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def _onnx(program: torch.export.ExportedProgram, path: Path) -> _Run:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    exported = torch.onnx.export(
        program, (), input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False
    )
    assert exported is not None
    exported.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def _torch(program: torch.export.ExportedProgram, path: Path) -> _Run:
    torch.export.save(program, path)
    module = torch.export.load(path).module()
    return lambda images: module(torch.from_numpy(images)).numpy()


FORMATS: Mapping[str, Callable[[torch.export.ExportedProgram, Path], _Run]] = {
    "onnx": _onnx,
    "pt2": _torch,
}
"""ONNX, and the archive of torch.export; each is also the ending of its files."""


def _preprocessing(model: SubModel) -> dict[str, Any]:
    size = model.spec.image_size
    return {
        "decode": {
            "orientation": "EXIF",
            "transparency": "over white",
            "grey_16_bit": "upper 8 bits",
            "grey_32_bit": "stretched from the darkest pixel to the brightest",
        },
        "resize": {"height": size, "width": size, "interpolation": "bicubic"},
        "colour": "RGB",
        "scale": 1 / 255,
        **asdict(model.normalisation),
        "input": {"name": INPUT, "dtype": "float32", "shape": ["batch", 3, size, size]},
        "output": {
            "name": OUTPUT,
            "dtype": "float32",
            "shape": ["batch", model.spec.embedding_dim],
            "normalised": "L2",
        },
        "model": {
            "backbone": model.spec.backbone,
            "width": model.width,
            "pooling": model.spec.pooling or "timm's",
            "embedding_norm": model.spec.embedding_norm,
        },
    }

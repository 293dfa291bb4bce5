"""How long each sub-model takes on this machine, exported as ONNX."""

import logging
import math
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

from sfsc import layout
from sfsc.files import InputError, OutputError, replacing, writing
from sfsc.progress import progress
from sfsc.report.inputs import ARCHITECTURE, BATCH, read_cost

_log = logging.getLogger(__name__)

_WARM_UP = 3
_SECONDS = 0.3


def write_latency(results: Path, threads: int, processes: int) -> None:
    """Write latency.csv: of each architecture in cost.csv, as ONNX, on `threads` CPU threads.

    `single_ms` is the median latency of one image and `batch_ms` that of a batch of 32, in
    milliseconds, without the preparation of images; both are empty for a model that ONNX cannot
    hold. Up to `processes` processes export; they end before anything is measured.
    """
    rows = read_cost(results).drop_duplicates(list(ARCHITECTURE)).to_dict("records")
    sources = [
        layout.models(results, row["train_set"], row["method"], row["seed"])
        / f"{row['model']}.safetensors"
        for row in rows
    ]
    measured = []
    with writing(results / "latency.csv"), tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{place}.onnx") for place in range(len(rows))]
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            answers = pool.map(_exported, sources, files)
            sizes = list(progress(answers, "export", "model", len(rows)))
        for row, path, size in zip(progress(rows, "latency", "model"), files, sizes, strict=True):
            times = [math.nan, math.nan]
            if isinstance(size, str):
                _log.warning("no latency of %s %s: %s", row["train_set"], row["model"], size)
            else:
                times = [latency_ms(path, batch, size, threads) for batch in (1, BATCH)]
            measured.append([row[name] for name in ARCHITECTURE] + times)
    with replacing(results / "latency.csv") as beside:
        frame = pd.DataFrame(measured, columns=[*ARCHITECTURE, "single_ms", "batch_ms"])
        frame.to_csv(beside, index=False, lineterminator="\n")


def _exported(source: Path, path: Path) -> int | str:
    """Export a sub-model: the side of its images in pixels, or why that is impossible."""
    import torch

    from sfsc.deploy.export import export
    from sfsc.switchable import submodel

    torch.set_num_threads(1)
    model = submodel.load(source)
    try:
        export(model, path, "onnx")
    except OutputError:
        raise
    except InputError as error:
        return str(error)
    return model.spec.image_size


def latency_ms(path: Path, batch: int, size: int, threads: int) -> float:
    """The median time, in ms, in which ONNX Runtime embeds a batch of (3, size, size) images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    images = random.standard_normal((batch, 3, size, size), np.float32)
    name = session.get_inputs()[0].name
    times: list[float] = []
    while len(times) < _WARM_UP + 1 or sum(times[_WARM_UP:]) < _SECONDS:
        start = time.perf_counter()
        session.run(None, {name: images})
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[_WARM_UP:])

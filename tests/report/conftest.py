from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_results import write_results


@pytest.fixture
def make_results(tmp_path: Path) -> Callable[..., Path]:
    """Write a results folder with the arguments of `write_results`; each call a new one."""

    def make(*arguments: object, **options: object) -> Path:
        results = tmp_path / f"results{len(list(tmp_path.iterdir()))}" / "mini"
        write_results(results, *arguments, **options)
        return results

    return make

"""A local site, closed after each test."""

import pytest
from local_site import Site


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    served = Site(folder)
    yield served
    served.close()

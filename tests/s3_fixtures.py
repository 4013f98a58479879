"""Fixtures on real stores, shared by the tests of the mirrored library. Each store starts once per session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from s3_servers import S3Server, missing_programs, running_gateway, running_moto


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Ceph RGW, the store whose word counts in a race."""
    if missing := missing_programs():
        pytest.skip(f"no {', '.join(missing)}: builder/install_test_packages.sh installs them on Debian and Ubuntu")
    with running_gateway(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The quick second store."""
    with running_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(params=["gateway", "moto"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each store in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server

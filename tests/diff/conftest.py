# SPDX-License-Identifier: GPL-2.0-only
import os

import pytest

from world import SERVER, Server, usual_world


@pytest.fixture(scope="session")
def server():
    if not SERVER.exists():
        pytest.skip(f"{SERVER} was not built")
    if os.geteuid():
        pytest.skip("only root loads programs")
    with Server() as running:
        running.say(usual_world().lines())
        yield running

# SPDX-License-Identifier: GPL-2.0-only
"""What tests/net/test_web.py asks of the balancer, asked of it on this kernel."""
import pytest

from test_web import (test_every_backend_answers, test_large_uploads_are_whole,
                      test_packets_take_the_tunnel_and_replies_do_not_come_back)

__all__ = ["test_every_backend_answers", "test_large_uploads_are_whole",
           "test_packets_take_the_tunnel_and_replies_do_not_come_back"]


@pytest.fixture
def lab(lab):
    lab.start()
    return lab

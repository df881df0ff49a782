from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from executors.engine.backend_session import quiesce
from executors.job.context import instruments_folder
from qdash_queue.client.queue import Queue
from qdash_queue.domain import CalibrationError
from tests.engine.world import CHIP, World


def test_a_fresh_process_quiesces_an_instrument_that_was_left_busy(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        busy = instruments_folder(world.state_path) / f"{CHIP}.busy.json"
        busy.parent.mkdir(parents=True)
        busy.write_text("{}")
        quiesce(job, Queue(job.database).chip(CHIP))
        assert not busy.exists()


def test_real_instruments_are_quiesced_by_the_configuration_of_the_job(world: World, tmp_path: Path) -> None:
    expected = f"expected qubex's configuration of {CHIP} in {tmp_path}"
    with world.job(["GoodTask"], ["0"]) as job:
        chip = Queue(job.database).chip(CHIP)
        with pytest.raises(CalibrationError, match=expected):
            quiesce(replace(job, backend_kind="qubex", qubex_config_dir=tmp_path), chip)

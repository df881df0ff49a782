"""The backend of real instruments reports what is missing, and qubex's controller interface is unchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from qubex.backend.quel3 import (
    Quel3BackendController,
    Quel3CaptureMode,
    Quel3ExecutionPayload,
    Quel3FixedTimeline,
)

from calibtasks.tasks.rabi.check_rabi import CheckRabi
from executors.backends.base import BackendSession, BaseBackend
from executors.backends.checkpoints import check_before_executions
from executors.backends.configuration import SessionFiles, write_parameters
from executors.backends.qubex import QubexBackend
from executors.backends.simchip.quel3 import SimulatedQuel3Controller
from qdash_queue.domain import CalibrationError, Failure, FailureKind, ParameterModel
from tests.backends.measuring import measure

MakeSession = Callable[..., BackendSession]


class StoppedByTest(BaseException):
    """As a job's stop, it is no Exception that a library might swallow."""


def failure_of(session: BackendSession, config_dir: Path | None) -> Failure:
    with pytest.raises(CalibrationError) as refused:
        QubexBackend(session, config_dir).connect()
    assert refused.value.failure.kind is FailureKind.INSTRUMENT
    return refused.value.failure


def configured(root: Path, systems: object) -> Path:
    folder = root / "SIM16" / "config"
    folder.mkdir(parents=True)
    (root / "SIM16" / "params").mkdir()
    (folder / "system.yaml").write_text(systems if isinstance(systems, str) else yaml.safe_dump(systems))
    return root


def test_a_missing_configuration_is_reported(new_session: MakeSession, tmp_path: Path) -> None:
    assert "no configuration of the instruments of SIM16" in failure_of(new_session(), None).message
    failure = failure_of(new_session(), tmp_path)
    assert failure.cause == "no_configuration"
    assert str(tmp_path / "SIM16" / "config") in failure.message


@pytest.mark.parametrize(
    ("systems", "words"),
    [
        ({"S": {"chip_id": "OTHER", "backend": "quel3"}}, "names no system of chip SIM16"),
        ("[unclosed", "cannot read"),
        ("just words", "cannot read"),
    ],
)
def test_a_bad_configuration_is_reported(
    new_session: MakeSession, tmp_path: Path, systems: object, words: str
) -> None:
    failure = failure_of(new_session(), configured(tmp_path, systems))
    assert failure.cause == "bad_configuration"
    assert words in failure.message


@pytest.mark.parametrize("flavour", ["quel1", "quel3"])
def test_a_missing_driver_is_reported_with_what_to_install(
    new_session: MakeSession, tmp_path: Path, flavour: str
) -> None:
    systems = {"S": {"chip_id": "SIM16", "backend": flavour}}
    failure = failure_of(new_session(), configured(tmp_path, systems))
    assert failure.cause == "no_driver"
    assert f"qubex[{flavour}]" in failure.remedy


def test_a_measurement_is_stopped_between_its_calls_of_the_instrument(
    connected: Callable[..., BaseBackend],
) -> None:
    """On the way that real instruments take too: qubex's own, down to its backend controller."""
    backend = connected()
    calls: list[None] = []
    check_before_executions(backend.get_instance().ctx.backend_controller, lambda: calls.append(None))
    measure(backend, CheckRabi())
    in_all = len(calls)
    assert in_all > 2

    def stop() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise StoppedByTest

    calls.clear()
    backend = connected()
    check_before_executions(backend.get_instance().ctx.backend_controller, stop)
    with pytest.raises(StoppedByTest):
        measure(backend, CheckRabi())
    assert len(calls) < in_all


def test_stored_values_replace_those_of_a_parameter_file_and_leave_the_others(tmp_path: Path) -> None:
    files = SessionFiles(tmp_path)
    files.make()
    path = files.parameters / "qubit_frequency.yaml"
    path.write_text(yaml.safe_dump({"meta": {"unit": "GHz"}, "data": {"Q00": 4.0, 1: 4.5}}))
    write_parameters(files, {"0": {"qubit_frequency": ParameterModel(value=4.2, unit="GHz")}})
    assert yaml.safe_load(path.read_text())["data"] == {0: 4.2, 1: 4.5}


def test_qubexs_seam_is_where_the_simulated_controller_expects_it() -> None:
    for name in ("connect", "disconnect", "deploy_instruments", "execute_sync", "execute_async"):
        assert callable(getattr(Quel3BackendController, name))
        assert name in vars(SimulatedQuel3Controller)
    assert {"execute_batch_async", "hash", "is_connected"} <= set(vars(SimulatedQuel3Controller))
    assert {field.name for field in dataclasses.fields(Quel3ExecutionPayload)} == {
        "waveform_library",
        "fixed_timelines",
        "n_iterations",
        "shot_interval_ns",
        "capture_mode",
    }
    assert {field.name for field in dataclasses.fields(Quel3FixedTimeline)} == {
        "events",
        "capture_windows",
        "length_ns",
        "frequency_hz",
    }
    assert {mode.name for mode in Quel3CaptureMode} == {
        "UNSPECIFIED",
        "RAW_WAVEFORMS",
        "AVERAGED_WAVEFORM",
        "AVERAGED_VALUE",
        "VALUES_PER_ITER",
    }

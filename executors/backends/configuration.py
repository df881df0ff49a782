"""Files that qubex reads in one session, written from the stored parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import yaml

from qdash_queue.domain import ParameterModel

SYSTEM_ID: Final = "SIM"
HPI_RAMP_NS: Final = 12.0
"""Rise time of qubex's flat-top half-π pulse."""

_PARAMETER_FILES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "qubit_frequency": (("qubit_frequency", "GHz"), ("control_frequency", "GHz")),
    "anharmonicity": (("qubit_anharmonicity", "GHz"),),
    "resonator_frequency": (("resonator_frequency", "GHz"),),
    "readout_frequency": (("readout_frequency", "GHz"),),
    "control_amplitude": (("control_amplitude", ""),),
    "readout_amplitude": (("readout_amplitude", ""),),
}
"""Stored parameter -> qubex's files that hold it, with their unit (the same as the stored one)."""

Values = Mapping[str, Mapping[str, ParameterModel]]


class SessionFiles:
    """Where qubex reads and writes in this session; all under one folder of the job's own.

    Attributes:
        config: chip, boxes and wiring.
        parameters: one file per parameter.
        note: the calibration note.
        classifiers: state classifiers.
        properties: measured properties that qubex saves itself.
    """

    def __init__(self, root: Path) -> None:
        self.config = root / "config"
        self.parameters = root / "params"
        self.note = root / "calib_note.json"
        self.classifiers = root / "classifier"
        self.properties = root / "property"

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.config, self.parameters, self.classifiers, self.properties):
            folder.mkdir(parents=True, exist_ok=True)


def _dump(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def simulated_box(mux: int) -> str:
    """The id of the box that drives and reads a multiplexer of a simulated chip."""
    return f"B{mux}"


def write_simulated_system(
    files: SessionFiles, chip_id: str, muxes: Mapping[int, int], used: Iterable[int]
) -> None:
    """The configuration of a simulated chip: one QuEL-3 box per multiplexer.

    ``muxes`` gives the multiplexer of each qubit number, ``used`` those of the session.
    """
    _dump(files.config / "chip.yaml", {chip_id: {"name": f"simulated {chip_id}", "n_qubits": len(muxes)}})
    # A sweep goes to the instrument as one batch: qubex then does not sample the long waits point by point.
    system = {"chip_id": chip_id, "backend": "quel3", "experiment": {"sweep_execution": "batch"}}
    _dump(files.config / "system.yaml", {SYSTEM_ID: system})
    boxes, wiring = {}, []
    for mux in sorted(set(muxes.values())):
        box = simulated_box(mux)
        boxes[box] = {"name": f"sim-{mux}", "type": "quel3"}
        controls = [f"{box}:{port}" for port in (4, 2, 11, 9)]
        wiring.append({"mux": mux, "ctrl": controls, "read_out": f"{box}:1", "read_in": f"{box}:0"})
    _dump(files.config / "box.yaml", boxes)
    _dump(files.config / "wiring.yaml", {SYSTEM_ID: wiring})
    delays = {"meta": {"unit": "ns"}, "data": dict.fromkeys(used, 0)}
    _dump(files.parameters / "capture_delay.yaml", delays)


def wiring_rows(config_dir: Path, system_id: str, chip_id: str) -> list[object] | None:
    """The rows of ``wiring.yaml`` for a system, or for its chip; None where there are none."""
    path = config_dir / "wiring.yaml"
    if not path.exists():
        return None
    systems = yaml.safe_load(path.read_text()) or {}
    rows = systems.get(system_id, systems.get(chip_id))
    return list(rows) if rows else None


def write_parameters(files: SessionFiles, values: Values) -> None:
    """Write the stored values into qubex's parameter files, in place of those that a file holds already."""
    for name, targets in _PARAMETER_FILES.items():
        data = {
            int(qid): float(stored[name].value)  # type: ignore[arg-type]
            for qid, stored in values.items()
            if qid.isdecimal() and name in stored and stored[name].value is not None
        }
        for file, unit in targets:
            path = files.parameters / f"{file}.yaml"
            meta = {"unit": unit} if unit else {}
            _dump(path, {"meta": meta, "data": {**_held(path), **data}})


def _held(path: Path) -> dict[int, object]:
    """What a parameter file holds already, by qubit number; qubex accepts ``Q05`` for ``5`` as well."""
    if not path.exists():
        return {}
    held = (yaml.safe_load(path.read_text()) or {}).get("data") or {}
    return {int(str(key).lstrip("Q")): value for key, value in held.items()}


def note_entries(label: str, stored: Mapping[str, ParameterModel]) -> dict[str, dict[str, object]]:
    """The calibration note's entries of one qubit, each only when all its values are stored.

    qubex keeps Rabi frequencies in GHz and angles in radians; QDash stores MHz and degrees.
    """
    values = {name: float(item.value) for name, item in stored.items() if item.value is not None}
    # qubex compares it with its own local time.
    stamp = datetime.now().strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ005
    entries: dict[str, dict[str, object]] = {}
    rabi = {name: values.get(f"rabi_{name}") for name in _RABI_FIELDS}
    if None not in rabi.values():
        entries["rabi_params"] = {
            **rabi,
            "frequency": values["rabi_frequency"] * 1e-3,
            "angle": values["rabi_angle"] * _RADIANS,
            # qubex requires one; the real one is in the record of the task run.
            "r2": 1.0,
            "target": label,
            "timestamp": stamp,
        }
    for gate in ("hpi", "pi"):
        if f"{gate}_amplitude" in values and f"{gate}_length" in values:
            entries[f"{gate}_params"] = {
                "target": label,
                "duration": values[f"{gate}_length"],
                "amplitude": values[f"{gate}_amplitude"],
                "tau": HPI_RAMP_NS,
                "timestamp": stamp,
            }
    return entries


def write_note(files: SessionFiles, labels: Mapping[str, str], values: Values) -> Path:
    """The calibration note of the session's qubits (qid -> label)."""
    note: dict[str, dict[str, object]] = {}
    for qid, label in labels.items():
        for section, entry in note_entries(label, values.get(qid, {})).items():
            note.setdefault(section, {})[label] = entry
    files.note.write_text(json.dumps(note, indent=2))
    return files.note


_RADIANS: Final = 3.141592653589793 / 180
_RABI_FIELDS: Final = (
    "frequency",
    "amplitude",
    "phase",
    "offset",
    "noise",
    "angle",
    "distance",
    "reference_phase",
)

"""Which names of QDash are served, and the modules that serve them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

_RESULTS: Final = ("PostProcessResult", "PreProcessResult", "RunResult")
_SESSION: Final = ("CalibService", "finish_calibration", "get_session", "init_calibration")
_HOOKS: Final = ("_is_cancellation", "on_flow_cancellation", "on_flow_crashed", "on_flow_failure")

SERVED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "qdash.common.visualization.figure_metadata": {"qdash_queue_compat.figures": ("set_figure_role",)},
    "qdash.datamodel.task": {
        "qdash_queue_compat.parameters": (
            "InputParameterModel",
            "InputParameterSpec",
            "OutputParameterModel",
            "OutputParameterSpec",
            "ParameterModel",
            "RunParameterModel",
            "RunParameterSpec",
            "TaskTypes",
        )
    },
    "qdash.workflow.calibtasks.active_protocols": {
        "qdash_queue_compat.tasks": ("generate_task_instances", "is_mux_task")
    },
    "qdash.workflow.calibtasks.base": {
        "qdash_queue_compat.tasks": ("BaseTask",),
        "qdash_queue_compat.results": _RESULTS,
        "qdash_queue_compat.parameters": ("RunParameterModel",),
    },
    "qdash.workflow.calibtasks.fake.base": {"qdash_queue_compat.tasks": ("FakeTask",)},
    "qdash.workflow.calibtasks.qubex.base": {"qdash_queue_compat.tasks": ("QubexTask",)},
    "qdash.workflow.calibtasks.qubex.validation": {
        "qdash_queue_compat.validation": ("finite_value_error", "first_validation_error")
    },
    "qdash.workflow.calibtasks.results": {"qdash_queue_compat.results": _RESULTS},
    "qdash.workflow.engine": {"qdash_queue_compat.engine": ("CalibConfig", "CalibOrchestrator")},
    "qdash.workflow.engine.backend.base": {"executors.backends.base": ("BaseBackend",)},
    "qdash.workflow.engine.backend.fake": {"executors.backends.fake": ("FakeBackend",)},
    "qdash.workflow.engine.backend.qubex": {"executors.backends.qubex": ("QubexBackend",)},
    "qdash.workflow.engine.config": {"qdash_queue_compat.engine": ("CalibConfig",)},
    "qdash.workflow.engine.orchestrator": {"qdash_queue_compat.engine": ("CalibOrchestrator",)},
    "qdash.workflow.engine.util": {"qdash_queue_compat.tasks": ("qid_to_label",)},
    "qdash.workflow.service": {"qdash_queue_compat.service": _SESSION},
    "qdash.workflow.service.calib_service": {"qdash_queue_compat.service": (*_SESSION, *_HOOKS)},
    "qdash.workflow.service.steps": {
        "executors.service.steps": (
            "BringUp",
            "ConfigureAll",
            "CustomOneQubit",
            "CustomTwoQubit",
            "ExperimentalSimultaneousBringUp",
            "FilterByMetric",
            "FilterByStatus",
            "GenerateCRSchedule",
            "OneQubitCheck",
            "OneQubitFineTune",
            "SetCRSchedule",
            "Step",
            "TwoQubitCalibration",
        )
    },
    "qdash.workflow.service.targets": {
        "executors.service.targets": (
            "AllMuxTargets",
            "CouplingTargets",
            "MuxTargets",
            "QubitTargets",
            "Target",
        )
    },
}
"""QDash's module -> the module that holds its names -> the names; packages above these are served empty."""

_MODULES: Final = frozenset(
    ".".join(parts[: end + 1]) for parts in (name.split(".") for name in SERVED) for end in range(len(parts))
)


def spec_of(fullname: str) -> ModuleSpec | None:
    """The module of that name; None below a ``qdash`` that is not this distribution's.

    Raises:
        ModuleNotFoundError: QDash's module is left out.
    """
    if fullname != "qdash" and not _is_own(sys.modules.get("qdash")):
        return None
    if fullname not in _MODULES:
        # Without a name: Python drops an error about the very module, and then says less.
        raise ModuleNotFoundError(
            f"qdash-queue-compat does not serve {fullname}: it serves what authors of tasks and flows import"
            " (its README lists it), anything else needs QDash itself"
        )
    # Each is a package, so that Python looks for a name that it has not as a module, which is refused here.
    return ModuleSpec(fullname, _Loader(), is_package=True)


class _Loader(Loader):
    """Makes modules whose names are looked up when they are asked for."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        origins = {each: origin for origin, names in SERVED.get(name, {}).items() for each in names}

        def get(attribute: str) -> object:
            if attribute in origins:
                found = getattr(import_module(origins[attribute]), attribute)
                setattr(module, attribute, found)
                return found
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

        vars(module).update(
            __doc__="Names of QDash, served by qdash-queue-compat.",
            __all__=sorted(origins),
            __getattr__=get,
            __dir__=lambda: sorted({*vars(module), *origins}),
        )


def _is_own(module: ModuleType | None) -> bool:
    return module is not None and isinstance(getattr(module.__spec__, "loader", None), _Loader)

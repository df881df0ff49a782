"""The lists of tasks that the steps run by default, under QDash's names of tasks."""

from typing import Final

BRINGUP_TASKS: Final = (
    "CheckResonatorSpectroscopy",
    "CheckQubitSpectroscopy",
    "CheckControlAmplitude",
    "CheckChevron",
)
CHECK_1Q_TASKS: Final = (
    *("CheckRabi", "CheckRabi", "CreateHPIPulse", "CheckHPIPulse"),
    *("CheckRabi", "CreateHPIPulse", "CheckHPIPulse"),
    *("CheckT1", "CheckT2Echo", "CheckRamsey"),
)
FULL_1Q_TASKS_AFTER_CHECK: Final = (
    *("CheckRabi", "CreateHPIPulse", "CheckHPIPulse", "CreatePIPulse", "CheckPIPulse"),
    *("CreateDRAGHPIPulse", "CheckDRAGHPIPulse", "CreateDRAGPIPulse", "CheckDRAGPIPulse"),
    *("ReadoutClassification", "CheckT1Average", "CheckT2EchoAverage", "Check1QGateCoherenceLimit"),
    *("RandomizedBenchmarking", "X90InterleavedRandomizedBenchmarking"),
)
FULL_2Q_TASKS: Final = (
    *("CheckCrossResonance", "CreateZX90", "CheckZX90", "CheckBellState", "CheckBellStateTomography"),
    *("Check2QGateCoherenceLimit", "ZX90InterleavedRandomizedBenchmarking"),
)

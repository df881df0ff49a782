"""What flow authors use: a calibration session with a verdict, and the hook for cancels."""

from executors.job.stop import is_cancellation
from executors.service.calib_service import CalibService
from executors.service.cancellation import on_flow_cancellation

__all__ = ["CalibService", "is_cancellation", "on_flow_cancellation"]

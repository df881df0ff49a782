"""A checkpoint before each execution on an instrument."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final

_EXECUTIONS: Final = ("execute_sync", "execute_async", "execute_batch_async")


def check_before_executions(controller: Any, checkpoint: Callable[[], None]) -> None:
    """Let a qubex backend controller call ``checkpoint``, which raises to stop, before each execution.

    A sweep is one call of qubex and takes minutes or hours; all its points are executed through these
    methods, one by one.
    """
    for name in _EXECUTIONS:
        execute = getattr(controller, name, None)
        if execute is not None:
            setattr(controller, name, _checked(execute, checkpoint))


def _checked(execute: Callable[..., Any], checkpoint: Callable[[], None]) -> Callable[..., Any]:
    if iscoroutinefunction(execute):

        @wraps(execute)
        async def checked_async(*arguments: Any, **options: Any) -> Any:
            checkpoint()
            return await execute(*arguments, **options)

        return checked_async

    @wraps(execute)
    def checked(*arguments: Any, **options: Any) -> Any:
        checkpoint()
        return execute(*arguments, **options)

    return checked

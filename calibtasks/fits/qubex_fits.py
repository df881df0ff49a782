"""qubex's own fits of the same raw data, recorded for comparison and never used as a result.

Each function gives ``{}`` when qubex's fit fails. Times are in ns, frequencies in GHz, as in qubex.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibtasks.fits.iq import project
from qdash_queue.domain import CalibrationError

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

_FIT_ERRORS = (CalibrationError, RuntimeError, ValueError, KeyError, IndexError, np.linalg.LinAlgError)

_log = logging.getLogger(__name__)


def _numbers(fit: Callable[[Any], Any], names: Mapping[str, str]) -> dict[str, float]:
    """The finite numbers of a fit by ``qubex.analysis.fitting``, renamed (our name -> qubex's)."""
    from qubex.analysis import fitting  # noqa: PLC0415  takes 3 s, and only a measuring process needs it

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = fit(fitting)
    except _FIT_ERRORS as error:
        _log.info("qubex's fit failed: %s", error)
        return {}
    found = {ours: result.data.get(theirs) for ours, theirs in names.items()}
    return {ours: float(value) for ours, value in found.items() if value is not None and math.isfinite(value)}


def _unit_signal(iq: Complex, reference: complex) -> Real:
    """The signal along its IQ axis from -1 to 1, the ground state's side positive."""
    signal = project("signal", iq, reference).signal
    middle, half = 0.5 * (signal.max() + signal.min()), 0.5 * np.ptp(signal)
    return np.asarray((signal - middle) / half)


def library_rabi(label: str, time: Real, iq: Complex, reference: complex) -> dict[str, float]:
    """``rabi_frequency``, ``rabi_amplitude`` and ``r2``."""
    return _numbers(
        lambda fitting: fitting.fit_rabi(
            target=label,
            times=time,
            data=iq.astype(np.complex64),
            reference_point=reference,
            plot=False,
            is_damped=True,
            warn_low_r2=False,
        ),
        {"rabi_frequency": "frequency", "rabi_amplitude": "amplitude", "r2": "r2"},
    )


def library_half_pi(label: str, amplitude: Real, iq: Complex, reference: complex) -> dict[str, float]:
    """``hpi_amplitude`` and ``r2``."""
    return _numbers(
        lambda fitting: fitting.fit_ampl_calib_data(
            target=label,
            amplitude_range=amplitude,
            data=_unit_signal(iq, reference),
            plot=False,
        ),
        {"hpi_amplitude": "amplitude", "r2": "r2"},
    )


def library_t1(label: str, time: Real, iq: Complex) -> dict[str, float]:
    """``t1``, ``t1_err`` and ``r2``."""
    return _numbers(
        lambda fitting: fitting.fit_exp_decay(
            target=label, x=time, y=0.5 * (1 - _unit_signal(iq, complex(iq[-1]))), plot=False
        ),
        {"t1": "tau", "t1_err": "tau_err", "r2": "r2"},
    )


def library_ramsey(label: str, time: Real, iq: Complex) -> dict[str, float]:
    """``ramsey_frequency``, ``t2_star`` and ``r2``, of one quadrature."""
    return _numbers(
        lambda fitting: fitting.fit_ramsey(
            target=label,
            times=time,
            data=_unit_signal(iq, complex(iq[0])),
            amplitude_est=1.0,
            offset_est=0.0,
            plot=False,
        ),
        {"ramsey_frequency": "f", "t2_star": "tau", "r2": "r2"},
    )

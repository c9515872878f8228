"""Constants of `philox-v1` (STREAM), each float rounded once to binary32.

The constants are normative: a changed digit changes issued checkpoints, so this file is never
edited; a new stream version has its own file. Polynomials are in Horner's order, highest power
first.
"""

from __future__ import annotations

import math

import numpy as np


def _f32(*values: float) -> tuple[np.float32, ...]:
    return tuple(map(np.float32, values))


# Random123's Philox4x32-10: multipliers of counter words 0 and 2, and the Weyl sequence (golden
# ratio, sqrt(3) - 1) that bumps the key between rounds.
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

# Cephes logf: ln(1 + m) = m - m^2/2 + m^3 P(m). ln(2) is a sum whose first term has few enough bits
# that its product with an exponent is exact.
SQRT_HALF = np.float32(0.70710678)
LN = _f32(
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(-2.12194440e-4)

# Cephes sinf and cosf on [-pi/4, pi/4]; QUARTER_TURN maps an int32 to that interval.
SIN = _f32(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COS = _f32(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
QUARTER_TURN = np.float32(math.pi / 2 * 2.0**-32)

# Giles, "Approximating the erfinv function", single precision: w = -ln(1 - p^2), a polynomial in w
# - 2.5 where w < 5, else one in sqrt(w) - 3.
ERFINV_CENTRE = _f32(
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
ERFINV_TAIL = _f32(
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)
# largest binary32 number below 1: erfinv takes values in [-P_LIMIT, P_LIMIT]
P_LIMIT = np.float32(1 - 2.0**-24)

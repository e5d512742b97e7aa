# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The kernels, compiled; their twins say what each function does.

One extension has them all: what Cython makes for arrays is much longer than they are, and would be compiled for each.
"""

import numpy as np

from myriad.kernels import _alerting_py as alerting_twin
from myriad.kernels import _levels_py as levels_twin
from myriad.kernels import _windows_py as windows_twin

from libc.math cimport INFINITY, NAN, ceil, fabs, copysign, exp, exp2, floor, fmax, fmin, log, log10, sqrt
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

include "_selection.pxi"
include "_alerting.pxi"
include "_deviations.pxi"
include "_groups.pxi"
include "_levels.pxi"
include "_profiles.pxi"
include "_quantiles.pxi"
include "_spans.pxi"
include "_tails.pxi"
include "_windows.pxi"
include "_predictors.pxi"
include "_scoring.pxi"
include "_json_text.pxi"
include "_bodies.pxi"
include "_tables.pxi"
include "_answers.pxi"

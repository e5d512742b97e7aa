# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The kernels, compiled; their twins say what each function does.

One extension has them all: what Cython makes for arrays is much longer than they are, and would be compiled for each.
"""

import numpy as np

from libc.math cimport INFINITY, NAN, fabs, floor, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

include "_selection.pxi"
include "_deviations.pxi"
include "_groups.pxi"
include "_levels.pxi"
include "_profiles.pxi"
include "_quantiles.pxi"
include "_spans.pxi"
include "_tails.pxi"
include "_windows.pxi"

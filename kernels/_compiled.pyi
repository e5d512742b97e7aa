# What is compiled has the functions of the twins.
from myriad.kernels._groups_py import by_number as by_number
from myriad.kernels._levels_py import clipped_errors as clipped_errors
from myriad.kernels._levels_py import one_step as one_step
from myriad.kernels._levels_py import relative_average as relative_average
from myriad.kernels._quantiles_py import medians as medians
from myriad.kernels._quantiles_py import quantiles as quantiles
from myriad.kernels._quantiles_py import ranked as ranked
from myriad.kernels._quantiles_py import rolling_medians as rolling_medians
from myriad.kernels._windows_py import combined as combined
from myriad.kernels._windows_py import linear_between as linear_between
from myriad.kernels._windows_py import window_means as window_means

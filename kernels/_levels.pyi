from myriad.kernels.arrays import Integers, Matrix, Vector

def one_step(
    values: Vector,
    offsets: Integers,
    levels: Vector,
    variances: Vector,
    drifts: Vector,
    noises: Vector,
    kept: Vector,
    added: Vector,
    clip: float,
    min_factor: float,
    max_factor: float,
) -> tuple[Vector, Vector]: ...
def relative_average(
    values: Vector, offsets: Integers, smoothing: Vector, clip: float, low: float, high: float
) -> Vector: ...
def clipped_errors(
    values: Vector, offsets: Integers, first: Vector, limits: Vector, alphas: Matrix
) -> tuple[Matrix, Matrix]: ...

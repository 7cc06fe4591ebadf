"""Follow a velocity from t = 0 to t = 1 in few evaluations: the Adams-Bashforth method."""

from collections.abc import Callable

from torch import Tensor

# Of order 3, the best of 1 to 4 for mixtures of Gaussians in 8 to 12 evaluations; before there are
# enough former velocities, of the orders below (Hairer, Norsett & Wanner 1993, sec. III.1).
COEFFICIENTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12))


def integrate(velocity: Callable[[Tensor, float], Tensor], start: Tensor, num_steps: int) -> Tensor:
    """Return x(1) of dx/dt = velocity(x, t), x(0) = start; one evaluation a step, all alike long.

    Former velocities are used again (as Zhang & Chen 2023, iPNDM, do for images).
    """
    x = start
    latest: list[Tensor] = []
    for step in range(num_steps):
        latest = [velocity(x, step / num_steps), *latest[: len(COEFFICIENTS) - 1]]
        weights = COEFFICIENTS[len(latest) - 1]
        terms = [weight * v for weight, v in zip(weights, latest, strict=True)]
        x = x + sum(terms[1:], terms[0]) / num_steps
    return x

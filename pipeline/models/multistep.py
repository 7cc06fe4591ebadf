"""Follow a velocity from t = 0 to t = 1 in few evaluations: the Adams-Bashforth method."""

from collections.abc import Callable

from torch import Tensor

# Steps get shorter towards t = 1, where what little noise is left decides the details:
# t = 1 - (1 - u)^POWER with equal steps of u. Of order 2. Tried on mixtures of Gaussians and on
# Gaussians of small variance at 8 to 12 evaluations: orders 2 and 3, powers 1, 1.5 and 2.
POWER = 1.5
COEFFICIENTS = ((1.0,), (3 / 2, -1 / 2))


def integrate(velocity: Callable[[Tensor, float], Tensor], start: Tensor, num_steps: int) -> Tensor:
    """Return x(1) of dx/dt = velocity(x, t), x(0) = start; one evaluation a step.

    Former velocities are used again (Hairer, Norsett & Wanner 1993, sec. III.1; for images Zhang &
    Chen 2023, iPNDM).
    """
    x = start
    latest: list[Tensor] = []
    for step in range(num_steps):
        left = 1 - step / num_steps
        dt_du = POWER * left ** (POWER - 1)
        latest = [dt_du * velocity(x, 1 - left**POWER), *latest[: len(COEFFICIENTS) - 1]]
        weights = COEFFICIENTS[len(latest) - 1]
        terms = [weight * v for weight, v in zip(weights, latest, strict=True)]
        x = x + sum(terms[1:], terms[0]) / num_steps
    return x

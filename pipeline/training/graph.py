"""The training step as a CUDA graph: the processor launches all of it at once.

Launched one operation at a time, a step of these small networks waits for the processor whatever
the GPU could do. A graph replays recorded operations on the same memory, so that all that differs
from step to step must lie in tensors that stay where they are: the index of the images, and the
learning rates. The generator's state is registered with the graph, which advances it as the
operations would have done. It is the same step as without a graph, in the same order.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest

import torch
from torch import Tensor

from pipeline import first_line
from pipeline.config.grid import RunConfig
from pipeline.training.device import fix_order_of_sums
from pipeline.training.state import TrainState
from pipeline.training.step import TrainStep

# Steps that are tried before and after recording. CUDA's libraries start in the first of them.
NUM_TRIAL_STEPS = 3
# How far what they measure may differ, per image; nothing is expected to.
TOLERANCE = 1e-3
logger = logging.getLogger(__name__)


class StaticStep:
    """A step that finds its inputs in tensors of its own: the index [B] and the learning rates."""

    def __init__(self, step: TrainStep, batch_size: int) -> None:
        device, groups = step.images.device, step.state.optimizer.param_groups
        self.step = step
        self.index = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.rates = [torch.zeros((), device=device) for _ in groups]
        self.launch: Callable[[], None] = self.work

    def __call__(self, index: Tensor) -> None:
        """Take a step on the images of this index [B]."""
        self.index.copy_(index)
        for rate, group in zip(self.rates, self.step.state.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        self.launch()

    def work(self) -> None:
        """Take a step by the inputs as they are."""
        groups = self.step.state.optimizer.param_groups
        scheduled = [group["lr"] for group in groups]
        try:
            for group, rate in zip(groups, self.rates, strict=True):
                group["lr"] = rate
            self.step(self.index)
        finally:
            # Numbers again: what the scheduler changes and a checkpoint holds.
            for group, value in zip(groups, scheduled, strict=True):
                group["lr"] = value


class GraphedStep:
    """`TrainStep` by a CUDA graph for each size of batch, the last and smaller one included.

    If a step cannot be recorded, a line says so, and it is taken as it is.
    """

    def __init__(self, eager: TrainStep) -> None:
        self.eager = eager
        self.state, self.run, self.images = eager.state, eager.run, eager.images
        self.sums = eager.sums
        self.by_size: dict[int, Callable[[Tensor], None]] = {}
        self.can_record = True

    def __call__(self, index: Tensor) -> None:
        """Learn from the images of this index [B], int64."""
        if len(index) not in self.by_size:
            self.by_size[len(index)] = self.recorded(index) if self.can_record else self.eager
        self.by_size[len(index)](index)

    def recorded(self, index: Tensor) -> Callable[[Tensor], None]:
        """Record a step for an index of this size; the eager step if that is not possible."""
        static = StaticStep(self.eager, len(index))
        try:
            with nothing_changed(self.eager), torch.cuda.device(index.device.index):
                record(static, index)
            return static
        except RuntimeError as error:
            # What invalidated a recording says more than that it was invalid.
            reason = first_line(error.__context__ or error)[:150]
            logger.warning(
                "The training step cannot be one CUDA graph here (%s); going on with its "
                "operations one by one, which is slower",
                reason,
            )
            # A recording that failed may leave its generator unusable. Graphs of before it draw
            # from that one: they go, too.
            self.can_record = False
            self.by_size.clear()
            self.state.generator = copy_of(self.state.generator)
            return self.eager


Step = TrainStep | GraphedStep


def make_step(state: TrainState, run: RunConfig, images: Tensor) -> Step:
    """Return a step on images uint8 [N, C, H, W], on CUDA as a graph.

    Compiled, or shared by several processes, it is no graph.
    """
    step = TrainStep(state, run, images)
    if images.device.type != "cuda":
        return step
    repeat_bytes(step)
    alone = state.dist.world_size == 1 and not run.train.compile
    return GraphedStep(step) if alone else step


def repeat_bytes(step: TrainStep) -> None:
    """Let CUDA sum in one order only; if something in a step has none, say so and go on."""
    fix_order_of_sums(warn_only=False)
    batch_size = min(step.run.train.batch_size, len(step.images))
    try:
        with nothing_changed(step):
            step(torch.arange(batch_size, device=step.images.device))
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        logger.warning("Equal runs may differ in their last bits here: %s", first_line(error)[:150])
        fix_order_of_sums(warn_only=True)


def record(static: StaticStep, index: Tensor) -> None:
    """Record a step as a graph that it then launches. Changes what steps change.

    Raises RuntimeError if CUDA refuses, or if the graph's steps measure anything else than the same
    steps did before.
    """
    state, sums = static.step.state, static.step.sums
    with nothing_changed(static.step):
        sums.zero_()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(NUM_TRIAL_STEPS):
                static(index)
        torch.cuda.current_stream().wait_stream(stream)
        expected = sums.clone()
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(state.generator)
    # A recording that fails does not always leave its stream: hence the current one around it.
    current = torch.cuda.stream(torch.cuda.current_stream())
    with capturable(state), current, torch.cuda.graph(graph, stream=stream):
        static.work()
    static.launch = graph.replay
    sums.zero_()
    for _ in range(NUM_TRIAL_STEPS):
        static(index)
    count = NUM_TRIAL_STEPS * len(index)
    if not torch.allclose(sums / count, expected / count, TOLERANCE, TOLERANCE, equal_nan=True):
        raise RuntimeError("its steps measure something else")


@contextmanager
def capturable(state: TrainState) -> Iterator[None]:
    """Let the optimizer be recorded. The fused one works alike, but is asked."""
    groups = state.optimizer.param_groups
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False


@contextmanager
def nothing_changed(step: TrainStep) -> Iterator[None]:
    """Bring weights, optimizer, sums and generator back, whatever steps are taken inside."""
    saved = [tensor.clone() for tensor in changing_tensors(step)]
    generator = step.state.generator
    drawn = generator.get_state()
    try:
        yield
    finally:
        # Adam's moments, made in its first step, start at zero.
        for tensor, value in zip_longest(changing_tensors(step), saved):
            tensor.zero_() if value is None else tensor.copy_(value)
        generator.set_state(drawn)


def changing_tensors(step: TrainStep) -> list[Tensor]:
    """List what a step changes, what the optimizer makes in its first step last."""
    state = step.state
    weights = [*state.model.state_dict().values(), *state.averaged.state_dict().values()]
    moments = [tensor for slots in state.optimizer.state.values() for tensor in slots.values()]
    return [*weights, step.sums, *moments]


def copy_of(generator: torch.Generator) -> torch.Generator:
    """Return a generator that draws the same numbers."""
    copy = torch.Generator(generator.device)
    copy.set_state(generator.get_state())
    return copy

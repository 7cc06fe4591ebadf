"""Mutual information against a closed form; the probe on codes with the label or nothing."""

import math

import numpy as np
import pytest
import torch

from pipeline.evaluation.latents import linear_probe, mutual_information

G = torch.Generator().manual_seed(0)


def test_codes_that_ignore_the_image_carry_no_information() -> None:
    assert mutual_information(torch.zeros(500, 6), torch.zeros(500, 6), G) == pytest.approx(
        0, abs=1e-6
    )


def test_codes_that_tell_every_image_apart_carry_the_logarithm_of_their_number() -> None:
    mu = 100 * torch.randn(500, 6, generator=G)
    assert mutual_information(mu, torch.full((500, 6), -4.0), G) == pytest.approx(
        math.log(500), abs=1e-3
    )


def test_a_gaussian_channel_has_its_capacity() -> None:
    """z = mu + sigma eps with Var[mu] = 3, sigma = 1: I = log(1 + 3) / 2."""
    mu = math.sqrt(3) * torch.randn(4000, 1, generator=G)
    assert mutual_information(mu, torch.zeros(4000, 1), G) == pytest.approx(
        0.5 * math.log(4), abs=0.05
    )


def test_the_probe_reads_a_label_that_is_there_and_guesses_one_that_is_not() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 800)
    codes = draw.normal(size=(800, 5)) + 4 * np.eye(5)[labels]
    assert linear_probe((codes[:600], labels[:600]), (codes[600:], labels[600:])) > 0.9
    nothing = draw.normal(size=(800, 5))
    assert linear_probe((nothing[:600], labels[:600]), (nothing[600:], labels[600:])) < 0.4

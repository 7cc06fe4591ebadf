"""The mixture's EM is scikit-learn's step by step, and shrinks covariances as it says."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from pipeline.evaluation.distances import FeatureSet, frechet_distance
from pipeline.sampling import gmm
from pipeline.sampling.gmm import GaussianMixturePrior, e_step, fit_gmm_prior, kmeans, m_step

G = torch.Generator().manual_seed(0)
# Two clouds: a standard normal would be far off.
CLOUDS = torch.cat(
    [torch.randn(1500, 4, generator=G) * 0.3 - 2, torch.randn(1500, 4, generator=G) * 0.5 + 1]
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def contrasts(count: int, size: int, seed: int) -> torch.Tensor:
    """Codes of one shape in many scales, as those of images are, float64."""
    drawn = torch.Generator().manual_seed(seed)
    scales = torch.rand(count, 1, generator=drawn, dtype=torch.float64) * 2 + 0.2
    codes = torch.randn(count, size, generator=drawn, dtype=torch.float64) * scales
    return codes @ torch.diag(torch.linspace(0.5, 1.5, size, dtype=torch.float64))


def test_the_mixture_has_both_clouds() -> None:
    real, normal = FeatureSet(CLOUDS), FeatureSet(torch.randn(3000, 4, generator=generator()))
    z = fit_gmm_prior(CLOUDS, generator()).sample(3000, torch.Generator().manual_seed(1))
    assert frechet_distance(real, FeatureSet(z)) < 0.02 * frechet_distance(real, normal)
    assert abs((z[:, 0] < -0.5).float().mean() - 0.5) < 0.05
    between = ((z[:, 0] > -0.9) & (z[:, 0] < -0.6)).float().mean()
    assert between <= 0.02, "nothing lies between them"


def test_the_same_generator_gives_the_same_mixture() -> None:
    first, second = (fit_gmm_prior(CLOUDS, generator()) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_few_codes_get_few_components_and_one_code_more_than_none() -> None:
    assert len(fit_gmm_prior(CLOUDS[:40], generator()).weights) == 2
    fewer_than_dimensions = contrasts(6, 10, 0)
    mixture = fit_gmm_prior(fewer_than_dimensions, generator())
    assert torch.isfinite(mixture.sample(5, generator())).all()


# 150 dimensions: triangular products in more than one block, chunks of more than one code.
@pytest.mark.parametrize(("size", "components"), [(3, 4), (150, 2)])
def test_every_iteration_is_scikit_learns(
    size: int, components: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gmm, "CHUNK_SIZE", 70)
    z = contrasts(600, size, seed=1)
    ours = m_step(z, kmeans(z.abs(), components, generator()), pseudo_codes=0)
    roots = ours.scale_tril
    start = {
        "weights_init": ours.weights.numpy(),
        "means_init": ours.means.numpy(),
        "precisions_init": torch.cholesky_inverse(roots).numpy(),
    }
    for iterations in (1, 2, 3):
        responsibilities, _ = e_step(z, ours)
        ours = m_step(z, responsibilities, pseudo_codes=0)
        theirs = GaussianMixture(
            components, reg_covar=gmm.REG_COVAR, max_iter=iterations, tol=0, **start
        )
        with pytest.warns(match="did not converge"):
            theirs.fit(z.numpy())
        covariances = ours.scale_tril @ ours.scale_tril.mT
        np.testing.assert_allclose(ours.weights, theirs.weights_, rtol=1e-6)
        np.testing.assert_allclose(ours.means, theirs.means_, atol=1e-6)
        np.testing.assert_allclose(covariances, theirs.covariances_, atol=1e-6)
        _, log_likelihood = e_step(z, ours)
        assert log_likelihood == pytest.approx(theirs.score(z.numpy()), abs=1e-6)


def test_one_component_has_the_mean_and_covariance_of_the_codes() -> None:
    z = contrasts(30, 4, seed=2)
    mixture = fit_gmm_prior(z, generator())
    covariance = np.cov(z.numpy().T, bias=True) + gmm.REG_COVAR * np.eye(4)
    np.testing.assert_allclose(mixture.weights, [1.0])
    np.testing.assert_allclose(mixture.means[0], z.mean(0))
    np.testing.assert_allclose(mixture.scale_tril[0] @ mixture.scale_tril[0].T, covariance)


def test_shrunk_covariances_keep_their_scale_and_take_the_common_shape() -> None:
    small, large = contrasts(400, 3, 3) * 0.1, contrasts(400, 3, 4) * 5
    members = torch.eye(2, dtype=torch.float64).repeat_interleave(400, 0)
    free, shrunk = (
        m_step(torch.cat([small, large]), members, pseudo_codes) for pseudo_codes in (0, 1e9)
    )

    def shapes(mixture: GaussianMixturePrior) -> torch.Tensor:
        covariances = mixture.scale_tril @ mixture.scale_tril.mT - gmm.REG_COVAR * torch.eye(3)
        return covariances / covariances.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]

    assert torch.allclose(*shapes(shrunk), atol=1e-3)
    assert not torch.allclose(*shapes(free), atol=1e-2)
    volumes = [m.scale_tril.diagonal(dim1=1, dim2=2).log().sum(1) for m in (free, shrunk)]
    assert torch.allclose(*volumes, atol=0.1)


def test_where_codes_are_few_it_predicts_better_than_scikit_learns() -> None:
    z, held_out = contrasts(3_000, 40, seed=5), contrasts(3_000, 40, seed=6)
    _, ours = e_step(held_out, fit_gmm_prior(z, generator()))
    theirs = GaussianMixture(
        3_000 // (2 * 40), reg_covar=0.02, max_iter=20, tol=1e-2, random_state=0
    )
    assert ours > theirs.fit(z.numpy()).score(held_out.numpy()) + 0.5

r"""The two maps whose determinants are in every textbook: affine, and triangular (lecture L0: "choose df^-1/dx to be a
triangular matrix"; L3: "the determinant of triangular matrices is the product of the diagonal entries").
"""

from __future__ import annotations

from ...autodiff import broadcast_to, cholesky, concat, exp, expand_dims, matrix_transpose, mean, slogdet, solve, tanh
from ...backend import Array
from ...bijections import Bijection
from ...nn import MLP
from ...random import Generator


class Affine(Bijection):
    """f(z) = z A + b, for rows z: log |det A| everywhere."""

    A: Array  # (..., d, d)
    b: Array  # (..., 1, d)

    @classmethod
    def fit(cls, x: Array) -> Affine:
        """The normal distribution of greatest likelihood: b the mean of the rows (..., n, d), A' A their covariance."""
        b = mean(x, axis=-2, keepdims=True)
        return cls(matrix_transpose(cholesky(matrix_transpose(x - b) @ (x - b) / x.shape[-2])), b)

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        return z @ self.A + self.b, self._log_det(z)

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Raises ``LinAlgError`` where A is singular."""
        z = matrix_transpose(solve(matrix_transpose(self.A), matrix_transpose(x - self.b)))
        return z, -self._log_det(x)

    def _log_det(self, z: Array) -> Array:
        return broadcast_to(expand_dims(slogdet(self.A).logabsdet, axis=-1), z.shape[:-1])


class Triangular(Bijection):
    """x_i = m_i + z_i exp(s_i), where (m_i, s_i) is a network's answer to x_1, ..., x_(i-1): log det = sum_i s_i.

    dx_i/dz_j is 0 for j > i and exp(s_i) on the diagonal. The inverse takes all coordinates at once; forward, they come one
    after the other (Kingma et al. 2016; Papamakarios et al. 2017).
    """

    networks: tuple[MLP, ...]  # network i: i numbers -> 2

    @classmethod
    def init(cls, rng: Generator, dim: int = 2, hidden: int = 32) -> Triangular:
        """One hidden layer of tanh units for each coordinate; the first network sees nothing, and answers with a constant."""
        return cls(tuple(MLP.init(rng, [i, hidden, 2], tanh) for i in range(dim)))

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        x, total = z[..., :0], 0.0
        for i, network in enumerate(self.networks):
            out = network(x)
            s = out[..., 1]
            x = concat([x, expand_dims(out[..., 0] + z[..., i] * exp(s), axis=-1)], axis=-1)
            total = total + s
        return x, total

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        z, total = [], 0.0
        for i, network in enumerate(self.networks):
            out = network(x[..., :i])
            z.append(expand_dims((x[..., i] - out[..., 0]) * exp(-out[..., 1]), axis=-1))
            total = total - out[..., 1]
        return concat(z, axis=-1), total

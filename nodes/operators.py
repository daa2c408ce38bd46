"""What solves and adjoints do with an operator: apply it, pair two vectors, single out the supports."""

from __future__ import annotations

from typing import Any

import attrs

import tograph as tg
from tograph import Axis, Edge, Node, Port, Spec
from tograph.columns import width

from .pattern import ElementPattern, as_cases, from_cases


@tg.node
class ApplyOperator(Node):
    """y = K u = sum_e E_e P_e^T K_e P_e u on all dofs, free and fixed, without assembling K.

    u, y: vector (n_dofs,) or (n_dofs, cases).
    """

    inputs = (Port("K", "operator"), Port("u", "vector"))
    linear = ("K", "u")
    pattern: ElementPattern

    def infer(self, *specs: Spec) -> Spec:
        """As u."""
        return specs[1]

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """A matrix-vector product per element and case."""
        return self.pattern.element_flops(width(inputs[-1]))

    def forward(self, xp: Any, *values: Any) -> Any:
        """Gather, multiply by every term's element matrix, scatter."""
        (moduli, elements), u = values
        local = self.pattern.gather(xp, as_cases(xp, u))
        products = sum(
            moduli[t][None, ..., None] * xp.matmul(local, xp.permute_dims(elements[t], (1, 0)))
            for t in range(moduli.shape[0])
        )
        return from_cases(xp, self.pattern.scatter(xp, products), u.ndim)


@tg.graph_vjp(ApplyOperator, "K")
def _(node: ApplyOperator, ct: Edge, u: Edge) -> Edge:
    return Dyad(node.pattern)(ct, u)


@tg.graph_vjp(ApplyOperator, "u")
def _(node: ApplyOperator, ct: Edge, K: Edge) -> Edge:
    # Element matrices are symmetric, so K is its own transpose.
    return ApplyOperator(node.pattern)(K, ct)


@tg.node
class Dyad(Node):
    """sum_k a_k b_k^T over load cases, kept as the pair (a, b): the cotangent of an operator."""

    inputs = (Port("a", "vector"), Port("b", "vector"))
    outputs = (Port("out", "dyad"),)
    linear = ("a", "b")
    pattern: ElementPattern

    def infer(self, *specs: Spec) -> Spec:
        """A dyad with as many terms as there are cases."""
        axes = (Axis("pair", 2), Axis("case", width(specs[0])), Axis("dof", self.pattern.n_dofs))
        return Spec("dyad", axes, specs[0].dtype, structure=self.pattern)

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """None: the product is never formed."""
        return 0

    def forward(self, xp: Any, *values: Any) -> Any:
        """The pair."""
        a, b = values
        return as_cases(xp, a), as_cases(xp, b)


@tg.node
class OnSupports(Node):
    """y = u at the fixed dofs, 0 at the free ones. u, y: vector."""

    inputs = (Port("u", "vector"),)
    linear = ("u",)
    pattern: ElementPattern

    def infer(self, *specs: Spec) -> Spec:
        """A vector as u."""
        return attrs.evolve(specs[0], kind="vector")

    def forward(self, xp: Any, *values: Any) -> Any:
        """Multiply by the mask of the supports."""
        (u,) = values
        mask = xp.asarray(self.pattern.supports, dtype=u.dtype)
        return u * (mask if u.ndim == 1 else mask[:, None])


@tg.graph_vjp(OnSupports, "u")
def _(node: OnSupports, ct: Edge) -> Edge:
    masked: Edge = node(ct)
    return masked

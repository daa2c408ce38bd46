"""Reading an executed plan: which lane a step is in, what it is called, and whose cotangent an edge carries."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import attrs

from ..declare import Source
from ..derivative import Jvp, Vjp
from ..draw.places import Place, base
from ..draw.scene import Scene
from ..edge import Edge, Vertex
from ..node import Constant
from ..plan import Plan


@attrs.frozen(eq=False, slots=False)
class Reader:
    """A plan and the names that a user knows its parts by."""

    plan: Plan

    @cached_property
    def scene(self) -> Scene:
        """The places of all steps, as a diagram has them."""
        return Scene(self.plan, False, 8)

    def place(self, vertex: Vertex) -> Place:
        """The box that a step is drawn in."""
        return self.scene.where[vertex]

    def derived(self, vertex: Vertex) -> bool:
        """Whether a step is there for the derivative: in the reverse or tangent lane."""
        return self.place(vertex).lane != "forward"

    def name(self, vertex: Vertex) -> str:
        """The declared node that a step belongs to, by its name in the graph."""
        return self.scene.name(self.place(vertex))

    def carries(self, edge: Edge) -> str:
        """What flows: the name of a value, or e.g. `rho_f_bar` for the cotangent of rho_f."""
        vertex = edge.vertex
        if not self.derived(vertex):
            part = f".{vertex.origin.part}" if vertex.origin.part else ""
            several = len(vertex.node.outputs) > 1
            return self.name(vertex) + part + (f".{vertex.node.outputs[edge.index].name}" if several else "")
        return " ".join(self.scene.makes(self.place(vertex))) or self.name(vertex)

    def words(self, vertex: Vertex) -> str:
        """A step in a sentence: `'E' (Simp, declared at beam.py:12)`, `the reverse step of 'E' (vjp Simp.rho, ...)`."""
        lane, what = self.place(vertex).lane, vertex.node.title
        whose = f"{self.name(vertex)!r} ({what}, declared at {vertex.origin.where})"
        if vertex.origin.role == "accumulate":
            user = self.scene.user(self.place(vertex))
            title = user.node.title if user else what
            return f"the sum of the cotangents of {self.name(vertex)!r} ({title}, declared at {vertex.origin.where})"
        return whose if lane == "forward" else f"the {lane} step of {whose}"

    def is_input(self, vertex: Vertex) -> bool:
        """Whether a vertex is given rather than computed."""
        return isinstance(vertex.node, Source | Constant)

    def moving(self, vertex: Vertex) -> list[Edge]:
        """The inputs of a derivative step that are cotangents (tangents) themselves, rather than kept values."""
        count = len(vertex.node.of.outputs) if isinstance(vertex.node, Vjp) else 1
        if isinstance(vertex.node, Vjp | Jvp):
            return list(vertex.edges[:count])
        return [edge for edge in vertex.edges if self.derived(edge.vertex)]

    @cached_property
    def readers(self) -> dict[Edge, list[Vertex]]:
        """Edge -> the steps that take it."""
        found: dict[Edge, list[Vertex]] = {}
        for vertex in self.plan.order:
            for edge in dict.fromkeys(vertex.edges):
                found.setdefault(edge, []).append(vertex)
        return found

    @cached_property
    def cotangents(self) -> dict[tuple[Any, ...], Edge]:
        """(declared origin, output it serves) -> the edge that carries the cotangent of that node into its own step.

        Factors that the compiler has moved behind linear nodes are not in it yet.
        """
        found: dict[tuple[Any, ...], Edge] = {}
        for vertex in self.plan.order:
            if self.derived(vertex):
                for edge in self.moving(vertex):
                    if self.derived(edge.vertex) and base(edge.vertex) != base(vertex):
                        found.setdefault((base(vertex), self.place(vertex).of), edge)
        return found

    def step(self, vertex: Vertex) -> dict[str, Any]:
        """One step as plain data."""
        place = self.place(vertex)
        return {
            "name": self.name(vertex),
            "part": vertex.origin.part,
            "operation": vertex.node.title,
            "lane": place.lane,
            "role": vertex.origin.role,
            "of": list(place.of),
            "declared": str(vertex.origin.where),
        }

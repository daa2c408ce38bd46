"""Every message a user can meet before anything runs, word for word.

A case is a function that does something wrong. `{here}` in its message stands for the file and the line that is marked
`# here` in its source, `{there}` for the one marked `# there`: so the table also pins that messages point at the line
that declared the culprit.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest

import tograph as tg
from tograph import nodes as n
from tograph.errors import Location
from tograph.node import constant
from tograph.problems import mbb

Case = Callable[[], Any]
GRID = n.Grid(4, 2)
LOAD = mbb(4, 2).load
FIXED = mbb(4, 2).fixed
COUNTED = tg.Spec("integer", GRID.field().axes, "integer")
CASES: list[Any] = []


def case(*expected: str, error: type[Exception] = tg.GraphError) -> Callable[[Case], Case]:
    """A row of the table: the findings, one per line of the message."""

    def add(function: Case) -> Case:
        CASES.append(pytest.param(function, expected, error, id=function.__name__))
        return function

    return add


def placed(template: str, function: Case) -> str:
    lines, first = inspect.getsourcelines(function)
    file = inspect.getsourcefile(function) or ""
    marks = {
        mark: Location(file, first + i)
        for i, line in enumerate(lines)
        for mark in ("here", "there")
        if f"# {mark}" in line
    }
    for mark, where in marks.items():
        template = template.replace(f"{{{mark}}}", str(where))
    return template


@pytest.mark.parametrize(("function", "expected", "error"), CASES)
def test_message(function: Case, expected: tuple[str, ...], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        function()
    assert type(caught.value) is error
    wanted = [placed(line, function) for line in expected]
    if error is tg.GraphError:
        title = f"The graph has {len(wanted)} problem{'s' if len(wanted) > 1 else ''}:"
        wanted = [title, *(f"{i}. {line}" for i, line in enumerate(wanted, 1))]
    assert str(caught.value) == "\n".join(wanted)


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 60
    assert len({tuple(row.values[1]) for row in CASES}) == len(CASES), "two cases have the same message"


# What the cases are built from.


def rho() -> tg.Edge:
    return tg.source("rho", GRID.field())


def check(outputs: dict[str, tg.Edge], *inputs: tg.Edge) -> tg.Graph:
    graph = tg.Graph(inputs, outputs)
    graph.validate()
    return graph


def displacement(x: tg.Edge) -> tg.Edge:
    u: tg.Edge = n.LinearSolve()(n.Stiffness(GRID, fixed=FIXED)(x), LOAD)
    return u


@tg.node
class Lookup(tg.Node):
    """Something computed outside the frameworks, without any rule."""

    inputs = (tg.Port("x"), tg.Port("y", optional=True))
    host: ClassVar[bool] = True

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0]


@tg.node
class Round(tg.Node):
    """Numbers to the nearest integers."""

    inputs = (tg.Port("x"),)

    def infer(self, *specs: tg.Spec) -> tg.Spec:
        return attrs.evolve(specs[0], kind="integer", dtype="integer")

    def forward(self, xp: Any, *values: Any) -> Any:
        return xp.astype(xp.round(values[0]), xp.int32)


@tg.node
class Use(tg.Node):
    """A real number per integer."""

    inputs = (tg.Port("count", "integer"),)

    def infer(self, *specs: tg.Spec) -> tg.Spec:
        return attrs.evolve(specs[0], kind="field", dtype="real")

    def forward(self, xp: Any, *values: Any) -> Any:
        return xp.astype(values[0], xp.float64)


@tg.node
class OnlyTorch(tg.Node):
    """A node whose only implementation is for one backend."""

    inputs = (tg.Port("x"),)


@tg.implements(OnlyTorch, "torch")
def _(node: OnlyTorch, xp: Any, x: Any) -> Any:
    return x


@tg.node
class Halves(tg.Node):
    """Whose `infer` promises two outputs, and whose `forward` gives one."""

    inputs = (tg.Port("x"),)
    outputs = (tg.Port("top"), tg.Port("bottom"))

    def infer(self, *specs: tg.Spec) -> tuple[tg.Spec, ...]:
        return specs[0], specs[0]

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0]


@tg.node
class Shorter(tg.Node):
    """Whose `forward` returns another shape than `infer` says."""

    inputs = (tg.Port("x"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0][0]


@tg.node
class Careless(tg.Node):
    """Whose `infer` does not check what it is given."""

    inputs = (tg.Port("x"),)
    factor: Any = None

    def infer(self, *specs: tg.Spec) -> tg.Spec:
        return attrs.evolve(specs[0], unit=self.factor["unit"])


@tg.node
class TwoSpecs(tg.Node):
    """Whose `infer` gives more specs than there are outputs."""

    inputs = (tg.Port("x"),)

    def infer(self, *specs: tg.Spec) -> tuple[tg.Spec, ...]:
        return specs[0], specs[0]


@tg.node
class Total(tg.Node):
    """A composite whose parts make a number, though it promises a field."""

    inputs = (tg.Port("x"),)

    def expand(self, specs: tuple[tg.Spec | None, ...], *edges: Any) -> tg.Edge:
        total: tg.Edge = n.Sum()(edges[0])
        return total


# Calling a node.


@case(
    "Simp.rho: expects an edge, a number or an array, got the node DensityFilter (declared at {here}). "
    "Call the node on an edge first: DensityFilter(...)(x)"
)
def a_node_in_place_of_an_edge() -> None:
    n.Simp()(n.DensityFilter(GRID, 2.4))  # here


@case(
    "Simp.rho: expects an edge, a number or an array, got the class DensityFilter (declared at {here}). "
    "Make a node and call it on an edge first: DensityFilter(...)(x)"
)
def a_class_in_place_of_an_edge() -> None:
    n.Simp()(n.DensityFilter)  # here


@case(
    "Simp.rho: expects an edge, a number or an array, got None (declared at {here}). "
    "Leave out what is optional; else the function that makes it returned nothing"
)
def none_in_place_of_an_edge() -> None:
    n.Simp()(None)  # here


@case(
    "Simp.surplus0: expects an edge, a number or an array, got the text 'E' (declared at {here}). "
    "Give an edge, a number or an array; a node is named by `name=...`"
)
def a_name_in_place_of_an_edge() -> None:
    n.Simp()(rho(), "E")  # here


@case(
    "Simp.rho: expects an edge, a number or an array, got a tuple (declared at {here}). "
    "It holds 2 edges: pick one, or unpack it"
)
def several_outputs_in_place_of_an_edge() -> None:
    halves = Halves()(rho())
    n.Simp()(halves)  # here


@case(
    "Simp.rho: expects an edge, a number or an array, got a spec (field 2x4) (declared at {here}). "
    "A spec has no value: declare an input with `tg.source(name, spec)`"
)
def a_spec_in_place_of_an_edge() -> None:
    n.Simp()(GRID.field())  # here


@case(
    "Add.terms1: expects an edge, a number or an array, got a list (declared at {here}). "
    "Give an edge, a number or an array"
)
def ragged_rows() -> None:
    n.Add()(rho(), [[1.0], [1.0, 2.0]])  # here


@case("Simp.name: expects a text, got an int (declared at {here}). Give a text")
def a_name_that_is_no_text() -> None:
    n.Simp()(rho(), name=3)  # type: ignore[arg-type]  # here


@case("E.rho: this input is not connected (declared at {here}). Simp takes 1 input: rho (field)")
def an_unbound_input() -> None:
    x = rho()
    E = n.Simp()()  # here
    check({"sum": n.Sum()(x) + n.Sum()(E)}, x)


@case("E: Simp takes 1 input but was called with 2 (declared at {here}). It takes: rho (field)")
def a_surplus_input() -> None:
    x = rho()
    E = n.Simp()(x, x)  # here
    check({"E": E}, x)


@case("total: Add needs at least one input (declared at {here})")
def a_sum_of_nothing() -> None:
    x = rho()
    total = n.Add()()  # here
    check({"sum": n.Sum()(x) + n.Sum()(total)}, x)


# Parameters.


@case("Simp.p: expects a number or an edge, got the text '3' (declared at {here}). Give a number or an edge")
def a_parameter_as_text() -> None:
    n.Simp(p="3")  # here


@case("Simp.p: expects a number or an edge, got the node Heaviside (declared at {here}). "
      "Call the node on an edge first: Heaviside(...)(x)")  # fmt: skip
def a_parameter_as_a_node() -> None:
    n.Simp(p=n.Heaviside(beta=2.0))  # here


@case("E.p: p = nan is not a finite number (declared at {here}). It must be >= 1")
def a_parameter_that_is_not_a_number() -> None:
    x = rho()
    E = n.Simp(p=np.nan)(x)  # here
    check({"E": E}, x)


@case(
    "E.p: p = 0.5 is outside its range (declared at {here}). It must be >= 1",
    "E.E_max: E_max = 0 is outside its range (declared at {here}). It must be > 0",
)
def two_parameters_out_of_range() -> None:
    x = rho()
    E = n.Simp(p=0.5, E_max=0.0)(x)  # here
    check({"E": E}, x)


@case("E.p: p = 0.2 is outside its range (declared at {here}). It must be >= 1")
def a_wired_parameter_out_of_range_by_default() -> None:
    x, p = rho(), tg.source("p", default=0.2)
    E = n.Simp(p=p)(x)  # here
    check({"E": E}, x, p)


@case("rho_f.radius: a wired radius needs an upper bound (declared at {here}). Give DensityFilter(..., max_radius=...)")
def a_wired_radius_without_bound() -> None:
    x, r = rho(), tg.source("r")
    rho_f = n.DensityFilter(GRID, r)(x)  # here
    check({"rho_f": rho_f}, x, r)


# Shapes, kinds, units, dtypes.


@case(
    "u.K: expects an operator, got a field 2x4 (declared at {here}). 'E' comes from Simp. "
    "Assemble an operator from it first"
)
def a_field_in_place_of_an_operator() -> None:
    x = rho()
    E = n.Simp()(x)
    u = n.LinearSolve()(E, LOAD)  # here
    check({"u": u}, x)


@case(
    "c.u: expects a vector, got an operator 30x30 (declared at {here}). 'K' comes from Stiffness. "
    "Solve with the operator first, and use the solution"
)
def an_operator_in_place_of_a_vector() -> None:
    x = rho()
    K = n.Stiffness(GRID, fixed=FIXED)(x)
    c = n.Compliance()(K, LOAD)  # here
    check({"c": c}, x)


@case(
    "y.s: expects a scalar, got a field 2x4 (declared at {here}). 'rho' comes from Source. "
    "Reduce it to one number first, e.g. with `Sum` or `Dot`"
)
def a_field_in_place_of_a_scalar() -> None:
    x = rho()
    y = n.Scale()(x, x)  # here
    check({"y": y}, x)


@case(
    "u.f: expects a vector, got an integer 30 (declared at {here}). 'f' comes from Constant. "
    "Integers are not differentiated: if these are real numbers, give them as floats"
)
def integers_in_place_of_numbers() -> None:
    x = rho()
    K = n.Stiffness(GRID, fixed=FIXED)(x)
    u = n.LinearSolve()(K, np.ones(30, dtype=int))  # here
    check({"u": u}, x)


@case("u.f: is array 5, but K has 30 dofs (declared at {here}). Give one value per dof: (30,) or (30, cases)")
def a_load_of_the_wrong_length() -> None:
    x = rho()
    K = n.Stiffness(GRID, fixed=FIXED)(x)
    u = n.LinearSolve()(K, np.ones(5))  # here
    check({"u": u}, x)


@case("u.prescribed: is array 30x2, but f is array 30 (declared at {here}). Give both the same shape")
def prescribed_values_of_another_shape() -> None:
    x = rho()
    K = n.Stiffness(GRID, fixed=FIXED)(x)
    u = n.LinearSolve()(K, LOAD, np.zeros((30, 2)))  # here
    check({"u": u}, x)


@case("c.f: is array 30x2, but u is vector 30 (declared at {here}). Use the load that was solved for")
def another_load_in_the_compliance() -> None:
    x = rho()
    u = displacement(x)
    c = n.Compliance()(u, np.ones((30, 2)))  # here
    check({"c": c}, x)


@case("c.weights: 2 weights for 1 load cases (declared at {here}). Give one weight per case")
def too_many_weights() -> None:
    x = rho()
    u = displacement(x)
    c = n.Compliance(weights=(1.0, 2.0))(u, LOAD)  # here
    check({"c": c}, x)


@case("rho_f.rho: shape (2, 4) does not fit the grid, whose fields are (2, 5) (declared at {here}). Use `grid.field()`")
def a_filter_on_another_grid() -> None:
    x = rho()
    rho_f = n.DensityFilter(n.Grid(5, 2), 2.4)(x)  # here
    check({"rho_f": rho_f}, x)


@case(
    "rho_f.rho: shape (2, 4) does not fit the grid, whose fields are (4, 2) (declared at {here}). "
    "Use `grid.field()`. It looks transposed: fields are (ny, nx[, nz])"
)
def a_transposed_field() -> None:
    x = rho()
    rho_f = n.DensityFilter(n.Grid(2, 4), 2.4)(x)  # here
    check({"rho_f": rho_f}, x)


@case(
    "y.b: shapes differ: 'a' is field 2x4, 'b' is array 4x2 (declared at {here}). "
    "The axes look swapped: transpose one of them"
)
def a_product_with_a_transposed_array() -> None:
    x = rho()
    y = x * np.ones((4, 2))  # here
    check({"y": y}, x)


@case("K.fixed: fixed dofs must lie in 0..29 (declared at {here}). Use `grid.dofs(...)`")
def a_fixed_dof_out_of_range() -> None:
    x = rho()
    K = n.Stiffness(GRID, fixed=np.array([0, 30]))(x)  # here
    check({"u": n.LinearSolve()(K, LOAD)}, x)


@case("K.fixed: fixed dofs must be whole numbers, got bool (declared at {here}). Use `grid.dofs(...)`")
def a_mask_in_place_of_dof_numbers() -> None:
    x = rho()
    K = n.Stiffness(GRID, fixed=np.zeros(30, dtype=bool))(x)  # here
    check({"u": n.LinearSolve()(K, LOAD)}, x)


@case("K.plane: plane is 'stres' (declared at {here}). Use 'stress' or 'strain'")
def an_unknown_plane() -> None:
    x = rho()
    K = n.Stiffness(GRID, plane="stres")(x)  # here
    check({"u": n.LinearSolve()(K, LOAD)}, x)


@case("rho_p: some elements are both solid and void (declared at {here}). Make the masks disjoint")
def overlapping_masks() -> None:
    x, everywhere = rho(), np.ones(GRID.shape, dtype=bool)
    rho_p = n.Passive(GRID, everywhere, everywhere)(x)  # here
    check({"rho_p": rho_p}, x)


@case(
    "rho_p.void: the mask 'void' has shape (4, 2), fields are (2, 4) (declared at {here}). Give one boolean per element"
)
def a_mask_of_the_wrong_shape() -> None:
    x, everywhere = rho(), np.ones(GRID.shape, dtype=bool)
    rho_p = n.Passive(GRID, everywhere, everywhere.T)(x)  # here
    check({"rho_p": rho_p}, x)


@case(
    "total.terms1: units differ: 'terms0' is in mm, 'terms1' in m (declared at {here}). "
    "Scale one of them to the other's unit"
)
def a_sum_of_different_units() -> None:
    a, b = tg.source("a", tg.Spec("scalar", unit="mm")), tg.source("b", tg.Spec("scalar", unit="m"))
    total = a + b  # here
    check({"total": total}, a, b)


@case("y: dtypes clash: 'terms0' is float32 and 'terms1' is float64 (declared at {here}). Cast one of them with `Cast`")
def two_precisions() -> None:
    x = rho()
    y = n.Cast("float32")(x) + n.Cast("float64")(x)  # here
    check({"y": y}, x)


@case("y.dtype: cannot cast to 'float23' (declared at {here}). Did you mean 'float32'?")
def an_unknown_precision() -> None:
    x = rho()
    y = n.Cast("float23")(x)  # here
    check({"y": y}, x)


@case("f: has shape (3,), but is declared as field 2x4 (declared at {here})")
def a_constant_that_is_not_what_it_says() -> None:
    x = rho()
    f = tg.constant(np.ones(3), GRID.field(), name="f")  # here
    check({"y": x + f}, x)


@case("f: the constant is not finite, first at (0, 3): nan (declared at {here})")
def a_constant_with_a_hole() -> None:
    x, values = rho(), np.ones(GRID.shape)
    values[0, 3] = np.nan
    f = tg.constant(values, GRID.field(), name="f")  # here
    check({"y": x + f}, x)


@case(
    "y: Careless.infer failed with TypeError: 'NoneType' object is not subscriptable (declared at {here}). "
    "Look at the parameters and inputs it was given"
)
def an_infer_that_fails() -> None:
    x = rho()
    y = Careless()(x)  # here
    check({"y": y}, x)


@case("y: TwoSpecs.infer gives (Spec, Spec) for 1 output(s) (declared at {here}). It must return one Spec per output")
def an_infer_that_gives_too_much() -> None:
    x = rho()
    y = TwoSpecs()(x)  # here
    check({"y": y}, x)


# Inputs and outputs of a graph.


@case("rho: this input does not reach any output (declared at {here}). Remove it from `inputs`, or connect it")
def an_unused_input() -> None:
    x = tg.source("rho", GRID.field())  # here
    y = tg.source("y")
    check({"y": y * 2.0}, x, y)


@case(
    "rhp: this source is used but is not an input of the graph (declared at {here}). "
    "Add it to `inputs`. Did you mean 'rho'?"
)
def a_source_that_is_not_listed() -> None:
    x = rho()
    other = tg.source("rhp", GRID.field())  # here
    check({"y": x + other}, x)


@case(
    "E: output 'E' does not depend on any input (declared at {here}). "
    "It is a constant: connect it to the design, or drop it"
)
def an_output_without_a_path_from_the_design() -> None:
    x = rho()
    E = n.Simp()(np.ones(GRID.shape))  # here
    check({"sum": n.Sum()(x), "E": E}, x)


@case("E: the name 'E' is already taken by the node declared at {there} (declared at {here}). Choose another name")
def a_name_given_twice() -> None:
    x = rho()
    first = n.Simp()(x, name="E")  # there
    second = n.Ramp()(x, name="E")  # here
    check({"first": first, "second": second}, x)


@case("the input 'rho' is listed 2 times. List each source once in `inputs`")
def an_input_listed_twice() -> None:
    x = rho()
    check({"sum": n.Sum()(x)}, x, x)


@case("input 0 is <edge E from Simp>, not an edge made by `tg.source` (declared at {here})")
def an_input_that_is_no_source() -> None:
    x = rho()
    E = n.Simp()(x)
    tg.Graph([E], {"E": E})  # here


@case("`inputs` is <edge rho from Source>, not a list of edges (declared at {here}). Put it in brackets: inputs=[...]")
def an_input_without_brackets() -> None:
    x = rho()
    tg.Graph(x, {"x": x})  # type: ignore[arg-type]  # here


@case(
    "output 'both' is a tuple, not an edge (declared at {here}). Pick one: it is a tuple of edges",
    "output 'none' is None, not an edge (declared at {here}). Give the edge to be computed",
)
def outputs_that_are_no_edges() -> None:
    x = rho()
    tg.Graph([x], {"both": Halves()(x), "none": None})  # type: ignore[dict-item]  # here


@case("2 outputs are called 'E' (declared at {here}). Name them apart: outputs={name: edge, ...}")
def two_outputs_of_one_name() -> None:
    x = rho()
    tg.Graph([x], [n.Simp()(x, name="E"), n.Ramp()(x, name="E")])  # here


@case("there are no outputs (declared at {here}). Name at least one edge to be computed")
def no_outputs() -> None:
    tg.Graph([rho()], {})  # here


@case("the name of a source must be a text, got 3 (declared at {here}). Give the name first: tg.source(name, spec)")
def a_source_without_a_name() -> None:
    tg.source(3)  # type: ignore[arg-type]  # here


@case("rho: its spec is a Grid, not a Spec (declared at {here}). Give a spec such as `grid.field()`")
def a_source_with_a_grid() -> None:
    tg.source("rho", GRID)  # type: ignore[arg-type]  # here


@case("rho.default: its default has shape (), but it is declared as a field 2x4 (declared at {here}). "
      "Give values of shape (2, 4)")  # fmt: skip
def a_default_of_the_wrong_shape() -> None:
    x = tg.source("rho", GRID.field(), default=0.5)  # here
    check({"x": x}, x)


@case("rho.lower: a lower bound is above the upper bound (declared at {here}). Exchange them")
def bounds_the_wrong_way_round() -> None:
    x = tg.source("rho", GRID.field(), lower=1.0, upper=0.0)  # here
    check({"x": x}, x)


@case(
    "p.p: p = 0.5 is outside its range (declared at {there}). It must be >= 1",
    "K.E: shape (2, 4) does not fit the grid, whose fields are (2, 5) (declared at {here}). Use `grid.field()`",
)
def everything_wrong_is_said_at_once() -> None:
    x = rho()
    p = n.Simp(p=0.5)(x)  # there
    K = n.Stiffness(n.Grid(5, 2))(x)  # here
    check({"sum": n.Sum()(p), "u": n.LinearSolve()(K, np.zeros(36))}, x)


# What is asked of a program.


def gradient(of: Any, wrt: Any, x: tg.Edge, c: tg.Edge, backend: str = "jax") -> Any:
    return tg.Graph([x], {"c": c}).compile(backend).value_and_grad(of, wrt)


@case("there is no output 'd'. Known: c", "there is no input 'rhoo'. Did you mean 'rho'?")
def unknown_names() -> None:
    x = rho()
    gradient("d", "rhoo", x, n.Sum()(x))


@case("there is no input 'E'. It is a node, and derivatives are with respect to inputs. Known: rho")
def a_derivative_with_respect_to_a_node() -> None:
    x = rho()
    E = n.Simp()(x)
    gradient("c", "E", x, n.Sum()(E))


@case("`wrt` is <edge rho from Source>, not a name. Name it as in the graph, e.g. wrt='x'", error=tg.TographError)
def an_edge_in_place_of_a_name() -> None:
    x = rho()
    gradient("c", x, x, n.Sum()(x))


@case(
    "E: output 'c' is a field 2x4: only a scalar has a gradient (declared at {here}). "
    "Reduce it to a scalar, e.g. with `Sum` or `Dot`"
)
def the_gradient_of_a_field() -> None:
    x = rho()
    E = n.Simp()(x)  # here
    gradient("c", "rho", x, E)


@case(
    "index: integers are not differentiated, but a derivative with respect to this input was asked for "
    "(declared at {here}). Declare it as real numbers, or leave it out"
)
def a_derivative_with_respect_to_integers() -> None:
    index = tg.source("index", COUNTED)  # here
    gradient("c", "index", index, n.Sum()(Use()(index)))


@case(
    "y.count: integers on the differentiated path rho -> count -> y -> c (declared at {here}). No derivative passes "
    "integers: keep real numbers here, or cut the path on purpose with `tg.detach`"
)
def integers_on_a_differentiated_path() -> None:
    x = rho()
    count = Round()(x)
    y = Use()(count)  # here
    c = n.Sum()(y)
    gradient("c", "rho", x, c)


@case(
    "c: no derivative of 'c' with respect to 'rho': detached: every path is cut by 'frozen' (heuristic), "
    "declared at {there} (declared at {here})"
)
def a_path_that_is_detached() -> None:
    x = rho()
    frozen = tg.detach(x, "heuristic")  # there
    c = n.Sum()(frozen)  # here
    gradient("c", "rho", x, c)


@case("v: no derivative of 'v' with respect to 'p': no path: nothing leads from it to the output (declared at {here})")
def a_tangent_that_does_not_exist() -> None:
    x, p = rho(), tg.source("p")
    v = n.Sum()(x)  # here
    tg.Graph([x, p], {"c": n.Sum()(n.Simp(p=p)(x)), "v": v}).compile("numpy").jvp("v", "p")


@case(
    "y.x: Lookup is a host node without a vjp rule for 'x', on the path rho -> E -> y -> z -> c (declared at {there}). "
    "Register one with @tg.vjp(Lookup, 'x'), or call it with derivative='finite-difference'",
    "z.x: Lookup is a host node without a vjp rule for 'x', on the path rho -> E -> y -> z -> c "
    "(declared at {here}). Register one with @tg.vjp(Lookup, 'x'), or call it with derivative='finite-difference'",
    "z.y: Lookup is a host node without a vjp rule for 'y', on the path rho -> E -> z -> c (declared at {here}). "
    "Register one with @tg.vjp(Lookup, 'y'), or call it with derivative='finite-difference'",
)
def missing_rules_are_listed_with_their_paths() -> None:
    x = rho()
    E = n.Simp()(x)
    y = Lookup()(E)  # there
    z = Lookup()(y, E)  # here
    c = n.Sum()(z)
    gradient("c", "rho", x, c)


@case(
    "E: derivative='unrolled' is for a node that solves an equation, and nothing is solved here (declared at {there}). "
    "Leave it out, or use 'autodiff' or 'finite-difference'",
    "rho_f: derivative='implicit' is for a node that solves an equation, and nothing is solved here "
    "(declared at {here}). Leave it out, or use 'autodiff' or 'finite-difference'",
)
def a_method_for_equations_where_nothing_is_solved() -> None:
    x = rho()
    E = n.Simp()(x, derivative="unrolled")  # there
    rho_f = n.DensityFilter(GRID, 1.5)(E, derivative="implicit")  # here
    eta = n.VolumeEnforcing(V=0.5)(rho_f, derivative="implicit")
    u = n.LinearSolve()(n.Stiffness(GRID, fixed=FIXED)(eta), LOAD, derivative="implicit")
    gradient("c", "rho", x, n.Compliance()(u, LOAD))


@case(
    "rho_p.x: VolumeEnforcing cannot be differentiated by unrolled: bisection only compares and halves, and AD does "
    "not see why the root moves, on the path rho -> rho_p -> c (declared at {here}). "
    "Use 'implicit' or 'finite-difference'"
)
def a_bisection_inside_a_composite_unrolled() -> None:
    x = rho()
    rho_p = n.VolumeEnforcing(V=0.5)(x, derivative="unrolled")  # here
    c = n.Sum()(rho_p)
    gradient("c", "rho", x, c)


@case(
    "y.x: Lookup is a host node without a jvp rule for 'x', on the path rho -> y -> compliance -> c "
    "(declared at {here}). Register one with @tg.jvp(Lookup, 'x'), or call it with derivative='finite-difference'"
)
def a_missing_rule_for_the_other_mode() -> None:
    x = rho()
    y = Lookup()(x)  # here
    compliance = n.Sum()(y)
    tg.Graph([x], {"c": compliance}).compile("torch").jvp("c", "rho")


@case(
    "y: OnlyTorch has no implementation for the jax backend (declared at {here}). "
    "Register one with @tg.implements(OnlyTorch, 'jax'), or compile for 'torch'"
)
def a_node_without_an_implementation_for_the_backend() -> None:
    x = rho()
    y = OnlyTorch()(x)  # here
    gradient("c", "rho", x, n.Sum()(y))


@case(
    "y: Shorter.forward returned an array of shape (4,), but infer says (out: field 2x4) (declared at {here}). "
    "Make the two agree",
    error=tg.TographError,
)
def a_forward_of_another_shape() -> None:
    x = rho()
    y = Shorter()(x)  # here
    check({"y": y}, x).compile("numpy")(np.ones(GRID.shape))


@case("y: Total.expand gives (scalar), but infer says (out: field 2x4) (declared at {here}). Make the two agree")
def an_expansion_of_another_shape() -> None:
    x = rho()
    y = Total()(x)  # here
    check({"y": y}, x).compile("numpy")(np.ones(GRID.shape))


@case(
    "top: Halves.forward returned an array of shape (2, 4), but infer says (top: field 2x4, bottom: field 2x4) "
    "(declared at {here}). Make the two agree",
    error=tg.TographError,
)
def a_forward_with_too_few_outputs() -> None:
    x = rho()
    top, bottom = Halves()(x, name="top")  # here
    check({"y": top + bottom}, x).compile("jax")(np.ones(GRID.shape))


@case("there is no backend 'pytorch'. Did you mean 'torch'?", error=tg.TographError)
def an_unknown_backend() -> None:
    x = rho()
    check({"x": x}, x).compile("pytorch")


@case("dtype 'float16' is not supported. Use one of float64, float32", error=tg.TographError)
def an_unsupported_precision() -> None:
    x = rho()
    check({"x": x}, x).compile("numpy", dtype="float16")


@case("backend 'torch' has no option 'compile'. Did you mean 'compiled'?", error=tg.TographError)
def an_unknown_option() -> None:
    x = rho()
    check({"x": x}, x).compile("torch", compile=True)


def test_a_framework_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "tograph.backends.torch", raising=False)
    x = rho()
    expected = r"^backend 'torch' needs a package that is missing \(.*\). Install it: pip install 'tograph\[torch\]'$"
    with pytest.raises(tg.TographError, match=expected):
        check({"x": x}, x).compile("torch")


# What a program is called with.


def call(*args: Any, **kwargs: Any) -> None:
    x, p = rho(), tg.source("p", default=3.0)
    check({"E": n.Simp(p=p)(x)}, x, p).compile("numpy")(*args, **kwargs)


ONES = np.ones(GRID.shape)
CALLS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "input 'rho' is missing: it is a field 2x4. Give it by position or by name"),
    ((ONES, 3.0, 1.0), {}, "the program takes 2 inputs (rho, p), got 3"),
    ((ONES,), {"rhoo": ONES}, "the program has no input 'rhoo'. Did you mean 'rho'?"),
    ((ONES,), {"rho": ONES}, "input 'rho' is given twice, by position and by name. Give it once"),
    ((ONES.T,), {}, "input 'rho' must be a field 2x4, got shape (4, 2). Transpose it"),
    ((ONES[:1],), {}, "input 'rho' must be a field 2x4, got shape (1, 4). Give values of shape (2, 4)"),
    ((0.5,), {}, "input 'rho' must be a field 2x4, got shape (). Give values of shape (2, 4)"),
    ((ONES, [3.0]), {}, "input 'p' must be a scalar, got shape (1,). Give values of shape ()"),
    ((ONES * 1j,), {}, "input 'rho' must be real, got complex128. Give its real part"),
    ((ONES.astype(object),), {}, "input 'rho' must be numbers, got a ndarray"),
    (("0.5",), {}, "input 'rho' must be numbers, got a str"),
    (([[1.0], [1.0, 2.0]],), {}, "input 'rho' must be one array: its rows have different lengths"),
    ((np.where(np.arange(8).reshape(2, 4) == 6, np.nan, 1.0),), {}, "input 'rho' is not finite, first at (1, 2): nan"),
    ((ONES,), {"p": np.inf}, "input 'p' is not finite: inf"),
]
RANGES = [
    ({"p": 0.5, "r": 1.5}, "input 'p' = 0.5 is outside the range of E.p (declared at {}). It must be >= 1"),
    ({"p": 3, "r": 2.6}, "input 'r' = 2.6 is outside the range of rho_f.radius (declared at {}). "
                         "It must be > 0 and <= 2.5"),
    ({"p": 3, "r": 0.0}, "input 'r' = 0 is outside the range of rho_f.radius (declared at {}). "
                         "It must be > 0 and <= 2.5"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "kwargs", "message"), CALLS, ids=[row[2] for row in CALLS])
def test_call(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(tg.TographError) as caught:
        call(*args, **kwargs)
    assert str(caught.value) == message


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])
@pytest.mark.parametrize(("given", "message"), RANGES)
def test_a_number_outside_the_range_of_its_parameter(backend: str, given: dict[str, Any], message: str) -> None:
    x, p, r = rho(), tg.source("p"), tg.source("r")
    rho_f = n.DensityFilter(GRID, radius=r, max_radius=2.5)(x)
    E = n.Simp(p=p)(rho_f)
    program = check({"E": E}, x, p, r).compile(backend)
    found = rho_f if "rho_f" in message else E
    with pytest.raises(tg.TographError) as caught:
        program(ONES, **given)
    assert str(caught.value) == message.format(found.vertex.origin.where)
    if backend == "torch":
        with pytest.raises(tg.TographError, match="outside the range"):
            program.as_torch("E")(ONES, **given)
    assert program(ONES, p=1.0, r=2.5)["E"].shape == GRID.shape


@case("rho_f.radius: radius = 3 is outside its range (declared at {here}). It must be > 0 and <= 2.5")
def a_radius_above_its_bound() -> None:
    x = rho()
    rho_f = n.DensityFilter(GRID, radius=3.0, max_radius=2.5)(x)  # here
    check({"rho_f": rho_f}, x)


def test_integers_are_not_rounded_in_silence() -> None:
    x = tg.source("count", COUNTED)
    program = check({"y": Use()(x)}, x).compile("numpy")
    assert program(np.arange(8).reshape(2, 4))["y"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(tg.TographError) as caught:
        program(ONES)
    assert str(caught.value) == "input 'count' must be integers, got float64. Round and convert it first"


def test_arrays_of_a_framework_are_checked_too() -> None:
    torch = pytest.importorskip("torch")
    x = rho()
    program = check({"y": n.Sum()(x)}, x).compile("torch")
    assert float(program(torch.ones(2, 4))["y"]) == 8.0
    with pytest.raises(tg.TographError, match=r"^input 'rho' must be real, got complex64. Give its real part$"):
        program(torch.ones(2, 4) * 1j)
    with pytest.raises(tg.TographError, match=r"^input 'rho' must be a field 2x4, got shape \(4, 2\). Transpose it$"):
        program(torch.ones(4, 2))


# Rules.


@tg.node
class Ruled(tg.Node):
    """A node to register wrong rules for."""

    inputs = (tg.Port("x"), tg.Port("y"))
    outputs = (tg.Port("z"),)
    scale: Any = tg.parameter(default=1.0)


@tg.vjp(Ruled, "y")
def first_rule(node: Ruled, xp: Any, ct: Any) -> Any:
    return ct


@case(
    "vjp rule of Ruled.y is already registered at "
    f"{Location(__file__, inspect.getsourcelines(first_rule)[1])} (declared at {{here}}). Remove one of the two",
    error=tg.RuleError,
)
def a_rule_registered_twice() -> None:
    @tg.vjp(Ruled, "y")  # here
    def _(node: Ruled, xp: Any, ct: Any) -> Any:
        return ct


@case(
    "vjp rule of Ruled names 'xx', which Ruled does not have (declared at {here}). Did you mean 'x'?",
    error=tg.RuleError,
)
def a_rule_that_needs_what_is_not_there() -> None:
    @tg.vjp(Ruled, "x")  # here
    def _(node: Ruled, xp: Any, ct: Any, xx: Any) -> Any:
        return ct


@case(
    "vjp rule of Ruled names 'z', which Ruled does not have (declared at {here}). Known: scale, x, y",
    error=tg.RuleError,
)
def a_rule_for_an_output() -> None:
    @tg.vjp(Ruled, "z")  # here
    def _(node: Ruled, xp: Any, ct: Any) -> Any:
        return ct


@case(
    "vjp rule of Ruled begins with (node, ct, x) (declared at {here}). "
    "Begin with (node, xp, ct), then name what it needs",
    error=tg.RuleError,
)
def a_rule_with_the_wrong_beginning() -> None:
    @tg.vjp(Ruled, "x")  # here
    def _(node: Ruled, ct: Any, x: Any) -> Any:
        return ct


@case(
    "forward implementation of Ruled begins with (x, y) (declared at {here}). "
    "Begin with (node, xp), then name what it needs",
    error=tg.RuleError,
)
def an_implementation_with_the_wrong_beginning() -> None:
    @tg.implements(Ruled, "jax")  # here
    def _(x: Any, y: Any) -> Any:
        return x


@case("vjp rule of Ruled is for no input (declared at {here}). Name the input, e.g. @tg.vjp(Ruled, 'x')",
      error=tg.RuleError)  # fmt: skip
def a_rule_without_an_input() -> None:
    tg.vjp(Ruled)  # here


@case(
    "vjp rule is for a Simp node, not for a node type (declared at {here}). Give the class: @tg.vjp(Simp, ...)",
    error=tg.RuleError,
)
def a_rule_for_a_node() -> None:
    tg.vjp(n.Simp(), "rho")  # type: ignore[arg-type]  # here


@case("jvp rule of Ruled is for an unknown backend 'jaxx' (declared at {here}). Did you mean 'jax'?",
      error=tg.RuleError)  # fmt: skip
def a_rule_for_an_unknown_backend() -> None:
    tg.jvp(Ruled, "x", backend="jaxx")  # here


def test_constants_name_what_they_cannot_hold() -> None:
    with pytest.raises(tg.GraphError, match=r"1. constant: expects a number or an array, got the text 'a' \(declared"):
        constant("a")

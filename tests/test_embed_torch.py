"""`Program.as_torch`: tograph's own rules by tape and by `torch.func`; an error where PyTorch is silently wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

import tograph as tg
from planted import CALLS, DIRECTION, GRID, LOAD, PROBE, X, analysis, expected, loaded, planted, rooted
from tograph import Graph, GraphError, Node, Port, SolveError, TographError
from tograph import nodes as n
from tograph.arithmetic import Dot
from tograph.program import Program

# Dynamo looks at .grad of every tensor that it resumes with.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

Function = Callable[..., Any]
x0 = torch.tensor(X)


@pytest.fixture(autouse=True)
def _from_zero() -> Iterator[None]:
    CALLS.clear()
    torch._dynamo.reset()
    yield


@cache
def program(kind: str) -> Program:
    return planted(kind).compile("torch")


@cache
def known(kind: str) -> dict[str, np.ndarray]:
    return expected(kind)


def close(found: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    wanted = np.asarray(wanted)
    found = found.detach().numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())


def backward(f: Function) -> Function:
    """The gradient by `.backward()`."""

    def slope(x: torch.Tensor) -> Any:
        leaf = x.clone().requires_grad_()
        f(leaf).backward()
        return leaf.grad

    return slope


def double_backward(f: Function) -> Function:
    """The Hessian by the tape, row by row."""

    def rows(x: torch.Tensor) -> Any:
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(f(leaf), leaf, create_graph=True)
        made = [torch.autograd.grad(s, leaf, retain_graph=True)[0].ravel() for s in slope.ravel()]
        return torch.stack(made)

    return rows


def tape_over(f: Function) -> Function:
    """The Jacobian of a function that itself differentiates by `torch.func`."""

    def rows(x: torch.Tensor) -> Any:
        leaf = x.clone().requires_grad_()
        return torch.stack([torch.autograd.grad(s, leaf, retain_graph=True)[0].ravel() for s in f(leaf).ravel()])

    return rows


def dual(f: Function) -> Function:
    """The gradient by `torch.autograd.forward_ad`, one entry at a time."""

    def slope(x: torch.Tensor) -> Any:
        with forward_ad.dual_level():
            basis = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape)
            made = [forward_ad.unpack_dual(f(forward_ad.make_dual(x, e))).tangent for e in basis]
        return torch.stack(made).reshape(x.shape)

    return slope


def over_batch(f: Function) -> Function:
    """f on a batch of three, of which the mean is the value at x."""
    return lambda x: vmap(f)(torch.stack([x, x, x])).mean(dim=0)


def compiled(f: Function) -> Function:
    """Between two pieces that are compiled."""

    def between(x: torch.Tensor) -> Any:
        return 1.0 * f(1.0 * x)

    made: Function = torch.compile(between, backend="aot_eager")
    return made


def compiled_whole(transform: Function) -> Function:
    """`torch.compile` outside the transform: where a custom backward that Dynamo sees is dropped."""
    return lambda f: torch.compile(transform(lambda x: 1.0 * f(1.0 * x)), backend="aot_eager")


FIRST: dict[str, tuple[Function, str]] = {
    "backward": (backward, "r"),
    "grad": (grad, "r"),
    "vjp": (lambda f: lambda x: vjp(f, x)[1](torch.ones((), dtype=x.dtype))[0], "r"),
    "jacrev": (jacrev, "r"),
    "jacfwd": (jacfwd, "f"),
    "dual": (dual, "f"),
    "vmap grad": (lambda f: over_batch(grad(f)), "r"),
    "grad vmap": (lambda f: grad(over_batch(f)), "r"),
    "grad vmap vmap": (lambda f: grad(over_batch(over_batch(f))), "r"),
    "backward vmap": (lambda f: backward(over_batch(f)), "r"),
    "vmap jacfwd": (lambda f: over_batch(jacfwd(f)), "f"),
    "jacfwd vmap": (lambda f: jacfwd(over_batch(f)), "f"),
    "backward compile": (lambda f: backward(compiled(f)), "r"),
    "grad compile": (lambda f: grad(compiled(f)), "r"),
    "jacfwd compile": (lambda f: jacfwd(compiled(f)), "f"),
    "compile grad": (compiled_whole(grad), "r"),
    "compile jacfwd": (compiled_whole(jacfwd), "f"),
    "compile vmap grad": (compiled_whole(lambda f: over_batch(grad(f))), "r"),
    "backward checkpoint": (
        lambda f: backward(lambda x: torch.utils.checkpoint.checkpoint(f, x, use_reentrant=False)),
        "r",
    ),
}

SECOND: dict[str, tuple[Function, str]] = {
    "double backward": (double_backward, "rr"),
    "hessian": (hessian, "fr"),
    "jacfwd jacfwd": (lambda f: jacfwd(jacfwd(f)), "ff"),
    "jacrev jacfwd": (lambda f: jacrev(jacfwd(f)), "rf"),
    "jacrev jacrev": (lambda f: jacrev(jacrev(f)), "rr"),
    "tape over jacfwd": (lambda f: tape_over(jacfwd(f)), "rf"),
    "tape over grad": (lambda f: tape_over(grad(f)), "rr"),
    "vmap hessian": (lambda f: over_batch(hessian(f)), "fr"),
    "hessian vmap": (lambda f: hessian(over_batch(f)), "fr"),
    "compile hessian": (compiled_whole(hessian), "fr"),
}


def cases(table: dict[str, Any], on_device: tuple[str, ...]) -> list[tuple[str, str]]:
    """Everything with a solver on the host; without one, what is batched differently."""
    return [("host", name) for name in table] + [("device", name) for name in on_device]


@pytest.mark.parametrize(("kind", "name"), cases(FIRST, ("backward", "jacfwd", "grad vmap vmap", "compile vmap grad")))
def test_the_planted_rule_shows(kind: str, name: str) -> None:
    transform, modes = FIRST[name]
    close(transform(program(kind).as_torch("c"))(x0), known(kind)[modes])


@pytest.mark.parametrize(
    ("kind", "name"), cases(SECOND, ("double backward", "hessian", "jacfwd jacfwd", "hessian vmap"))
)
def test_the_planted_rule_shows_in_second_order(kind: str, name: str) -> None:
    transform, modes = SECOND[name]
    close(transform(program(kind).as_torch("c"))(x0).reshape(X.size, X.size), known(kind)[modes])


@pytest.mark.parametrize("kind", ["host", "device"])
def test_products_and_values(kind: str) -> None:
    f, wanted, d, t = program(kind).as_torch("c"), known(kind), DIRECTION.ravel(), torch.tensor(DIRECTION)
    close(f(x0), wanted[""])
    close(jvp(f, (x0,), (t,))[1], wanted["f"].ravel() @ d)
    close(jvp(grad(f), (x0,), (t,))[1].ravel(), wanted["fr"] @ d)
    close(grad(lambda x: jvp(f, (x,), (t,))[1])(x0).ravel(), wanted["rf"] @ d)
    close(jvp(lambda x: jvp(f, (x,), (t,))[1], (x0,), (t,))[1], d @ wanted["ff"] @ d)


@tg.node
class TorchSquared(Node):
    """y = x^2."""

    inputs = (Port("x"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0] * values[0]


@tg.pointwise(TorchSquared, "x")
def _(node: TorchSquared, xp: Any, x: Any) -> Any:
    return 2.0 * x


@tg.node
class TorchCubed(Node):
    """y = t^3, without rules; the name of its input is also that of a tangent."""

    inputs = (Port("t"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0] * values[0] * values[0]


POLYNOMIAL = (1.3**6, 6 * 1.3**5, 30 * 1.3**4, 120 * 1.3**3, 360 * 1.3**2)
NESTED = ["".join(modes) for order in (1, 2, 3, 4) for modes in product("rf", repeat=order)]


@pytest.mark.parametrize("modes", NESTED)
def test_nested_modes_are_right_or_refused(modes: str) -> None:
    """(x^2)^3, with modes nested to fourth order, innermost last."""
    x = tg.source("x")
    f: Function = Graph([x], {"c": TorchCubed()(TorchSquared()(x))}).compile("torch").as_torch("c")
    for mode in reversed(modes):
        f = grad(f) if mode == "r" else jacfwd(f)
    at = torch.tensor(1.3, dtype=torch.float64)
    if "ff" in modes[:-1]:
        with pytest.raises(TographError, match="forward mode directly inside forward mode"):
            f(at)
    else:
        close(f(at), POLYNOMIAL[len(modes)])


def test_the_trap_is_one() -> None:
    """What is refused above, PyTorch gets wrong: if this fails, the refusal in embed_torch can go."""

    class Sine(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any, k: int) -> Any:
            return torch.sin(x + k * torch.pi / 2.0)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_forward(inputs[0])
            ctx.k = inputs[1]

        @staticmethod
        def jvp(ctx: Any, t: Any, _: Any) -> Any:
            return t * Sine.apply(ctx.saved_tensors[0], ctx.k + 1)

    at = torch.tensor(0.7, dtype=torch.float64)
    third = jacfwd(jacfwd(jacfwd(lambda x: Sine.apply(x, 0))))(at)
    assert abs(float(third + torch.cos(at))) > 0.1


def test_recording_is_refused() -> None:
    """Replayed, a host part would give back the numbers of the recording."""
    with pytest.raises(TographError, match="recording"):
        linearize(program("host").as_torch("c"), x0)


def test_fullgraph_is_refused() -> None:
    with pytest.raises(Exception, match=r"Embedded\.forward"):
        torch.compile(program("device").as_torch("c"), backend="eager", fullgraph=True)(x0)


def test_batched_cotangents_of_the_tape() -> None:
    """PyTorch's older batching has no rule for this, and says so; `vmap` over `vjp` is the way."""
    f, leaf = program("host").as_torch("c"), x0.clone().requires_grad_()
    cts = torch.tensor([1.0, 2.0], dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"Batching rule not implemented|storage of BatchedTensorImpl"):
        torch.autograd.grad(f(leaf), leaf, cts, is_grads_batched=True)
    pull = vjp(f, x0)[1]
    close(vmap(lambda ct: pull(ct)[0])(cts), np.stack([known("host")["r"], 2.0 * known("host")["r"]]))


def test_gradcheck() -> None:
    x, s = tg.source("x", GRID.field()), tg.source("s")
    y = x * x
    f = Graph([x, s], {"c": s * analysis(y), "y": y}).compile("torch").as_torch()
    leaves = [x0.clone().requires_grad_(), torch.tensor(1.5, dtype=torch.float64, requires_grad=True)]
    assert torch.autograd.gradcheck(lambda *a: tuple(f(*a).values()), leaves, check_forward_ad=True, rtol=1e-6)
    assert torch.autograd.gradgradcheck(lambda *a: f(*a)["c"], leaves, check_fwd_over_rev=True, rtol=1e-6)


def test_only_what_is_needed_is_pulled_back() -> None:
    f = several().compile("torch").as_torch()
    where = torch.tensor([1, 0])
    x, s = x0.clone().requires_grad_(), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    f(x, where, s)["taken"].backward()
    assert CALLS["solve"] == 1, "the state: no adjoint of an output that was not asked for"
    close(x.grad, np.full(X.shape, 3.0))
    close(s.grad, X.sum())
    frozen = f(x0, where, s)["c"]
    assert torch.autograd.grad(frozen, s, allow_unused=True)[0] is None, "no path"
    assert CALLS["solve"] == 1, "the state again, found as it was kept"


def test_one_factorization_for_value_and_gradient() -> None:
    f = planted("host").compile("torch").as_torch("c")
    backward(f)(0.9 * x0)
    assert CALLS["factor"] == 1 and CALLS["solve"] == 2, "the state, and the adjoint with the same factor"
    CALLS.clear()
    hessian(f)(0.8 * x0)
    assert CALLS["factor"] == 1, "all directions share one factorisation"


def several() -> Graph:
    """Two real outputs and one of integers; one input of integers, one that reaches only one output."""
    x, s = tg.source("x", GRID.field()), tg.source("s", default=2.0)
    where = tg.source("where", tg.Spec("integer", (tg.Axis("taken", 2),), "integer"))
    return Graph(
        [x, where, s], {"c": analysis(x), "taken": s * Dot()(TorchTake()(x, where), np.ones(2)), "where": where}
    )


@tg.node
class TorchTake(Node):
    """y = the entries of x at the places `where`."""

    inputs = (Port("x", "field"), Port("where", "integer"))

    def infer(self, *specs: tg.Spec) -> tg.Spec:
        return tg.Spec("array", specs[1].axes)

    def forward(self, xp: Any, *values: Any) -> Any:
        x, where = values
        return xp.take(xp.reshape(x, (-1,)), where, axis=0)


def test_several_inputs_and_outputs() -> None:
    f = several().compile("torch").as_torch()
    where = torch.tensor([1, 0])
    values = f(x0, where=where)
    assert list(values) == ["c", "taken", "where"]
    close(values["taken"], 2.0 * X.sum())
    assert values["where"].dtype == torch.int32 and not values["where"].requires_grad
    by_x, by_s = grad(lambda x, s: f(x, where, s)["taken"], argnums=(0, 1))(x0, torch.tensor(3.0, dtype=torch.float64))
    close(by_x, np.full(X.shape, 3.0))
    close(by_s, X.sum())
    both = jacfwd(lambda s: f(x0, where, s))(torch.tensor(1.0, dtype=torch.float64))
    close(both["taken"], X.sum())
    close(both["c"], 0.0)
    batched = vmap(lambda w: f(x0, w)["taken"])(torch.tensor([[0, 1], [1, 1], [0, 0]]))
    close(batched, 2.0 * np.array([X.sum(), 2.0 * X.ravel()[1], 2.0 * X.ravel()[0]]))


def test_results_can_be_changed_without_harm() -> None:
    x = tg.source("x", GRID.field())
    held = tg.constant(np.ones(GRID.shape), GRID.field())
    f = Graph([x], {"x": x, "same": x, "sum": x + held}).compile("torch").as_torch()
    leaf = x0.clone().requires_grad_()
    made = f(leaf)
    with torch.no_grad():
        for value in made.values():
            value.zero_()
    close(leaf, X)
    again = f(leaf)
    close(again["sum"], X + 1.0)
    (again["x"].sum() + 2.0 * again["same"].sum()).backward()
    assert leaf.grad is not None
    close(leaf.grad, np.full(X.shape, 3.0))


class Design(torch.nn.Module):
    """A density per element from free parameters, and the program behind it."""

    def __init__(self, analysis: torch.nn.Module) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.logit(x0))
        self.analysis = analysis

    def forward(self) -> Any:
        return self.analysis(torch.sigmoid(self.logits)) ** 2


def test_inside_a_module() -> None:
    compiled_program = program("host")
    module = compiled_program.as_torch("c")
    assert compiled_program.as_torch("c") is module and isinstance(module, torch.nn.Module)
    model = Design(module)
    assert list(model.state_dict()) == ["logits"]
    model().backward()
    value, slope = compiled_program.value_and_grad("c", "x")(X)
    assert model.logits.grad is not None
    close(model.logits.grad, 2.0 * value * slope * X * (1.0 - X))
    other = copy.deepcopy(model)
    assert other.analysis is module and other.logits is not model.logits
    twice = functional_call(model, {"logits": 0.0 * model.logits}, ())
    close(twice, float(module(torch.full_like(x0, 0.5))) ** 2)
    with torch.no_grad():
        assert not module(x0).requires_grad
    with torch.inference_mode():
        planted("host").compile("torch").as_torch("c")(x0)


def test_precision() -> None:
    single = planted("host").compile("torch", dtype="float32").as_torch("c")
    slope = backward(single)(x0)  # cast on the way in and back
    assert slope.dtype == torch.float64 and single(x0).dtype == torch.float32
    close(slope, known("host")["r"], 1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        close(backward(program("host").as_torch("c"))(x0), known("host")["r"])


def test_arrays_and_numbers_are_taken() -> None:
    close(program("device").as_torch("c")(X), known("device")[""])
    close(program("device").as_torch("c")(x=X.tolist()), known("device")[""])


def test_errors_when_made() -> None:
    with pytest.raises(TographError, match=r"graph.compile\('torch'\).as_torch\(\)"):
        planted("device").compile("jax").as_torch()
    with pytest.raises(GraphError, match="there is no output 'd'"):
        program("device").as_torch("d")


def test_errors_when_called() -> None:
    f = program("device").as_torch("c")
    with pytest.raises(TographError, match="got shape"):
        f(x0.T)
    with pytest.raises(TographError, match="is on meta, but the program runs on the CPU"):
        f(torch.zeros(GRID.shape, device="meta"))


@tg.node
class TorchOutside(Node):
    """y = 2 x on the host, without rules."""

    inputs = (Port("x"),)
    host = True

    def forward(self, xp: Any, *values: Any) -> Any:
        return 2.0 * values[0]


def test_a_missing_rule_is_named() -> None:
    x = tg.source("x", GRID.field())
    f = Graph([x], {"c": Dot()(TorchOutside()(x), np.ones(GRID.shape))}).compile("torch").as_torch("c")
    close(vmap(f)(torch.stack([x0, 2 * x0])), [2 * X.sum(), 4 * X.sum()])
    for transform in (backward, grad, jacfwd):
        with pytest.raises(GraphError, match=r"TorchOutside is a host node without a \w+ rule"):
            transform(f)(x0)


def _twice(x: Any) -> Any:
    return 2.0 * x


def _twice_vjp(ct: Any) -> Any:
    return 2.0 * ct


def test_reverse_mode_asks_for_no_tangent_rule() -> None:
    x = tg.source("x", GRID.field())
    y = tg.host(_twice, vjp=_twice_vjp)(x)
    f = Graph([x], {"c": Dot()(y, y)}).compile("torch").as_torch("c")
    for transform in (backward, grad, jacrev):
        close(transform(f)(x0), 8.0 * X)
    with forward_ad.dual_level():  # forward mode is on, but nothing moves
        close(backward(f)(x0), 8.0 * X)
    with pytest.raises(GraphError, match=r"_twice is a host node without a jvp rule for 'x', on the path x -> y"):
        jacfwd(f)(x0)


def test_a_detached_edge_is_cut_in_every_mode() -> None:
    x = tg.source("x", GRID.field())
    f = Graph([x], {"c": Dot()(x, tg.detach(x * x))}).compile("torch").as_torch("c")
    for transform in (backward, grad, jacfwd):
        close(transform(f)(x0), X * X)
    close(hessian(f)(x0), np.zeros((*X.shape, *X.shape)))


def test_a_solve_that_fails_raises_everywhere() -> None:
    E = tg.source("E", GRID.field())
    u = n.LinearSolve()(n.Stiffness(GRID)(E), LOAD)
    f = Graph([E], {"c": Dot()(u, PROBE)}).compile("torch").as_torch("c")
    for g in (f, backward(f), jacfwd(f), over_batch(grad(f))):
        with pytest.raises(SolveError, match="Add supports"):
            g(x0)


def test_an_equation_inside() -> None:
    f, y = rooted().compile("torch").as_torch("c"), x0
    x = y**3 + y
    slope = 1.0 / (3.0 * y**2 + 1.0)
    close(grad(f)(x), 2.0 * y * slope)
    bent = 2.0 * slope**2 - 12.0 * y**2 * slope**3
    for transform in (hessian, double_backward):
        close(transform(f)(x).reshape(X.size, X.size), torch.diag(bent.reshape(-1)))
    close(vmap(grad(f))(torch.stack([x, x]))[1], 2.0 * y * slope)


def test_an_equation_that_is_not_solved_raises() -> None:
    f = rooted(iterations=1).compile("torch").as_torch("c")
    for g in (f, backward(f), jacfwd(f), over_batch(f)):
        with pytest.raises(SolveError, match="did not converge"):
            g(x0)


def test_a_factor_that_depends_on_no_input_is_made_once() -> None:
    f, a, b = loaded().compile("torch").as_torch("c"), torch.tensor(LOAD), torch.tensor(PROBE)
    close(grad(f)(b), jvp(grad(f), (a,), (b,))[1])  # the compliance is a quadratic form of the load
    assert CALLS["factor"] <= 3, "once for value, gradient and its tangent each, when they are made"
    CALLS.clear()
    grad(f)(a + b)
    assert CALLS["factor"] == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, when it loads its compiler
def test_with_compiled_segments() -> None:
    f = planted("device").compile("torch", compiled=True).as_torch("c")
    close(backward(f)(x0), known("device")["r"])

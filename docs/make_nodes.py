"""Write the list of nodes, read from the code: `python docs/make_nodes.py` from the root of the checkout."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the nodes are those of this checkout, installed or not

import tograph as tg  # noqa: E402
from tograph import nodes  # noqa: E402
from tograph.codec import TYPES  # noqa: E402
from tograph.implicit import ImplicitNode  # noqa: E402

FIRST = ("filters", "projections", "materials", "stiffness", "solve", "operators", "objectives")
"""The families in the order of a workflow; the others follow by name, the arithmetic of the core last."""

HEAD = """# Nodes

All nodes of the library, read from their docstrings by `python docs/make_nodes.py`. Fields have the shape
`(ny, nx[, nz])`, vectors one entry per degree of freedom; see [the problems](problems.md) for the conventions. A
*parameter* is a constant or a wire. What is marked *host* runs in NumPy and SciPy, everything else is traced by the
backend.

How each input is differentiated in reverse mode, if you choose nothing else
([Which derivative runs?](which-derivative.md)):

* **graph rule**: made of nodes, which the compiler can see through;
* **rule**: a registered function of arrays; **inexact**: likewise, a heuristic by design;
* **implicit**: by the implicit function theorem; **AD**: by the framework;
* **inside**: the node is made of other nodes, and is differentiated through them;
* **none**: asking for it is an error, unless a method such as finite differences is chosen.

Nodes from functions, solvers and networks: [Wrap your own solver](wrap-your-own-solver.md). Equations of your own:
[Implicit nodes](implicit-nodes.md). Cuts: [Detached edges](detached-edges.md).
"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for family in _families():
        parts.append(f"## {_title(family)}\n")
        parts.append(f"[`{_path(family)}`](../{_path(family)})\n")
        parts += [_node(cls) for cls in _nodes_of(family)]
    return "\n".join(parts)


def _families() -> list[ModuleType]:
    public = [getattr(nodes, name) for name in nodes.__all__]
    names = {cls.__module__ for cls in public if isinstance(cls, type) and issubclass(cls, tg.Node)}

    def place(name: str) -> tuple[bool, int, str]:
        last = name.rpartition(".")[2]
        return not name.startswith("tograph.nodes"), FIRST.index(last) if last in FIRST else len(FIRST), name

    return [sys.modules[name] for name in sorted(names, key=place)]


def _title(family: ModuleType) -> str:
    first = (family.__doc__ or "").strip().splitlines()[0]
    return re.split(r"[:;]", first)[0].rstrip(".")


def _path(family: ModuleType) -> str:
    return Path(str(family.__file__)).resolve().relative_to(ROOT).as_posix()


def _nodes_of(family: ModuleType) -> list[type[tg.Node]]:
    """In the order of the file."""
    found = {cls for cls in TYPES.values() if issubclass(cls, tg.Node) and cls.__module__ == family.__name__}
    return sorted(found, key=lambda cls: inspect.getsourcelines(cls)[1])


def _node(cls: type[tg.Node]) -> str:
    text = inspect.cleandoc(cls.__doc__ or "")
    return f"### {cls.__name__}\n\n`{_call(cls)}`\n\n{_differentiated(cls)}\n\n```text\n{text}\n```\n"


def _call(cls: type[tg.Node]) -> str:
    """E.g. `Simp(p=3, E_min=1e-09, E_max=1)(rho: field) -> E: field`."""
    fields = ", ".join(_field(f) for f in attrs.fields(cls))
    takes, gives = (_ports(ports) for ports in (cls.inputs, cls.outputs))
    return f"{cls.__name__}({fields})({takes}) -> {gives}"


def _field(field: Any) -> str:
    if field.default is attrs.NOTHING:
        return str(field.name)
    if isinstance(field.default, attrs.Factory):
        return f"{field.name}={field.default.factory.__name__}()"
    shown = f"{field.default:g}" if isinstance(field.default, float) else repr(field.default)
    return f"{field.name}={shown}"


def _ports(ports: Any) -> str:
    """In words; what depends on the parameters of the node is not known here."""
    return ", ".join(map(_port, ports)) if isinstance(ports, tuple) else "..."


def _port(port: tg.Port) -> str:
    kind = "" if port.kind == "any" else f": {port.kind.replace('|', ' or ')}"
    return f"{'*' if port.variadic else ''}{port.name}{kind}{' (optional)' if port.optional else ''}"


def _differentiated(cls: type[tg.Node]) -> str:
    """How each input and parameter is differentiated in reverse mode, and where the node runs."""
    fixed = isinstance(cls.inputs, tuple)  # else they depend on the fields
    ports = [port.name for port in cls.inputs] if fixed else ["inputs"]
    ports += [f.name for f in attrs.fields(cls) if "range" in f.metadata]
    said = [f"`{port}` {_how(cls, port)}" for port in ports]
    host = ["host"] if cls.host is True else []
    return " · ".join([*host, *said])


def _how(cls: type[tg.Node], port: str) -> str:
    if cls.expand is not tg.Node.expand:
        return "inside"
    if issubclass(cls, ImplicitNode):
        return "implicit"
    rules = {rule.kind: rule for rule in tg.rules(cls) if rule.port == port and rule.kind != "forward"}
    if "graph_vjp" in rules:
        return "graph rule"
    if "vjp" in rules:
        return "rule" if rules["vjp"].exact else "inexact"
    if cls.host is True:
        return "none"
    return "transposed" if "jvp" in rules else "AD"


if __name__ == "__main__":
    (ROOT / "docs" / "nodes.md").write_text(page(), encoding="utf-8")

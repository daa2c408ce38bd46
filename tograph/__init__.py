"""tograph: topology optimisation as a graph that you declare, differentiate, compile and look at.

Importing this package loads neither JAX nor PyTorch.
"""

from __future__ import annotations

from pathlib import Path

# In a checkout, nodes/ and problems/ lie beside this folder; installed, they lie inside it.
_root = Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file():
    __path__.append(str(_root))

from .arithmetic import weighted_sum as weighted_sum  # noqa: E402
from .declare import detach as detach  # noqa: E402
from .declare import source as source  # noqa: E402
from .edge import Edge as Edge  # noqa: E402
from .edge import cluster as cluster  # noqa: E402
from .errors import GraphError as GraphError  # noqa: E402
from .errors import RuleError as RuleError  # noqa: E402
from .errors import SolveError as SolveError  # noqa: E402
from .errors import SpecError as SpecError  # noqa: E402
from .errors import TographError as TographError  # noqa: E402
from .graph import Graph as Graph  # noqa: E402
from .node import Node as Node  # noqa: E402
from .node import Port as Port  # noqa: E402
from .node import constant as constant  # noqa: E402
from .node import node as node  # noqa: E402
from .node import parameter as parameter  # noqa: E402
from .rules import graph_jvp as graph_jvp  # noqa: E402
from .rules import graph_vjp as graph_vjp  # noqa: E402
from .rules import implements as implements  # noqa: E402
from .rules import jvp as jvp  # noqa: E402
from .rules import pointwise as pointwise  # noqa: E402
from .rules import rules as rules  # noqa: E402
from .rules import vjp as vjp  # noqa: E402
from .spec import Axis as Axis  # noqa: E402
from .spec import Spec as Spec  # noqa: E402

"""tograph: topology optimisation as a graph that you declare, differentiate, compile and look at.

Importing this package loads neither JAX nor PyTorch.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

# In a checkout, nodes/ and problems/ lie beside this folder; installed, they lie inside it.
_root = Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file():
    __path__.append(str(_root))

from .arithmetic import weighted_sum as weighted_sum  # noqa: E402
from .backends import compilation_cache as compilation_cache  # noqa: E402
from .bias import bias as bias  # noqa: E402
from .check import Report as Report  # noqa: E402
from .check import check as check  # noqa: E402
from .check import check_node as check_node  # noqa: E402
from .declare import detach as detach  # noqa: E402
from .declare import source as source  # noqa: E402
from .declare import with_gradient_of as with_gradient_of  # noqa: E402
from .draw import draw as draw  # noqa: E402
from .edge import Edge as Edge  # noqa: E402
from .edge import cluster as cluster  # noqa: E402
from .errors import GraphError as GraphError  # noqa: E402
from .errors import HostError as HostError  # noqa: E402
from .errors import RuleError as RuleError  # noqa: E402
from .errors import SolveError as SolveError  # noqa: E402
from .errors import SolveWarning as SolveWarning  # noqa: E402
from .errors import SpecError as SpecError  # noqa: E402
from .errors import TographError as TographError  # noqa: E402
from .functions import function as function  # noqa: E402
from .functions import host as host  # noqa: E402
from .graph import Graph as Graph  # noqa: E402
from .node import Node as Node  # noqa: E402
from .node import Port as Port  # noqa: E402
from .node import constant as constant  # noqa: E402
from .node import node as node  # noqa: E402
from .node import parameter as parameter  # noqa: E402
from .optimizers import Constraint as Constraint  # noqa: E402
from .optimizers import Iteration as Iteration  # noqa: E402
from .optimizers import OptimalityCriteria as OptimalityCriteria  # noqa: E402
from .optimizers import Result as Result  # noqa: E402
from .optimizers import optimize as optimize  # noqa: E402
from .rules import graph_jvp as graph_jvp  # noqa: E402
from .rules import graph_vjp as graph_vjp  # noqa: E402
from .rules import implements as implements  # noqa: E402
from .rules import jvp as jvp  # noqa: E402
from .rules import pointwise as pointwise  # noqa: E402
from .rules import rules as rules  # noqa: E402
from .rules import vjp as vjp  # noqa: E402
from .rules import zero as zero  # noqa: E402
from .spec import Axis as Axis  # noqa: E402
from .spec import Spec as Spec  # noqa: E402

try:
    __version__ = importlib.metadata.version("tograph")
except importlib.metadata.PackageNotFoundError:
    __version__ = "0+checkout"

"""`tograph explain`: what one evaluation does and costs; or what happened in one, measured on every edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tograph.graph import source_of
from tograph.plain import to_json

from .commands import main, only_json
from .options import backend_option, json_option, problem_options, sentences
from .workflow import Workflow, find_workflow

if TYPE_CHECKING:
    from tograph.inspect import GradientReport
    from tograph.inspect.answer import Answer


@main.command(short_help="Say what one evaluation does and costs, or what goes wrong in it.")
@problem_options
@click.option("--report", is_flag=True, help="Run once, measure every edge, and say what is conspicuous.")
@click.option("--why-nan", is_flag=True, help="Run once, and say where NaN and infinity begin.")
@click.option("--why-zero", metavar="INPUT", help="Say why the derivative with respect to an input is zero.")
@click.option("--rules", is_flag=True, help="Say which derivative rule is wrong, or the least exact.")
@click.option("--reproducer", metavar="NODE", help="Print a script that rebuilds one node with the values of the run.")
@click.option("--of", help="Output that is differentiated. [default: compliance, or the first]")
@backend_option
@json_option
def explain(target: str, backend: str, as_json: bool, of: str | None, **given: Any) -> None:
    """Say what one value-and-gradient evaluation does: steps, rules, solves, bytes, and what the passes removed.

    With one of the questions it is run once instead, at the start design and the defaults of the other inputs (random
    numbers where there is none), and measured on every edge that is executed.

    \b
    Examples:
      tograph explain mbb --nelx 120 --nely 40 --filter sensitivity
      tograph explain mbb --nelx 30 --nely 10 --report
      tograph explain path/to/file.py:build --why-nan --why-zero rho
    """
    questions = {name: given.pop(name) for name in ("report", "why_nan", "why_zero", "rules", "reproducer")}
    with sentences(), only_json(as_json):
        workflow = find_workflow(target, given)
        if any(questions.values()):
            answers = answered(workflow, backend, of or workflow.objective, questions)
            told = {"problem": workflow.name, **{name: answer[0] for name, answer in answers.items()}}
            text = "\n".join(answer[1] for answer in answers.values())
        else:
            explanation = workflow.graph.compile(backend).explain()
            told, text = {"problem": workflow.name, **explanation.to_dict()}, str(explanation)
    click.echo(to_json(told) if as_json else text)


def answered(workflow: Workflow, backend: str, of: str, questions: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Question -> its answer as data and as text."""
    wrt, found = questions["why_zero"], {}
    if wrt:
        structural = workflow.graph.why_zero(of, wrt)
        if structural.word != "not zero":
            found["why_zero"] = _told(structural)
            if not any(value for name, value in questions.items() if name != "why_zero"):
                return found
            wrt = None
    report = measured(workflow, backend, of, wrt or workflow.design)
    if wrt:
        found["why_zero"] = _told(report.why_zero(wrt, of))
    if questions["why_nan"]:
        found["why_nan"] = _told(report.why_nan())
    if questions["rules"]:
        found["rules"] = _told(report.worst_rules())
    if questions["report"]:
        summary = report.summary()
        rows = [{"severity": answer.severity, "sentence": answer.sentence} for answer in summary.answers]
        found["report"] = rows, str(summary)
    if questions["reproducer"]:
        script = report.reproducer(questions["reproducer"])
        found["reproducer"] = script, script
    return found


def measured(workflow: Workflow, backend: str, of: str, wrt: str) -> GradientReport:
    """One instrumented run at the start design."""
    import numpy as np

    from tograph.check.point import sample

    design = source_of(workflow.graph.inputs[0])
    start = workflow.start
    if start is None and design.default is None and workflow.volume is not None:
        start = np.full(design.spec.shape, workflow.volume)
    given = {} if start is None else {workflow.design: start}
    point = sample(workflow.graph, given, np.random.default_rng(0))
    return workflow.graph.compile(backend).inspect(of, wrt)(**point)


def _told(answer: Answer) -> tuple[Any, str]:
    return {"severity": answer.severity, "sentence": answer.sentence}, answer.sentence

"""A chat template made ready to render contents that note what they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from typing import Any

from jinja2 import Template, TemplateSyntaxError, nodes, pass_eval_context
from jinja2.runtime import LoopContext, Macro
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from finetune_sdk_local.noting import Noting, Unnotable, joined

# What may be given a text that notes: all else in Jinja could read it in memory, where it cannot note that.
_FILTERS = {"d": 2, "default": 2, "string": 1, "trim": 1}
_TESTS = {
    "!=": 2, "<": 2, "<=": 2, "==": 2, ">": 2, ">=": 2, "eq": 2, "equalto": 2, "ge": 2, "greaterthan": 2, "gt": 2, "le": 2,
    "lessthan": 2, "lt": 2, "ne": 2, "boolean": 1, "defined": 1, "false": 1, "float": 1, "integer": 1, "iterable": 1, "lower": 1,
    "mapping": 1, "none": 1, "number": 1, "sequence": 1, "string": 1, "true": 1, "undefined": 1, "upper": 1,
}  # fmt: skip
"""Each with how many of its first arguments may be one."""


@lru_cache(8)
def noting(source: str) -> Template | None:
    """The template, so that texts that it puts together go on noting; None where that cannot be had."""
    try:
        from transformers.utils.chat_template_utils import _compile_jinja_template

        environment = _compile_jinja_template(source).environment.overlay()
        tree = environment.parse(source)
    except (ImportError, AttributeError, TypeError, TemplateSyntaxError):
        return None
    environment.concat = joined  # of the output, of a macro, of a block
    environment.filters = {name: _guarded(each, _FILTERS.get(name, 0)) for name, each in environment.filters.items()}
    environment.filters |= {"join": _plainly(environment.filters["join"]), "looked in": _looked_in}
    environment.filters["tojson"] = _unmarked(environment.filters["tojson"])
    environment.tests = {name: _guarded(each, _TESTS.get(name, 0)) for name, each in environment.tests.items()}
    environment.tests["in"] = lambda sought, there: sought in _looked_in(there, sought)
    environment.call = _calling(environment.call)
    environment.getitem = _guarded(environment.getitem, 1)
    environment.intercepted_binops = frozenset("%")
    environment.binop_table = {**environment.binop_table, "%": _modulo}
    _Looking().visit(tree)
    tree.set_environment(environment)
    template = Template.from_code(environment, environment.compile(tree), environment.make_globals(None))
    template.root_render_func.__globals__["str_join"] = lambda parts: joined(map(str, parts))  # of `~`
    return template


class _Looking(NodeTransformer):
    """`x in y`, where y is told of x."""

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802 - the visitor's word
        self.generic_visit(node)
        for operand in node.ops:
            if operand.op in ("in", "notin"):
                operand.expr = nodes.Filter(operand.expr, "looked in", [node.expr], [], None, None, lineno=node.lineno)
        return node


def _looked_in(there: Any, sought: Any) -> Any:
    if isinstance(sought, Noting) and type(there) is str:
        raise Unnotable
    return there


def _plainly(join: Any) -> Any:
    """The filter `join`, for texts that do not note."""

    @pass_eval_context
    def plainly(context: Any, value: Iterable[Any], d: str = "", attribute: Any = None) -> Any:
        parts = list(value)
        if attribute is not None or any(isinstance(part, Noting) for part in (d, *parts)):
            raise Unnotable
        return join(context, parts, d)

    return plainly


def _guarded(does: Callable[..., Any], followed: int) -> Callable[..., Any]:
    """A filter or test that may be given texts that note as its first arguments, `followed` of them, and as no others."""
    passed = 1 if hasattr(does, "jinja_pass_arg") else 0

    @wraps(does)
    def guarded(*arguments: Any, **named: Any) -> Any:
        _refuse((*arguments[passed + followed :], *(() if followed > 1 else named.values())))
        return does(*arguments, **named)

    return guarded


def _calling(call: Callable[..., Any]) -> Callable[..., Any]:
    """Calls what a template itself defines, or Jinja's own containers, with anything; else with no text that notes."""

    def calling(context: Any, called: Any, *arguments: Any, **named: Any) -> Any:
        owner = getattr(called, "__self__", None)
        own = isinstance(called, Macro) or called in (Namespace, dict)
        if not own and not isinstance(owner, Noting | Mapping | list | LoopContext):
            _refuse((*arguments, *named.values()))
        return call(context, called, *arguments, **named)

    return calling


def _refuse(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, Noting):
            raise Unnotable
        if isinstance(value, list | tuple):
            _refuse(value)


def _unmarked(tojson: Callable[..., Any]) -> Callable[..., Any]:
    """The filter `tojson`, for what holds no text that notes: it would be written as its mark, which JSON escapes."""

    @wraps(tojson)
    def unmarked(*arguments: Any, **named: Any) -> Any:
        made = tojson(*arguments, **named)
        if "\\u0002" in made:
            raise Unnotable
        return made

    return unmarked


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str) and type(right) not in (str, int, float):
        raise Unnotable
    return left % right

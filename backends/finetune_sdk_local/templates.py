"""A chat template made ready to render contents that note what they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateSyntaxError, nodes, pass_eval_context
from jinja2.visitor import NodeTransformer

from finetune_sdk_local.noting import Noting, Unnotable, joined


@lru_cache(8)
def noting(source: str) -> Template | None:
    """The template, so that texts that it puts together go on noting; None where that cannot be had."""
    try:
        from transformers.utils.chat_template_utils import _compile_jinja_template

        environment = _compile_jinja_template(source).environment.overlay()
        tree = environment.parse(source)
    except (ImportError, AttributeError, TypeError, TemplateSyntaxError):
        return None
    if any(_reads_unasked(node) for node in _all(tree)):
        return None
    environment.concat = joined  # of the output, of a macro, of a block
    environment.filters = {
        **environment.filters,
        "join": _plainly(environment.filters["join"]),
        "looked in": _looked_in,
    }
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


def _reads_unasked(node: nodes.Node) -> bool:
    """Whether an expression is one of the few that read a text in memory, where it cannot note that."""
    if isinstance(node, nodes.Filter):
        return node.name in ("filesizeformat", "float", "format", "int", "title", "wordcount")
    if isinstance(node, nodes.Call):
        return isinstance(node.node, nodes.Getattr) and node.node.attr == "join"
    return isinstance(node, nodes.Mod) and isinstance(node.left, nodes.Const) and isinstance(node.left.value, str)


def _all(tree: nodes.Node) -> Iterator[nodes.Node]:
    for child in tree.iter_child_nodes():
        yield child
        yield from _all(child)

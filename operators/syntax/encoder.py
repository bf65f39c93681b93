"""Read and change the calls that make torch's own encoder layers, which hold a whole block each."""

import libcst as cst

from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import argument

_LAYERS = ("torch.nn.TransformerEncoderLayer", "torch.nn.TransformerDecoderLayer")
_PARAMETERS = (
    *("d_model", "nhead", "dim_feedforward", "dropout", "activation", "layer_norm_eps", "batch_first"),
    *("norm_first", "bias"),
)


def encoder_layers(program: Program) -> list[cst.Call]:
    """Return each call that makes such a layer, those with starred arguments aside."""
    calls = [call for call in program.all(cst.Call) if program.qualified(call.func) in _LAYERS]
    return [call for call in calls if not any(arg.star for arg in call.args)]


def given(call: cst.Call, name: str) -> cst.Arg | None:
    """Return what a call gives for one of the layer's arguments; None where it leaves the default."""
    return argument(call, _PARAMETERS.index(name), name)


def give(patch: Patch, call: cst.Call, name: str, code: str) -> None:
    """Give an argument another value, or give it by keyword behind those that the call gives."""
    present = given(call, name)
    if present is not None:
        patch.replace(present.value, code)
        return
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    added = cst.Arg(patch.expression(code), keyword=cst.Name(name), equal=tight)

    def longer(updated: cst.Call) -> cst.Call:
        *others, last = updated.args
        spread = isinstance(last.comma, cst.Comma) and bool(others)  # one argument on each line
        between = others[-1].comma if spread else cst.MaybeSentinel.DEFAULT
        args = [*others, last.with_changes(comma=between), added.with_changes(comma=last.comma)]
        return updated.with_changes(args=args)

    patch.change(call, longer)

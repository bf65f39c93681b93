"""Let layers differ in how far they attend and by how many heads."""

from collections.abc import Callable, Iterator
from functools import partial

from operators.syntax.attending import (
    SLIDING,
    Dense,
    Sparse,
    attend_with,
    class_name,
    dense,
    global_layers,
    size_of,
    sparse,
)
from operators.syntax.attention import HEADS, Attention, attentions
from operators.syntax.depth import Way, way_to
from operators.syntax.experiment import Experiment
from operators.syntax.kv_heads import counted, heads_of
from operators.syntax.lengths import local_window
from operators.syntax.own_config import handed
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import number

FACTORS = {"later": "0.5 + depth", "earlier": "1.5 - depth"}  # their mean over the layers is 1
_HALVES = {"later": "depth > 0.5", "earlier": "depth < 0.5"}
_OTHERS = {"later": "depth < 0.5", "earlier": "depth > 0.5"}
_WINDOWS = ("window", "window_size", "sliding_window", "attention_window", "local_window")

Variation = tuple[str, str, Callable[[], str]]  # variant, site, and what gives the new text


def variations(program: Program, experiment: Experiment) -> Iterator[Variation]:
    """Yield how layers of each attention class can differ."""
    for spot in attentions(program):
        if spot.owner is not None:
            yield from _windows(program, experiment, spot, spot.owner)
            if len(spot.function.params.params) == 2:  # what else comes in may have the shape of heads
                yield from _heads(program, experiment, spot.owner)
                yield from _configured_windows(program, experiment, spot.owner)


def _windows(program: Program, experiment: Experiment, spot: Attention, owner: Class) -> Iterator[Variation]:
    """Yield windows in half of the layers, the others seeing everything; and windows that grow or shrink."""
    now: Dense | Sparse | None = sparse(program, spot)
    if now is None and class_name(SLIDING) not in program.bound():
        now = dense(program, spot)
    way = way_to(program, owner) if now is not None else None
    if now is None or way is None:
        return
    if isinstance(now, Sparse) and (now.kind != SLIDING or global_layers(program, now.attribute)):
        return
    site = f"{owner.name}:window"
    window = size_of(now) if isinstance(now, Sparse) else local_window(program, experiment)
    for where, local in _OTHERS.items():
        rewrite = partial(_seeing, program, way, now, f"{window} if {local} else None")
        yield f"global-{where}", site, rewrite
    for where, factor in FACTORS.items() if isinstance(now, Sparse) else ():
        yield f"window-{where}", site, partial(_seeing, program, way, now, f"int(({factor}) * {window})")


def _seeing(program: Program, way: Way, now: Dense | Sparse, window: str) -> str:
    patch = Patch(program)
    way.tell(program, patch)
    if isinstance(now, Sparse):
        patch.replace(now.size, window)
    else:
        attend_with(program, patch, now, SLIDING, window)
    return patch.code()


def _heads(program: Program, experiment: Experiment, owner: Class) -> Iterator[Variation]:
    """Yield half as many heads, or key-value heads, in half of the layers."""
    shared, heads = counted(program, experiment), heads_of(program, experiment)
    kv = shared.value if shared is not None else 1
    found = next(filter(None, (handed(program, owner, field) for field in HEADS)), None)
    if found is not None and heads and kv and heads % (2 * kv) == 0:
        field = handed(program, owner, shared.field) if shared is not None else None
        fewest = field.said if field is not None else str(kv)
        for where, half in _HALVES.items():
            value = f"{found.said} if {half} else max({fewest}, {found.said} // 2)"
            yield f"heads-{where}", f"{owner.name}:{found.field}", partial(found.vary, program, value)
    found = handed(program, owner, shared.field) if shared is not None else None
    if found is not None and kv and kv % 2 == 0:
        for where, half in _HALVES.items():
            value = f"{found.said} if {half} else max(1, {found.said} // 2)"
            yield f"kv_heads-{where}", f"{owner.name}:{found.field}", partial(found.vary, program, value)


def _configured_windows(program: Program, experiment: Experiment, owner: Class) -> Iterator[Variation]:
    """Yield windows that grow or shrink, where the configuration says how wide they are."""
    defaults = {
        name: number(node.value) for name, node in program.config_defaults() if node.value is not None
    }
    for field in _WINDOWS:
        size = experiment.integer(f"model_args.{field}") if experiment.sets(field) else defaults.get(field)
        found = handed(program, owner, field) if size is not None and size >= 2 else None
        if found is not None:
            for where, factor in FACTORS.items():
                value = f"int(({factor}) * {found.said})"
                yield f"window-{where}", f"{owner.name}:{field}", partial(found.vary, program, value)

"""Loading of weights and context, with fewer layers on the GPU if its memory is too small."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from koel_tui.engine.errors import ModelLoadError
from koel_tui.engine.native.context.kv_cache import KvCache
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.placement import Placement, SlotSize, context_size
from koel_tui.engine.native.weights import Model
from koel_tui.engine.wire_messages import Load

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlacedModel:
    """Weights with their context, its cache, and the size of a slot."""

    model: Model
    context: Context
    cache: KvCache
    slot_size: SlotSize


def load_placed(
    load: Load, placement: Placement, log: NativeLog, progress: Callable[[float], bool]
) -> PlacedModel:
    """Load the weights and create their context with a slot for each turn at a time.

    If that fails, half as many layers are placed on the GPU, down to none. Raises `ModelLoadError`.
    """
    is_cancelled = False

    def report(fraction: float) -> bool:
        nonlocal is_cancelled
        is_cancelled = not progress(fraction)
        return not is_cancelled

    while True:
        try:
            return _load(load, placement, log, report)
        except ModelLoadError as error:
            if is_cancelled or not placement.halve_layers():
                raise
            layers = placement.spec.gpu_layers
            _log.warning("Loading again with %d layers on the GPU: %s", layers, error)


def _load(
    load: Load, placement: Placement, log: NativeLog, progress: Callable[[float], bool]
) -> PlacedModel:
    spec = placement.spec
    with ExitStack() as on_failure:
        model = Model(spec, log, progress)
        on_failure.callback(model.close)
        context_tokens = context_size(spec, model.trained_tokens)
        free = placement.free_ram()
        max_slots, slot = placement.place_slots(context_tokens, free, model.approximate_layout)
        # The context grows when more sessions are used. Turns that run at the same time must each
        # have a slot, because the context cannot grow while one of them runs.
        context = Context(model, spec, log, min(max_slots, load.parallel), context_tokens)
        on_failure.callback(context.close)
        cache = KvCache(
            context,
            max_slots,
            slot.token_bytes,
            free // 4,
            slot.state_bytes,
            lambda slots: placement.check_context(slots, context.context_tokens),
        )
        on_failure.pop_all()
        return PlacedModel(model, context, cache, slot)

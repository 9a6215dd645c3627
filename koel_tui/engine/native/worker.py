"""The worker: obeys commands and decodes, all on the one thread that owns the native side."""

import logging
import queue
from collections.abc import Callable, Iterable

import psutil

from koel_tui.engine.errors import ContextOverflowError, EngineError
from koel_tui.engine.frames import (
    CloseSession,
    Command,
    Counted,
    CountTokens,
    Done,
    Event,
    Failed,
    Load,
    Loaded,
    LoadProgress,
    OpenSession,
    Reading,
    Shutdown,
    StartTurn,
    StopTurn,
    Text,
    TurnEnded,
)
from koel_tui.engine.native.context import KV_TYPES, Chunk, Context, DecodeAborted
from koel_tui.engine.native.generation import Generation
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.model import Model
from koel_tui.engine.native.sampler import Sampler
from koel_tui.engine.native.slots import SlotTable, common_prefix, slot_count
from koel_tui.engine.native.template import ChatTemplate
from koel_tui.engine.values import (
    DEFAULT_WINDOW,
    ChatMessage,
    FinishReason,
    ModelCard,
    SessionOptions,
)

_PROGRESS_STEP = 0.02


class Engaged:
    """A loaded model with its context, template and slots: what a worker works with."""

    def __init__(self, load: Load, log: NativeLog, progress: Callable[[float], bool]) -> None:
        """Load it all. Raises `ModelLoadError`; nothing is left in memory then."""
        spec = load.spec
        self.model = Model(spec, log, progress)
        try:
            window = spec.context_tokens or min(self.model.window or DEFAULT_WINDOW, DEFAULT_WINDOW)
            slots = slot_count(
                free_bytes=psutil.virtual_memory().available,
                slot_bytes=self.model.kv_bytes_per_token(KV_TYPES[spec.kv_type][1]) * window,
                parallel=load.parallel,
                max_sessions=load.max_sessions,
            )
            self.template = ChatTemplate(
                self.model.chat_template,
                model=self.model.name,
                bos=self.model.bos,
                eos=self.model.eos,
            )
            self.context = Context(self.model, spec, log, slots, window)
        except BaseException:
            self.model.close()
            raise
        self.slots = SlotTable(slots)
        self.card = ModelCard(
            name=self.model.name,
            context_tokens=self.context.window,
            slots=slots,
            load_s=self.model.load_s,
        )

    def prompt(self, messages: tuple[ChatMessage, ...], options: SessionOptions) -> list[int]:
        """Return the tokens of the conversation, the system prompt of the session in front."""
        if options.system and not (messages and messages[0].role == "system"):
            messages = (ChatMessage("system", options.system), *messages)
        text = self.template.render(messages)
        start = not (self.model.bos and text.startswith(self.model.bos))
        return self.model.tokenize(text, special=True, start=start)

    def close(self) -> None:
        """Free the context, then the weights."""
        self.context.close()
        self.model.close()


class Worker:
    """Takes commands from any thread by `post`, runs them on the thread that calls `run`.

    `emit` is called on that thread with every event.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._log = NativeLog(logging.getLogger("koel_tui.llama"))
        self._engaged: Engaged | None = None
        self._options: dict[int, SessionOptions] = {}
        self._running: dict[int, Generation] = {}  # by turn, in the order they started
        self._shutting_down = False

    def post(self, command: Command) -> None:
        """Take a command; a stop or shutdown also interrupts a prompt being read."""
        self._commands.put(command)
        match command:
            case Shutdown():
                self._shutting_down = True
                self._interrupt()
            case StopTurn(turn=number):
                generation = self._running.get(number)
                if generation is not None and generation.reading:
                    self._interrupt()

    def run(self) -> None:
        """Work until `Shutdown`, then free everything. Blocks its thread."""
        self._log.install()
        try:
            while self._obey_waiting():
                if self._running:
                    self._step()
        finally:
            for generation in self._running.values():
                generation.sampler.close()
            self._running.clear()
            if self._engaged is not None:
                self._engaged.close()

    def _interrupt(self) -> None:
        if self._engaged is not None:
            self._engaged.context.abort = True

    def _obey_waiting(self) -> bool:
        """Obey every command that waits, one at least if there is nothing to decode."""
        while True:
            try:
                command = self._commands.get(block=not self._running)
            except queue.Empty:
                return True
            if isinstance(command, Shutdown):
                return False
            self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case Load():
                self._answering(0, lambda: self._load(command))
            case OpenSession(call=call, session=session, options=options):
                self._options[session] = options
                self._emit(Done(call))
            case CloseSession(session=session):
                self._close_session(session)
            case StartTurn(turn=turn):
                self._answering(turn, lambda: self._start_turn(command))
            case StopTurn(turn=turn):
                if turn in self._running:
                    self._end(self._running[turn], "stopped")
            case CountTokens(call=call, text=text):
                self._answering(call, lambda: self._count(call, text))
            case Shutdown():
                pass  # handled where commands are taken

    def _answering(self, call: int, work: Callable[[], None]) -> None:
        try:
            work()
        except EngineError as error:
            self._emit(Failed.of(call, error))

    def _load(self, load: Load) -> None:
        reported = -1.0

        def progress(fraction: float) -> bool:
            nonlocal reported
            if fraction - reported >= _PROGRESS_STEP:
                reported = fraction
                self._emit(LoadProgress(fraction))
            return not self._shutting_down

        self._engaged = Engaged(load, self._log, progress)
        self._emit(Loaded(self._engaged.card))

    def _count(self, call: int, text: str) -> None:
        tokens = self._loaded().model.tokenize(text, special=False, start=False)
        self._emit(Counted(call, len(tokens)))

    def _close_session(self, session: int) -> None:
        self._options.pop(session, None)
        if self._engaged is not None:
            slot = self._engaged.slots.release(session)
            if slot is not None:
                self._engaged.context.clear(slot.sequence)

    def _start_turn(self, start: StartTurn) -> None:
        engaged = self._loaded()
        options = self._options[start.session]
        prompt = engaged.prompt(start.messages, options)
        window = engaged.context.window
        if len(prompt) >= window:
            raise ContextOverflowError(
                f"The conversation takes {len(prompt)} tokens, the window has {window}. "
                "Start a new thread or use a larger window."
            )
        slot = engaged.slots.claim(
            start.session, {generation.session for generation in self._running.values()}
        )
        # The last token is decoded again even if it is held: its logits are needed.
        kept = min(common_prefix(slot.tokens, prompt), len(prompt) - 1)
        if kept < len(slot.tokens) and not engaged.context.keep(slot.sequence, kept):
            engaged.context.clear(slot.sequence)
            kept = 0
        del slot.tokens[kept:]
        room = window - len(prompt)
        generation = Generation(
            start.turn,
            start.session,
            slot,
            prompt,
            Sampler(options.sampling, engaged.model),
            min(room, options.max_output_tokens or room),
        )
        self._running[start.turn] = generation
        self._emit(Reading(start.turn, kept, len(prompt)))

    def _step(self) -> None:
        """Decode one batch: a token of every writing turn, then prompts as far as there is room."""
        context = self._loaded().context
        room = context.batch_tokens
        batch: list[tuple[Generation, Chunk]] = []
        for generation in sorted(self._running.values(), key=lambda each: each.reading):
            take = min(room, generation.pending)
            if take:
                held = len(generation.slot.tokens)
                tokens = generation.tokens[held : held + take]
                last = take == generation.pending
                chunk = Chunk(generation.slot.sequence, held, tokens, wants_logits=last)
                batch.append((generation, chunk))
                room -= take
        try:
            rows = context.decode([chunk for _, chunk in batch])
        except DecodeAborted:
            context.abort = False
            self._restore(generation for generation, _ in batch)
        except EngineError as error:
            self._restore(generation for generation, _ in batch)
            for generation, _ in batch:
                self._drop(generation)
                self._emit(Failed.of(generation.turn, error))
        else:
            for (generation, chunk), row in zip(batch, rows, strict=True):
                self._advance(generation, chunk, row)

    def _advance(self, generation: Generation, chunk: Chunk, row: int) -> None:
        generation.slot.tokens.extend(chunk.tokens)
        if generation.reading:
            held = len(generation.slot.tokens)
            self._emit(Reading(generation.turn, held, generation.prompt_tokens))
        if row < 0:
            return
        engaged = self._loaded()
        token = generation.sampler.sample(engaged.context, row)
        if engaged.model.ends_answer(token):
            self._end(generation, "end")
            return
        text = generation.draw(token, engaged.model.piece(token))
        if text:
            self._emit(Text(generation.turn, text))
        if generation.exhausted:
            self._end(generation, "length")

    def _end(self, generation: Generation, reason: FinishReason) -> None:
        self._drop(generation)
        metrics = generation.metrics(self._loaded().model.load_s)
        self._emit(TurnEnded(generation.turn, reason, metrics))

    def _drop(self, generation: Generation) -> None:
        del self._running[generation.turn]
        generation.sampler.close()

    def _restore(self, generations: Iterable[Generation]) -> None:
        """Make the cache agree with the slots again after a batch that may be half in it."""
        context = self._loaded().context
        for generation in generations:
            slot = generation.slot
            if not context.keep(slot.sequence, len(slot.tokens)):
                context.clear(slot.sequence)
                slot.tokens.clear()

    def _loaded(self) -> Engaged:
        if self._engaged is None:
            raise EngineError("No model is loaded. Load one first.")
        return self._engaged

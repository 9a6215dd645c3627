"""The worker: runs commands and decodes, on the one thread that owns the native side."""

import logging
import queue
import time
from collections.abc import Callable

from koel_tui.engine.errors import EngineError
from koel_tui.engine.native.answer_writer import AnswerWriter
from koel_tui.engine.native.context.llama_context import DecodeAborted
from koel_tui.engine.native.context.snapshot_thread import SnapshotDone, SnapshotThread
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.failures import to_engine_error
from koel_tui.engine.native.generation import Generation
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.preparation import Preparation, PreparationThread
from koel_tui.engine.native.scheduling.step_scheduler import Step, StepScheduler
from koel_tui.engine.native.session_table import SessionTable
from koel_tui.engine.types import FinishReason, SessionMetrics
from koel_tui.engine.wire_messages import (
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
    MemoryChanged,
    OpenSession,
    PrefillProgress,
    SaveKv,
    Shutdown,
    StartTurn,
    StopTurn,
    TurnEnded,
)

_PROGRESS_STEP = 0.02
_Work = Command | Failed | Preparation | SnapshotDone
"""A command, the failure of an invalid one, a finished preparation, or the end of file work."""


class Worker:
    """A runner of commands from any thread (`post`), on the thread that calls `run`.

    `emit` is called on the thread of `run` with every event.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._commands: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._preparations = PreparationThread(self._commands.put)
        self._snapshots = SnapshotThread(self._commands.put)
        self._log = NativeLog(logging.getLogger("koel_tui.llama"))
        self._model: LoadedModel | None = None
        self._scheduler = StepScheduler()
        self._sessions = SessionTable()
        self._running: dict[int, Generation] = {}  # by turn, longest waiting first
        self._drafting: int | None = None  # the turn whose draft is being decoded
        self._shutting_down = False

    def post(self, command: Command | Failed) -> None:
        """Queue a command, or the failure of an invalid one.

        A stop or shutdown also interrupts the preparation and the prefill of a prompt, and a step
        with a draft.
        """
        self._commands.put(command)
        match command:
            case Shutdown():
                self._shutting_down = True
                self._interrupt()
            case StopTurn(turn=number):
                self._preparations.stop(number)
                generation = self._running.get(number)
                is_long = number == self._drafting  # a step with a draft
                if generation is not None and (generation.is_prefilling or is_long):
                    self._interrupt()

    def run(self) -> None:
        """Run commands until `Shutdown`, then free everything. Blocks its thread."""
        with self._log:
            try:
                while self._run_queued():
                    if self._running:
                        self._step()
            finally:
                self._preparations.close()
                for generation in self._running.values():
                    generation.sampler.close()
                self._running.clear()
                self._snapshots.close()
                if self._model is not None:
                    self._model.close()

    def _interrupt(self) -> None:
        if self._model is not None:
            self._model.context.abort = True

    def _run_queued(self) -> bool:
        """Run all queued commands, at least one if nothing decodes; return False on `Shutdown`."""
        while True:
            try:
                command = self._commands.get(block=not self._running)
            except queue.Empty:
                return True
            if isinstance(command, Shutdown):
                return False
            self._run_command(command)

    def _run_command(self, command: _Work) -> None:
        try:
            self._dispatch(command)
        except Exception as error:
            failure = to_engine_error(error, command.kind)
            match command:
                case Load():
                    self._emit(Failed.from_error(0, failure))
                case (
                    StartTurn(turn=turn, session=session) | Preparation(turn=turn, session=session)
                ):
                    self._abandon(turn, session, failure, drop_context=failure is not error)
                case StopTurn(turn=turn) if turn in self._running:
                    session = self._running[turn].parameters.session
                    self._abandon(turn, session, failure, drop_context=True)
                case StopTurn(turn=call) | OpenSession(call=call):
                    self._emit(Failed.from_error(call, failure))
                case SaveKv(call=call) | CountTokens(call=call) | SnapshotDone(call=call):
                    self._emit(Failed.from_error(call, failure))

    def _dispatch(self, command: _Work) -> None:
        """Run a command, except `Shutdown`, which `_run_queued` handles."""
        match command:
            case Load():
                self._load(command)
            case OpenSession():
                self._open_session(command)
            case CloseSession(session=session):
                self._close_session(session)
            case StartTurn():
                self._start_turn(command)
            case Preparation():
                self._begin_turn(command)
            case StopTurn(turn=turn):
                self._stop(turn)
            case SaveKv():
                self._save_kv(command)
            case CountTokens(call=call, text=text):
                self._count(call, text)
            case SnapshotDone():
                self._finish_snapshot(command)
            case Failed():
                self._emit(command)

    def _load(self, load: Load) -> None:
        reported = -1.0

        def progress(fraction: float) -> bool:
            nonlocal reported
            if fraction - reported >= _PROGRESS_STEP:
                reported = fraction
                self._emit(LoadProgress(fraction))
            return not self._shutting_down

        self._model = LoadedModel(load, self._log, progress)
        self._scheduler = StepScheduler(load.spec.threads)
        self._emit_memory()
        self._emit(Loaded(self._model.card))

    def _count(self, call: int, text: str) -> None:
        tokens = self._require_model().model.tokenize(text, special=False, start=False)
        self._emit(Counted(call, len(tokens)))

    def _open_session(self, command: OpenSession) -> None:
        loaded = self._require_model()
        if command.lora is not None:
            loaded.adapters.load(command.lora)
        self._sessions.begin_opening(command)
        if command.kv is None:
            self._finish_snapshot(SnapshotDone(command))
        else:
            self._snapshots.read(command, loaded.fingerprint(command.lora))

    def _finish_snapshot(self, done: SnapshotDone) -> None:
        """Answer a command whose file is written or read. Raises what failed."""
        command, parked = done.command, done.parked
        is_opening = isinstance(command, OpenSession) and self._sessions.end_opening(command)
        if done.error is not None:
            raise done.error
        if isinstance(command, OpenSession) and is_opening:  # else it was closed meanwhile
            if parked is not None:
                self._require_model().cache.add_parked(command.session, command.lora, parked)
            self._sessions.add(command, None if parked is None else len(parked.parts))
        self._emit(Done(command.call))

    def _close_session(self, session: int) -> None:
        self._sessions.remove(session)
        try:
            for turn in self._preparations.turns_of(session):
                self._preparations.remove(turn)
                self._end_unprepared(turn)
            for generation in list(self._running.values()):
                if generation.parameters.session == session:
                    self._end(generation, "stopped")
        finally:
            if self._model is not None:
                self._model.cache.release(session)
                self._emit_memory()

    def _stop(self, turn: int) -> None:
        if self._model is not None and not self._shutting_down:
            # The step that the stop should abort is over, and the next one may be of another turn.
            self._model.context.abort = False
        if turn in self._running:
            self._end(self._running[turn], "stopped")
        elif self._preparations.remove(turn):
            self._end_unprepared(turn)

    def _save_kv(self, command: SaveKv) -> None:
        loaded, session = self._require_model(), self._sessions.get(command.session)
        parked = loaded.cache.copy(command.session)
        if parked is None:
            raise EngineError("The session has no context yet. Save it after its first answer.")
        fingerprint = loaded.fingerprint(session.lora)
        self._snapshots.write(command, fingerprint, parked)

    def _start_turn(self, start: StartTurn) -> None:
        loaded, session = self._require_model(), self._sessions.get(start.session)
        if start.session in self._busy_sessions() | self._preparations.sessions:
            raise EngineError("The session is already generating. Wait for it or stop it first.")
        self._preparations.start(Preparation(loaded, start, session.name))

    def _begin_turn(self, preparation: Preparation) -> None:
        """Assign a slot to a turn whose prompt is ready; the next step decodes it."""
        turn, session = preparation.turn, preparation.session
        if not self._preparations.remove(turn):
            return  # it was stopped
        prompt = preparation.result().prompt
        loaded, lora = self._require_model(), self._sessions.get(session).lora
        try:
            slot = loaded.cache.prepare(session, lora, prompt, self._busy_sessions())
        except LookupError:
            raise EngineError("Every slot is in use. Wait for a turn to end.") from None
        is_miss = self._sessions.is_snapshot_missed(session, len(slot.parts), len(prompt))
        self._running[turn] = preparation.generation(
            lora, slot, self._scheduler.draft_costs, snapshot_misses=int(is_miss)
        )
        self._emit(PrefillProgress(turn, len(slot.parts), len(prompt)))

    def _busy_sessions(self) -> set[int]:
        return {generation.parameters.session for generation in self._running.values()}

    def _step(self) -> None:
        """Decode the next batch of the turns; those that are not in it follow in later steps."""
        running = list(self._running.values())
        batched: list[Generation] = []
        try:
            loaded = self._require_model()
            step = self._scheduler.next_step(running, loaded.context.batch_tokens)
            batched = step.generations
            loaded.adapters.apply(step.lora)
            loaded.context.set_threads(step.threads)
            self._drafting = batched[0].turn if step.has_draft else None
            started_at, cpu_s = time.perf_counter(), time.process_time()
            rows = loaded.context.decode(step.chunks)
            seconds = time.perf_counter() - started_at
            self._scheduler.record(step, seconds, time.process_time() - cpu_s)
        except DecodeAborted:
            loaded.context.abort = False
            loaded.cache.restore(each.slot for each in batched)
        except Exception as error:
            failure = to_engine_error(error, "a step")
            if failure is error:
                loaded.cache.restore(each.slot for each in batched)
            for each in batched or running[:1]:
                self._fail(each, failure, drop_context=failure is not error)
        else:
            for (generation, chunk), row in zip(step.batch, rows, strict=True):
                try:
                    self._advance(generation, chunk, row)
                except Exception as error:
                    self._fail(generation, to_engine_error(error, "a turn"), drop_context=True)
            self._close_gaps(step, seconds)
        if len(batched) < len(running):  # the others have waited, so they come first
            for each in batched:
                if self._running.pop(each.turn, None):
                    self._running[each.turn] = each

    def _close_gaps(self, step: Step, seconds: float) -> None:
        if not step.is_prefill:
            slots = [each.slot for each in step.generations if each.turn in self._running]
            self._require_model().cache.close_gaps(slots, seconds)

    def _advance(self, generation: Generation, chunk: Chunk, row: int) -> None:
        generation.slot.parts.extend(chunk.tokens)
        loaded = self._require_model()
        if generation.is_at_checkpoint:
            loaded.cache.add_checkpoint(generation.slot)
        if generation.is_prefilling:
            decoded = len(generation.slot.parts)
            self._emit(PrefillProgress(generation.turn, decoded, generation.prompt_tokens))
        reason = None if row < 0 else self._write(generation, chunk, row)
        if reason is not None:
            self._end(generation, reason)

    def _write(self, generation: Generation, chunk: Chunk, row: int) -> FinishReason | None:
        """Draw the next token, and another one after each token of the draft that was drawn.

        So each token has the same probabilities as without a draft, apart from rounding. Return why
        the answer ends, None if it continues.
        """
        loaded, draft, accepted = self._require_model(), chunk.draft, 0
        writer = AnswerWriter(loaded, self._emit)
        while True:
            length = len(generation.tokens)
            reason = writer.write(generation, row + accepted)
            drawn = generation.tokens[length:]
            is_right = bool(drawn) and drawn[:1] == draft[accepted : accepted + 1]
            if reason is not None or not is_right or len(drawn) > 1:
                break
            accepted += 1
        if draft:
            generation.record_draft(len(draft), accepted + is_right)
            parts = len(generation.slot.parts) - len(draft) + accepted
            loaded.cache.truncate(generation.slot, parts)
            if len(generation.slot.parts) < parts:
                generation.drafter = None  # this memory cannot drop the tokens of a wrong draft
        return reason

    def _end(self, generation: Generation, reason: FinishReason) -> None:
        self._remove(generation)
        writer = AnswerWriter(self._require_model(), self._emit)
        writer.emit(generation, generation.finish(cut=reason != "end"))
        if reason == "end" and generation.has_tool_calls:
            reason = "tool_calls"
        metrics = generation.metrics(self._require_model().model.load_s, self._scheduler.threads)
        self._emit_memory()
        trimmed = generation.parameters.trimmed_turns
        self._emit(TurnEnded(generation.turn, reason, metrics, trimmed))

    def _end_unprepared(self, turn: int) -> None:
        """End a turn that was stopped before its prompt was ready."""
        metrics = SessionMetrics(load_s=self._require_model().model.load_s)
        self._emit(TurnEnded(turn, "stopped", metrics))

    def _fail(self, generation: Generation, failure: EngineError, *, drop_context: bool) -> None:
        self._abandon(
            generation.turn, generation.parameters.session, failure, drop_context=drop_context
        )

    def _abandon(
        self, turn: int, session: int, failure: EngineError, *, drop_context: bool
    ) -> None:
        """End a turn with an error; it need not have started.

        With `drop_context`, the context of its session is dropped, because the error may have
        occurred between a change of the slot and its record.
        """
        generation = self._running.get(turn)
        try:
            if generation is not None:
                self._remove(generation)
            if drop_context and self._model is not None:
                self._model.cache.release(session)
        except Exception as error:
            to_engine_error(error, "the end of a turn")  # logs an unexpected one
        self._emit(Failed.from_error(turn, failure))

    def _remove(self, generation: Generation) -> None:
        del self._running[generation.turn]
        generation.sampler.close()

    def _emit_memory(self) -> None:
        self._emit(MemoryChanged(self._require_model().memory()))

    def _require_model(self) -> LoadedModel:
        if self._model is None:
            raise EngineError("No model is loaded. Load one first.")
        return self._model

"""`trace`: drives a trace to its end, and falls back where a submodule resists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from functools import partial
from typing import Any, NoReturn

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily

from graphnas.errors import GraphNASError, TraceError
from graphnas.ir.model import Model
from graphnas.ir.module import ModuleSpec
from graphnas.ir.record import is_basic_unit, record_of, recorded_so_far
from graphnas.ir.report import OpaqueModule
from graphnas.ir.source import place_of_error, seen_lines
from graphnas.ir.trace.admit import HostRandomness, compares_mode, forced_modes, refuse_unfit
from graphnas.ir.trace.batch import check_batch
from graphnas.ir.trace.caches import Kept, put_back, take_off
from graphnas.ir.trace.custom import gradient_note
from graphnas.ir.trace.definitions import Builder, Calls
from graphnas.ir.trace.execution import Executor
from graphnas.ir.trace.facts import report_of
from graphnas.ir.trace.from_fx import graph_of
from graphnas.ir.trace.imported import module_and_inputs
from graphnas.ir.trace.leaf import CONTAINERS, base_of, depends_on_mode, is_torch_leaf, spec_of
from graphnas.ir.trace.patch import TracedFakeMode
from graphnas.ir.trace.prepare import copy_structure, fake_meta_tensors, module_paths, refuse_hooks, too_deep, walk
from graphnas.ir.trace.scope import Constants
from graphnas.ir.trace.signals import (
    LeakedValueError,
    ModeSwitchedError,
    OpenedLeafError,
    UnhashableNumberError,
    UnholdableError,
)
from graphnas.ir.trace.standins import StandInNeededError, Use, is_misplaced, stand_ins
from graphnas.ir.trace.state import shared_memory, state_writes, writes_in_place
from graphnas.ir.trace.structure import leaves, map_leaves, parts_of, special_classes
from graphnas.ir.trace.surroundings import Surroundings
from graphnas.ir.trace.symbolic import TracedTraining
from graphnas.ir.trace.tracer import ModuleTracer
from graphnas.ir.trace.uncached import uncached


def trace(
    module: nn.Module | torch.export.ExportedProgram,
    example_inputs: Sequence[Any] | torch.Tensor | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    is_leaf: Callable[[nn.Module, str], bool] | None = None,
) -> Model:
    """Return the model of a module: a tree of definitions with a graph for each forward.

    The module is run on fake tensors: nothing is computed, allocated or changed, and it may live on the meta device.
    Both modes are traced where they differ. A submodule that cannot be traced is kept whole, as an opaque leaf, and
    reported; only if it looks at data, a copy of it is called once, on ones, to learn what it returns.

    Args:
        module: What to trace: a module, a `GraphModule` of torch.fx, or an exported program. The last one is flat,
            holds for the mode that it was exported in, and keeps the names of its `state_dict`.
        example_inputs: Positional arguments of its forward; shapes and dtypes count, values do not. An exported program
            needs none, since it has its own.
        example_kwargs: Keyword arguments of its forward.
        is_leaf: Names further leaves, by module and path.

    Raises:
        TraceError: The root cannot be traced, or the constructor call of a leaf cannot be found out. The message names
            module, file, line, reason and remedy.

    >>> model = trace(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), torch.randn(1, 4))
    >>> [f"{site.type} {site.node.type}" for site in model.sites]
    ['Linear f32[1, 2]', 'ReLU f32[1, 2]']
    """
    try:
        root, args, kwargs = module_and_inputs(module, example_inputs, dict(example_kwargs or {}))
        with recorded_so_far(), uncached(root):
            return _Session(root, args, kwargs, is_leaf).run()
    except RecursionError as error:
        name = type(module).__name__
        raise TraceError(f"{name} cannot be traced: {type(error).__name__}: {error}; {too_deep()}") from error


class _Session:
    """One call of `trace`, with what it has learnt from attempts that failed."""

    def __init__(
        self,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        is_leaf: Callable[[nn.Module, str], bool] | None,
    ) -> None:
        self.module = module
        self.args = args
        self.kwargs = kwargs
        self.user_leaf = is_leaf
        self.paths = module_paths(module)
        self.lines: dict[str, set[int]] = {}
        self.opaque: dict[str, OpaqueModule] = {}
        self.inlined: dict[str, None] = {}
        self.hashed: dict[str, None] = {}
        self.opened: dict[str, None] = {}
        self.replaced: dict[tuple[int, str], Use] = {}
        self.builtin: dict[tuple[int, str], None] = {}
        self.dropped: dict[str, None] = {}
        self.specs: dict[str, ModuleSpec] = {}
        self.forced: dict[str, bool] = {}
        self.decided: dict[str, None] = {}
        self.interface: dict[str, None] = {}
        self.watch_randomness = False
        self.functions: dict[type[torch.autograd.Function], tuple[Any, ...]] = {}
        self.eval_only = ""
        self.constants = Constants()
        self.stays: dict[Kept, None] = {}
        self.taken: tuple[Kept, ...] = ()
        self.filled: dict[Kept, None] = {}
        self.loose: dict[str, None] = {}

    def run(self) -> Model:
        refuse_unfit(self.module, (*self.args, self.kwargs) if self.kwargs else self.args)
        refuse_hooks(self.module)
        self.forced |= forced_modes(self.module)
        self.decided |= {path: None for path, part in walk(self.module) if compares_mode(type(part))}
        while True:
            try:
                self.filled.clear()
                self.constants = Constants()
                with seen_lines(self.lines):
                    eval_calls, depends = self._attempt(training=False)
                    train_calls = self._train_calls() if depends else None
                if len(self.filled) < len(self.taken):
                    self.stays |= dict.fromkeys(kept for kept in self.taken if kept not in self.filled)
                    continue
            except LeakedValueError as leak:
                self.inlined[leak.path] = None
                continue
            except ModeSwitchedError as switched:
                self._force_mode(switched.path, switched.mode)
                continue
            except _FlagNeededError as found:
                self.decided[found.path] = None
                continue
            except _MisplacedError:
                continue
            except _HostRandomnessError:
                self.watch_randomness = True
                continue
            except UnhashableNumberError as lookup:
                self.hashed[lookup.location] = None
                continue
            except OpenedLeafError as leaf:
                self._open(leaf.path)
                continue
            except StandInNeededError as needs:
                self.replaced[needs.use.key] = needs.use
                continue
            except (_OpaqueError, TraceError) as found:
                if self.taken:  # perhaps for want of what the user put there
                    self.stays |= dict.fromkeys(self.taken)
                    continue
                if not isinstance(found, _OpaqueError):
                    raise
                self.opaque[found.module.path] = found.module
                continue
            return self._model(eval_calls, train_calls)

    def _train_calls(self) -> Calls | None:
        """Return the calls in train mode, None if it decides by what no graph can hold: eval mode is worth having."""
        try:
            return self._attempt(training=True)[0]
        except (TraceError, _OpaqueError) as error:
            cause = error if isinstance(error, TraceError) else error.__cause__
            if not isinstance(cause, UnholdableError):
                raise
            self.eval_only = str(cause)
            return None

    def is_leaf(self, module: nn.Module, path: str) -> bool:
        if path == "" or path in self.opened:
            return False
        if path in self.forced and is_torch_leaf(module) and depends_on_mode(type(module)):
            return False  # its mode cannot be said in a call, so it is written out
        if path in self.opaque or is_torch_leaf(module) or is_basic_unit(type(module)):
            return True
        return self.user_leaf is not None and type(module) not in CONTAINERS and self.user_leaf(module, path)

    def _open(self, path: str) -> None:
        """Trace into a leaf of torch from now on: the model uses its parts."""
        module = next(module for known, module in walk(self.module) if known == path)
        if not is_torch_leaf(module):
            raise TraceError(
                f"{type(module).__name__} at {path!r} is a leaf, but the model calls a part of it; make the part an "
                "attribute of the model, or let the model call the leaf only",
                module=path,
            )
        first = self.paths[id(module)][0]
        self.opened[first] = None
        self.specs.pop(first, None)

    def _force_mode(self, path: str, mode: bool) -> None:
        """Trace a module, and all below it, as fixed in one mode from now on."""
        module = next(module for known, module in walk(self.module) if known == path)
        if self.forced.get(path, mode) is not mode:
            raise TraceError(
                f"{type(module).__name__} at {path!r} is switched between train and eval mode while the model runs, "
                "which no source can hold; use two modules, one for each mode",
                module=path,
            )
        self.forced |= {below: mode for below, _ in walk(module, path)}

    def spec(self, module: nn.Module, path: str) -> ModuleSpec:
        if path not in self.specs:
            opaque = self.opaque.get(path)
            try:
                with unset_fake_temporarily():
                    self.specs[path] = spec_of(module, path, opaque=opaque is not None)
            except TraceError as error:
                if opaque is None:
                    raise
                raise TraceError(
                    f"{opaque.class_name} at {path!r} can neither be traced ({opaque.reason}) nor kept whole ({error})",
                    module=path,
                    location=opaque.location,
                ) from error
        return self.specs[path]

    def base(self, module: nn.Module, path: str) -> ModuleSpec | None:
        with unset_fake_temporarily():
            return base_of(module, path)

    def _attempt(self, *, training: bool) -> tuple[Calls, bool]:
        copied = copy_structure(self.module)
        self.taken = take_off(copied, self.stays)
        fake_mode = TracedFakeMode(allow_non_fake_inputs=True)
        fake_meta_tensors(copied, fake_mode)
        first = self._run(copied, fake_mode, training)
        self.filled |= dict.fromkeys(put_back(copied, self.taken))
        self._check_memory(first)
        if first.changes:
            self._check_later_calls(first, lambda: self._run(copied, fake_mode, training, is_repeated=True), copied)
        return first.calls, first.depends_on_training or bool(self.decided)

    def _run(
        self, copied: nn.Module, fake_mode: FakeTensorMode, training: bool, *, is_repeated: bool = False
    ) -> ModuleTracer:
        """Trace one call of a copy of the model; what it keeps of the call stays on the copy."""
        paths = module_paths(copied)
        examples: dict[int, torch.Tensor] = {}
        tracer = ModuleTracer(
            copied,
            paths,
            training=training,
            executor=Executor(fake_mode, self.spec, paths),
            is_leaf=self.is_leaf,
            inlined=frozenset(self.inlined),
            forced_modes={**self.forced, **dict.fromkeys(self.decided, training)},
            watch_randomness=self.watch_randomness,
            constants=Constants() if is_repeated else self.constants,
            hashed=frozenset(self.hashed),
            is_repeated=is_repeated,
            examples=examples,
            builtin=self.builtin,
            copies={id(part): copy for part, copy in zip(self.module.modules(), copied.modules(), strict=True)},
        )
        randomness = HostRandomness()
        surroundings = Surroundings(copied, paths)
        args, kwargs = map_leaves((self.args, self.kwargs), partial(_fake, mode=fake_mode, real=examples))
        given = _contents((args, kwargs))
        try:
            with stand_ins(self.replaced.values()):
                result = tracer.run(args, kwargs)
        except _BEGIN_AGAIN:
            raise
        except Exception as error:
            self._begin_again_or_give_up(error, tracer, randomness)
        finally:
            drawn = randomness.drawn()
        tracer.changes += surroundings.changes()
        self.dropped |= tracer.data.dropped
        if drawn:
            if self.watch_randomness:
                raise TraceError(f"the model uses {drawn}, in a place that could not be found; draw them with torch")
            raise _HostRandomnessError
        self.functions.update(tracer.functions)
        self.loose |= tracer.loose_parameters
        self.interface.update(dict.fromkeys(_changed_classes(result)))
        left = _contents((args, kwargs))
        if len(left) != len(given) or any(a[0] != b[0] or a[1] is not b[1] for a, b in zip(left, given, strict=True)):
            note = "lists or dictionaries that the model is given, and changes, are as before in the source"
            self.interface[note] = None
        for place in tracer.gradient_reads:
            note = "a value of the forward is taken to require no gradients, and the source has no other branch"
            self.interface[f"{place}: {note}"] = None
        return tracer

    def _begin_again_or_give_up(self, error: Exception, tracer: ModuleTracer, randomness: HostRandomness) -> NoReturn:
        """Raise what a failed trace comes to: another attempt that knows better, or the error for the user."""
        lookup = error.__context__
        if isinstance(lookup, UnhashableNumberError) and lookup.location not in self.hashed:
            raise lookup from error
        if self.replaced and is_misplaced(error):
            self.builtin |= dict.fromkeys(self.replaced)
            self.replaced.clear()
            raise _MisplacedError from error
        if not self.watch_randomness and randomness.drawn():
            raise _HostRandomnessError from error
        self._give_up(error, tracer.failed_at or "")

    def _check_memory(self, tracer: ModuleTracer) -> None:
        """Refuse tensors that the model changes, and that are one in the model and two in the source, or vice versa."""
        groups = shared_memory(self.module)
        if not groups and not tracer.unwritable:
            return
        written = writes_in_place(tracer.calls)
        for path in tracer.unwritable:
            if path in written:
                raise TraceError(
                    f"a tensor that is no attribute is changed in place in {path.rpartition('.')[0] or 'the root'!r}, "
                    "and the source would keep the change; make it with torch in forward, or register it as a buffer",
                    module=path.rpartition(".")[0],
                )
        trained = {id(tensor): path for path, tensor in self.module.state_dict(keep_vars=True).items()}
        for group in groups:
            changed = [path for path, _ in group if path in written]
            # What a state_dict holds is loaded and trained; in the model the rest of the memory would change as well.
            held = [path for path, tensor in group if id(tensor) in trained]
            read = [path for path, tensor in group if id(tensor) not in trained and id(tensor) in tracer.read]
            if changed or (held and read):
                one = (changed or held)[0]
                others = ", ".join(repr(path) for path in (read or [path for path, _ in group if path != one]))
                what = "is changed in place" if changed else "is state of the model"
                raise TraceError(
                    f"{one!r} {what} and lies in the same memory as {others}, which no source can "
                    "hold; keep one of them, and take the other from it in forward",
                    module=one.rpartition(".")[0],
                )

    def _check_later_calls(self, first: ModuleTracer, run: Callable[[], ModuleTracer], copied: nn.Module) -> None:
        """Refuse a model that keeps something of a call which makes later calls compute something else.

        A cache is let through: a call that finds it filled reads tensors instead of computing them, writes the same
        other state, and does what all further calls do. Its tensors hang on no inputs, and are not made anew.
        """
        second = run()
        if _graph_keys(first.calls) == _graph_keys(second.calls):
            return
        kept = [leaf for change in first.changes for leaf in leaves(change.new)]
        writes, later = state_writes(first.calls), state_writes(second.calls)
        filled = [
            (path, what)
            for path, what in writes
            if (path, what) not in later
            and id(vars(copied.get_submodule(path)).get(what.removeprefix("= "))) in second.read
        ]
        read = [leaf for leaf in kept if id(leaf) in second.read]
        is_cache = bool(filled or read) and tuple(item for item in writes if item not in filled) == later
        if is_cache and not any(first.hangs_on_inputs(leaf) for leaf in read):
            third = run()
            renewed = {id(leaf) for change in second.changes for leaf in leaves(change.new)}
            renewed -= {id(leaf) for change in second.changes for leaf in leaves(change.old)}
            if _graph_keys(second.calls) == _graph_keys(third.calls) and renewed.isdisjoint(third.read):
                return
        change = (*second.changes, *first.changes)[0]
        path, owner = change.path, self.module.get_submodule(change.path)
        name = f"{type(owner).__name__} at {path!r}" if path else f"the root {type(owner).__name__}"
        self._give_up(
            TraceError(
                f"{name} keeps {change.name!r} from call to call, and a second call computes something else than the "
                "first, which no graph can hold; keep what must last in a buffer that is a tensor from the start, or, "
                "if the first call only sets things up, call the model once before tracing",
                module=path,
            ),
            path,
        )

    def _give_up(self, error: Exception, path: str) -> NoReturn:
        """Mark the innermost module that failed as opaque; if that is the root, report why."""
        if isinstance(error, TypeError) and TracedTraining.__name__ in str(error) and path not in self.decided:
            raise _FlagNeededError(path)
        location = getattr(error, "location", "") or place_of_error(error)
        failed = next(module for known, module in walk(self.module) if known == path)
        reason = str(error) if isinstance(error, GraphNASError) else f"{type(error).__name__}: {error}"
        spec_error = isinstance(error, TraceError) and error.module in self.paths_of_leaves()
        if path and path not in self.opened and not spec_error and not isinstance(failed, CONTAINERS):
            raise _OpaqueError(OpaqueModule(path, type(failed).__name__, location, reason)) from error
        if isinstance(error, TraceError):
            raise error
        name = f"{type(failed).__name__} at {path!r}" if path else f"the root {type(failed).__name__}"
        remedy = too_deep() if isinstance(error, RecursionError) else "check that the example inputs fit the model"
        raise TraceError(
            f"{location or 'unknown place'}: {name} failed while being traced: {reason}; {remedy}, or make the failing "
            "module a leaf with @graphnas.basic_unit",
            module=path,
            location=location,
        ) from error

    def paths_of_leaves(self) -> frozenset[str]:
        return frozenset(path for path, module in walk(self.module) if path and self.is_leaf(module, path))

    def _model(self, eval_calls: Calls, train_calls: Calls | None) -> Model:
        eval_only = bool(self.eval_only)
        module, paths = self.module, self.paths
        if self.taken:
            module = copy_structure(self.module)
            take_off(module, self.stays)
            paths = module_paths(module)
        builder = Builder(module, paths, eval_calls, train_calls, self.is_leaf, self.spec, self.base, eval_only)
        root, held = check_batch(builder.build())
        builder.notes[:0] = (*self.interface, *filter(None, [held]))
        builder.notes += [f"{place}: a check that hangs on data is not part of the source" for place in self.dropped]
        if eval_only:
            builder.notes.append(f"only eval mode was traced, train mode is refused: {self.eval_only}")
        if record_of(self.module) is None:
            builder.notes.append(
                "the model was not constructed while recording: initialisation other than the default of torch.nn is "
                "not known; construct it inside `with graphnas.recording():`"
            )
        builder.notes += (
            f"{kept.path or 'the root'}: {kept.name} was set after construction and is kept as it is"
            for kept in self.stays
        )
        builder.notes += (
            f"{path or 'the root'}: uses parameters of a module that is no submodule, which are constants of the "
            "source; no state_dict holds them: keep that module in an attribute, or in an nn.ModuleList"
            for path in self.loose
        )
        builder.notes += filter(None, (gradient_note(*item) for item in self.functions.items()))
        report = report_of(self.module, root, (eval_calls, train_calls or {}), self.is_leaf, self.lines)
        found = replace(
            report, opaque=tuple(self.opaque.values()), notes=tuple(builder.notes), editable=self._editable()
        )
        return Model(root, report=found)

    def _editable(self) -> float:
        total = inside = 0
        for parameter in self.module.parameters():
            total += parameter.numel()
        closed = [
            path
            for path, module in walk(self.module)
            if path and self.is_leaf(module, path) and (path in self.opaque or not is_torch_leaf(module))
        ]
        counted: dict[int, int] = {}
        for path in closed:
            for parameter in self.module.get_submodule(path).parameters():
                counted[id(parameter)] = parameter.numel()
        inside = total - sum(counted.values())
        return inside / total if total else 1.0


_BEGIN_AGAIN = (LeakedValueError, ModeSwitchedError, UnhashableNumberError, StandInNeededError, OpenedLeafError)
"""What a trace has learnt too late; it begins again, and knows."""


class _MisplacedError(Exception):
    """A stand-in for a builtin class met what takes the class itself; the trace must do without."""


class _HostRandomnessError(Exception):
    """Random numbers were drawn from outside torch; the trace must find out where."""


class _FlagNeededError(Exception):
    """A module hands `self.training` to something that takes a bool only; it must be traced for each mode apart."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class _OpaqueError(Exception):
    def __init__(self, module: OpaqueModule) -> None:
        super().__init__(module.reason)
        self.module = module


def _fake(value: Any, mode: FakeTensorMode, real: dict[int, torch.Tensor]) -> Any:
    """Return a fake tensor for a tensor, a new one each time, so that each place of the inputs has its own.

    The real one is put into `real` by the identity of the fake one.
    """
    if not isinstance(value, torch.Tensor):
        return value
    if value.is_meta:
        return FakeTensor(mode, torch.empty_like(value), torch.device("cpu"))
    fake = mode.from_tensor(value.detach().view_as(value))
    real[id(fake)] = value
    return fake


def _contents(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Return the places and leaves of nested inputs."""
    parts = parts_of(value)
    return (
        [(place, value)] if parts is None else [pair for key, part in parts for pair in _contents(part, (*place, key))]
    )


def _changed_classes(result: Any) -> Iterator[str]:
    for kind in special_classes(result):
        plain = "tuple" if issubclass(kind, tuple) else "list" if issubclass(kind, list) else "dict"
        has_parts = issubclass(kind, (tuple, list, dict)) or is_dataclass(kind)
        which = "" if has_parts else " of its attributes that hold tensors"
        yield f"where the model returns {kind.__name__}, the source returns a plain {plain}{which}"


def _graph_keys(calls: Calls) -> dict[str, tuple[str, ...]]:
    def number(path: str, index: int) -> int:
        return index

    return {path: tuple(graph_of(call, number).key for call in traced) for path, traced in calls.items()}

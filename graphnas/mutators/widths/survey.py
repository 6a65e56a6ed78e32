"""Which channels of a model hang together: its graphs, interpreted over axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphnas.ir.abstract import bind, type_of, value_of
from graphnas.ir.graph import Graph, Node
from graphnas.ir.infer import infer, same_type
from graphnas.ir.literal import Argument, FrozenDict, Value
from graphnas.ir.module import Definition, ModuleSpec, join
from graphnas.ir.retype import has_train_graph
from graphnas.ir.types import ScalarType, Type
from graphnas.mutators.widths import cutting, layers, shapes  # noqa: F401  # they fill the table
from graphnas.mutators.widths.axes import Atom, Axis, atoms, fresh, pin, resolve
from graphnas.mutators.widths.call import TABLE, Call, Division, UnknownCall
from graphnas.mutators.widths.leaves import State, arguments_of, leaf_kind, state_of
from graphnas.mutators.widths.pointwise import numbers
from graphnas.mutators.widths.values import (
    Abstract,
    Key,
    Number,
    Place,
    Tensor,
    axes_in,
    has_type,
    unchanging,
)

Run = tuple[str, int, bool]
"""A call of a definition: path, number of the forward, and whether in train mode."""


@dataclass
class Uses:
    """What is written in terms of some atoms.

    Attributes:
        places: Numbers.
        states: Parameters and buffers, by the path of the module and their name.
        values: Tensors that a graph computes.
    """

    places: dict[Place, Axis] = field(default_factory=dict)
    states: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    values: dict[tuple[Run, str], Tensor] = field(default_factory=dict)

    def update(self, other: Uses) -> None:
        """Add what another one has."""
        self.places.update(other.places)
        self.states.update(other.states)
        self.values.update(other.values)


@dataclass
class Survey:
    """What was found out about the widths of a model.

    Attributes:
        places: Numbers that are written in the model, and the axis that each is the size of.
        divisions: What has to be divisible.
        states: Parameters and buffers by the path of their module; shared modules stand under their source.
        runs: The tensors of the first call of each definition, by the name of their node.
        aliases: Paths of shared modules and tied parameters, and the path that each is really.
        uses: What is written in terms of an atom.
    """

    places: dict[Place, Axis] = field(default_factory=dict)
    divisions: list[Division] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    runs: dict[Run, dict[str, Tensor]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    uses: dict[Atom, Uses] = field(default_factory=dict)

    def affected(self, sizes: Iterable[Atom]) -> Uses:
        """Return what is written in terms of any of some atoms."""
        found = Uses()
        for atom in sizes:
            found.update(self.uses.get(atom, Uses()))
        return found

    def index(self) -> None:
        """Find out what is written in terms of which atom, once everything is known."""
        for place, axis in self.places.items():
            for atom in atoms(resolve(axis)):
                self.uses.setdefault(atom, Uses()).places[place] = axis
        for path, state in self.states.items():
            for name, tensor in state.items():
                for atom in _atoms_of(tensor):
                    self.uses.setdefault(atom, Uses()).states[path, name] = tensor
        for run, values in self.runs.items():
            for name, tensor in values.items():
                for atom in _atoms_of(tensor):
                    self.uses.setdefault(atom, Uses()).values[run, name] = tensor

    def real(self, path: str) -> str:
        """Return the path under which what stands at `path` is known: that of the source if it is shared."""
        found = self.aliases.get(path)
        if found is not None or not self.aliases:
            return found or path
        names = path.split(".")
        for count in range(len(names) - 1, 0, -1):
            above = self.aliases.get(".".join(names[:count]))
            if above is not None:
                return self.real(".".join([above, *names[count:]]))
        return path

    def names(self, path: str) -> Iterator[str]:
        """Yield every path at which the module at a real path stands, that one first."""
        yield path
        for alias in self.aliases:
            source = self.real(alias)
            if path == source or path.startswith(f"{source}."):
                yield alias + path[len(source) :]


def _atoms_of(tensor: Tensor) -> Iterator[Atom]:
    for axis in tensor.axes:
        yield from atoms(resolve(axis))


def survey(root: Definition) -> Survey:
    """Return which channels of a model hang together."""
    found = Survey()
    reader = _Reader(found)
    found.aliases.update(_aliases(root))
    parts = [(path, part) for path, part in root.walk() if found.real(path) == path]
    for path, part in parts:
        reader.state(path, part)
    for path, part in parts:
        if isinstance(part, Definition):
            reader.initialise(path, part)
    for number, forward in enumerate(root.forwards):
        for training in (False, True)[: 1 + has_train_graph(root)]:
            graph = forward.train if training and forward.train is not None else forward.eval
            values = [unchanging(item.type, f"%{item.name}, an input of the model") for item in graph.inputs]
            types = [item.type for item in graph.inputs]
            result = reader.run(root, "", number, training, values, types)
            for axis in axes_in(result):
                pin(axis, "the output of the model")
    reader.unify_ties()
    found.index()
    return found


def _aliases(root: Definition) -> Iterator[tuple[str, str]]:
    """Yield every tie as two paths from the root, those further up first."""
    if root.has_ties:
        for path, part in root.walk():
            for tie in part.ties if isinstance(part, Definition) else ():
                yield join(path, tie.path), join(path, tie.source)


class _Reader:
    """Interprets definitions, and enters what it finds into a survey."""

    def __init__(self, found: Survey) -> None:
        self.found = found
        self.arguments: dict[str, dict[str, Abstract]] = {}

    # State.

    def state(self, path: str, part: Definition | ModuleSpec) -> None:
        """Enter the parameters and buffers of a module, and what its initialisation does to them."""
        spec = part if isinstance(part, ModuleSpec) else part.base
        state: State = {}
        if spec is not None:
            self.arguments[path] = arguments_of(path, spec)
            state = state_of(path, spec, self.arguments[path], self.found.places, self.found.divisions) or {}
        self.found.states[path] = state
        if isinstance(part, ModuleSpec):
            return
        for name, parameter in part.parameters.items():
            state[name] = Tensor(tuple(fresh(size) for size in parameter.type.shape))
            self._initial(path, name, parameter.initial, state[name])
        for name, buffer in part.buffers.items():
            why = "" if buffer.initial is not None else f"{join(path, name)}, a constant"
            state[name] = Tensor(tuple(fresh(size, pin=why) for size in buffer.type.shape))
            self._initial(path, name, buffer.initial, state[name])

    def initialise(self, path: str, part: Definition) -> None:
        """Enter what the constructor of a definition does to parameters."""
        if part.init.nodes:
            self._graph(part, path, part.init, "init", 0, {}, [node.type for node in part.init.nodes], {}, False)

    def _initial(self, path: str, name: str, graph: Graph | None, whole: Tensor) -> None:
        if graph is None:
            return
        types = [node.type for node in graph.nodes]
        result = self._graph(None, path, graph, "initial", name, {}, types, {}, False)
        why = f"the initial value of {join(path, name)}"
        if isinstance(result, Tensor) and result.shape == whole.shape:
            call = Call(why, "=", (), {}, ScalarType(None), self.found.places)
            for axis, other in zip(whole.axes, result.axes, strict=True):
                call.same(axis, other)
        else:
            for axis in whole.axes:
                pin(axis, why)

    def unify_ties(self) -> None:
        """Let tied parameters have the same axes."""
        for path, source in self.found.aliases.items():
            one, other = self._tensor(path), self._tensor(source)
            if one is None or other is None:
                for axis in axes_in(one or other or ()):
                    pin(axis, f"the tie of {path} to {source}")
                continue
            call = Call(path, "the tie", (), {}, ScalarType(None), self.found.places)
            for axis, alike in zip(one.axes, other.axes, strict=True):
                call.same(axis, alike)

    def _tensor(self, path: str) -> Tensor | None:
        above, _, name = path.rpartition(".")
        return self.found.states.get(self.found.real(above), {}).get(name)

    # Graphs.

    def run(
        self,
        definition: Definition,
        path: str,
        forward: int,
        training: bool,
        inputs: Sequence[Abstract],
        types: Sequence[Type],
    ) -> Abstract:
        """Interpret one call of a definition, and return what it gives."""
        whole = definition.forwards[forward]
        in_train = training and whole.train is not None
        graph = whole.train if in_train and whole.train is not None else whole.eval
        nodes = [node.type for node in graph.nodes]
        if not all(same_type(item.type, given) for item, given in zip(graph.inputs, types, strict=True)):
            nodes = [*infer(definition, forward, types, training=training).nodes]
        env = {item.name: value for item, value in zip(graph.inputs, inputs, strict=True)}
        known = {item.name: given for item, given in zip(graph.inputs, types, strict=True)}
        result = self._graph(definition, path, graph, "forward", 2 * forward + in_train, env, nodes, known, training)
        tensors = {node.name: value for node in graph.nodes if isinstance(value := env[node.name], Tensor)}
        self.found.runs.setdefault((path, forward, training), tensors)
        return result

    def _graph(
        self,
        definition: Definition | None,
        path: str,
        graph: Graph,
        part: str,
        which: Key,
        env: dict[str, Abstract],
        nodes: Sequence[Type],
        types: dict[str, Type],
        training: bool,
    ) -> Abstract:
        """Interpret a graph, enter its values into `env` and their types into `types`, and return its output."""
        at = self.found.real(path)
        for node, type in zip(graph.nodes, nodes, strict=True):
            types[node.name] = type
            frame = _Frame(at, part, which, node.name, env)
            env[node.name] = self._node(definition, path, node, type, frame, types, training)
        return _Frame(at, part, which, "", env).bind(graph.output, ("output",))

    def _node(
        self,
        definition: Definition | None,
        path: str,
        node: Node,
        type: Type,
        frame: _Frame,
        types: Mapping[str, Type],
        training: bool,
    ) -> Abstract:
        kind, target = node.operation.kind, node.operation.target
        if kind == "training":
            return Number(False)
        if kind == "attribute":
            assert definition is not None, "an expression reads no attributes"
            return self._attribute(definition, path, target, type)
        args = tuple(frame.bind(item, (index,)) for index, item in enumerate(node.args))
        kwargs = {name: frame.bind(item, (name,)) for name, item in node.kwargs.items()}
        site = f"{path}:{node.name}"
        name = target.rpartition(":")[2].rpartition(".")[2]
        if kind == "module":
            assert definition is not None, "an expression calls no modules"
            callee, below = definition.child(target), join(path, target)
            if isinstance(callee, Definition):
                return self._call(callee, below, node, args, kwargs, types, training)
            name, kwargs = self._leaf(callee, self.found.real(below), args, kwargs)
        elif kind == "assign":
            name = "copy"
            assert definition is not None, "an expression assigns nothing"
            args = (*args, self._attribute(definition, path, target, type))
        return transferred(Call(site, name, args, kwargs, type, self.found.places, self.found.divisions))

    def _call(
        self,
        callee: Definition,
        below: str,
        node: Node,
        args: tuple[Abstract, ...],
        kwargs: dict[str, Abstract],
        types: Mapping[str, Type],
        training: bool,
    ) -> Abstract:
        inputs = callee.forwards[node.operation.forward].eval.inputs
        values = {name: value_of(types[name]) for name in {value.name: None for value in node.inputs}}
        given, items = iter(args), iter(node.args)
        passed: list[Abstract] = []
        found: list[Type] = []
        for item in inputs:
            is_named = item.name in node.kwargs
            passed.append(kwargs[item.name] if is_named else next(given))
            found.append(type_of(bind(node.kwargs[item.name] if is_named else next(items), values)))
        return self.run(callee, below, node.operation.forward, training, passed, found)

    def _leaf(
        self, spec: ModuleSpec, path: str, args: tuple[Abstract, ...], kwargs: dict[str, Abstract]
    ) -> tuple[str, dict[str, Abstract]]:
        """Return a call of a leaf in its functional form: what it was constructed with and holds are keywords."""
        settings = {name: item for name, item in self.arguments.get(path, {}).items() if name not in _NOT_PASSED}
        return leaf_kind(spec) or spec.type, {**settings, **self.found.states.get(path, {}), **kwargs}

    def _attribute(self, definition: Definition, path: str, target: str, type: Type) -> Abstract:
        above, _, name = target.rpartition(".")
        state = self.found.states.get(self.found.real(join(path, above)), {})
        found = state.get(name) or state.get(target)
        if found is not None and has_type(found, type):
            return found
        return unchanging(type, f"{join(path, target)}, which is not followed")


_NOT_PASSED = ("bias", "weight", "device", "dtype")


def transferred(call: Call) -> Abstract:
    """Return what a call gives by the table; where that does not know the call, nothing in it can change."""
    if isinstance(call.type, ScalarType) and all(isinstance(item, Number) for item in call.args):
        return numbers(call)
    apply = TABLE.get(call.name) or TABLE.get(call.name.rstrip("_"))
    if apply is not None:
        try:
            found = apply(call)
        except (UnknownCall, IndexError, KeyError, ValueError):  # arguments of a form that the table does not know
            return call.unchanging()
        if has_type(found, call.type):
            return found
    return call.unchanging()


@dataclass(slots=True)
class _Frame:
    """Where the arguments of a node stand."""

    path: str
    part: str
    which: Key
    node: str
    env: Mapping[str, Abstract]

    def bind(self, argument: Argument, keys: tuple[Key, ...]) -> Abstract:
        """Return an argument as an abstract value; numbers in it know where they are written."""
        if isinstance(argument, Value):
            return self.env[argument.name]
        if type(argument) is int:
            return Number(argument, None, Place(self.path, self.part, self.which, self.node, keys))
        if isinstance(argument, tuple):
            return tuple(self.bind(item, (*keys, index)) for index, item in enumerate(argument))
        if isinstance(argument, FrozenDict):
            return {key: self.bind(item, (*keys, key)) for key, item in argument.items()}
        if isinstance(argument, slice):
            return {name: self.bind(getattr(argument, name), (*keys, name)) for name in ("start", "stop", "step")}
        return Number(argument)

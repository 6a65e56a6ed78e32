"""Operations that work on each element, on sizes, or that reduce dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from graphnas.ir.literal import Literal
from graphnas.ir.types import ScalarType, TensorType, Type
from graphnas.mutators.widths.axes import Axis, cut, joined, number, product, resolve, size_of
from graphnas.mutators.widths.call import TABLE, Call, UnknownCall, dims, plain, transfer
from graphnas.mutators.widths.values import Abstract, Number, Other, Tensor, tensors_in

_ARITHMETIC = (
    "add sub mul truediv div floordiv true_divide floor_divide pow mod remainder fmod eq ne lt le gt ge and or "
    "xor and_ or_ __and__ __or__ rsub iadd isub imul itruediv ifloordiv ipow lshift rshift neg abs invert pos not_ not "
    "maximum minimum fmin fmax hypot atan2 lerp addcmul addcdiv where logical_and logical_or logical_not logical_xor "
    "bitwise_and bitwise_or bitwise_not bitwise_xor is_ is_not"
)
_ELEMENTS = (
    "relu relu6 gelu silu sigmoid tanh elu selu celu leaky_relu rrelu hardswish hardsigmoid hardtanh hardshrink "
    "softshrink tanhshrink softplus softsign mish logsigmoid threshold clamp clip clamp_min clamp_max exp expm1 log "
    "log2 log10 log1p sqrt rsqrt reciprocal square sin cos tan asin acos atan sinh cosh erf erfc erfinv floor ceil "
    "round trunc frac sign sgn nan_to_num isnan isinf isfinite positive negative exp2 special_expit logit xlogy "
    "bernoulli softmax log_softmax softmin cumsum cumprod logcumsumexp normalize flip sort gumbel_softmax masked_fill "
    "masked_scatter tril triu fill zero copy normal uniform trunc_normal exponential zeros_like ones_like empty_like "
    "full_like rand_like randn_like dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout "
    "to type float double half bfloat16 int long bool cpu cuda contiguous clone detach requires_grad_ type_as data "
    "real identity kaiming_normal kaiming_uniform xavier_normal xavier_uniform constant "
    "orthogonal expand_as ones_ zeros_ eye_ dirac sparse "
    "fft fftn fft2 ifft ifftn ifft2 as_tensor QuantStub DeQuantStub Identity"
)
_CLASSES = (
    "ReLU ReLU6 GELU SiLU Sigmoid Tanh ELU SELU CELU LeakyReLU RReLU Hardswish Hardsigmoid Hardtanh Hardshrink "
    "Softshrink Tanhshrink Softplus Softsign Mish LogSigmoid Threshold Softmax LogSoftmax Softmin Softmax2d Dropout "
    "Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout"
)


def pointwise(call: Call) -> Abstract:
    """Every dimension of the result is that of the arguments, which are broadcast."""
    given = [tensor for value in (*call.args, *call.kwargs.values()) for tensor in tensors_in(value)]
    if not given:
        raise UnknownCall
    axes = call.broadcast(given)

    def make(type: Type) -> Abstract:
        if not isinstance(type, TensorType):
            raise UnknownCall
        return Tensor(axes)

    return call.each(make)


TABLE.update(dict.fromkeys((*_ARITHMETIC.split(), *_ELEMENTS.split(), *_CLASSES.split()), pointwise))


# Sizes.


def numbers(call: Call) -> Abstract:
    """Return the result of arithmetic with sizes, as the axis that it is the size of where there is one."""
    if not isinstance(call.type, ScalarType):
        raise UnknownCall
    value = call.type.value
    if call.name in ("int", "sym_int"):
        return replace(call.args[0], value=value) if isinstance(call.args[0], Number) else Number(value)
    if call.name in ("floordiv", "truediv"):
        return _divided(call, value)
    compute = _SIZES.get(call.name)
    if type(value) is not int or compute is None or value <= 0:
        return Number(value)
    try:
        axis = compute(call)
    except UnknownCall:
        axis = None
    return Number(value, axis if axis is not None and size_of(axis) == value else None)


def _divided(call: Call, value: Literal) -> Abstract:
    whole, parts = call.args
    if not isinstance(parts, Number) or type(parts.value) is not int or not _is_size(whole):
        return Number(value)
    axis = call.axis_of(whole)
    return Number(value, None, None, (axis, parts)) if size_of(axis) == value * parts.value else Number(value)


def _operands(call: Call) -> tuple[Axis, Axis]:
    left, right = call.args
    return call.axis_of(left, stiff=1), call.axis_of(right, stiff=1)  # a factor of 2 stays what it is


def _is_size(value: Abstract) -> bool:
    return isinstance(value, Number) and (value.axis is not None or value.quotient is not None)


def _sum(call: Call) -> Axis:
    return joined([*map(resolve, _operands(call))])


def _difference(call: Call) -> Axis:
    if not _is_size(call.args[0]):
        raise UnknownCall
    whole, less = _operands(call)
    first, rest = cut(whole, size_of(less), call.why)
    call.same(first, less)
    return resolve(rest)


def _product(call: Call) -> Axis:
    return product(_operands(call))


_SIZES: dict[str, Callable[[Call], Axis]] = {
    "add": _sum,
    "sub": _difference,
    "mul": _product,
}


@transfer("shape")
def _shape(call: Call) -> Abstract:
    return tuple(Number(size_of(axis), axis) for axis in call.tensor(0).axes)


@transfer("size")
def _size(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    if call.get(1, "dim") is None:
        return tuple(Number(size_of(axis), axis) for axis in axes)
    axis = axes[dims(call.integer(1, "dim"), len(axes))[0]]
    return Number(size_of(axis), axis)


@transfer("numel", "nelement")
def _numel(call: Call) -> Abstract:
    axis = product(call.tensor(0).axes)
    return Number(size_of(axis), axis)


@transfer("len")
def _length(call: Call) -> Abstract:
    found = call.args[0]
    if isinstance(found, Tensor):
        return Number(size_of(found.axes[0]), found.axes[0])
    if isinstance(found, (tuple, dict)):
        return Number(len(found))
    raise UnknownCall


@transfer("dim", "ndim", "ndimension", "dtype", "device", "is_cuda", "is_floating_point", "is_complex", "itemsize")
@transfer("requires_grad", "layout", "is_contiguous", "get_device", "is_tensor", "isinstance", "finfo", "iinfo")
@transfer("is_nested", "is_sparse", "is_quantized", "element_size", "names", "is_autocast_enabled", "set_grad_enabled")
@transfer("is_grad_enabled", "get_default_dtype", "manual_seed", "_assert", "_assert_async", "_set_grad_enabled")
def _metadata(call: Call) -> Abstract:
    return Number(call.type.value) if isinstance(call.type, ScalarType) else Other(call.type)


@transfer("tuple", "list", "Size")
def _sequence(call: Call) -> Abstract:
    found = call.args[0] if call.args else ()
    if not isinstance(found, tuple):
        raise UnknownCall
    return found


# Reductions.


@transfer("mean", "sum", "amax", "amin", "prod", "std", "var", "norm", "logsumexp", "all", "any", "nansum", "nanmean")
@transfer("var_mean", "std_mean", "max", "min", "argmax", "argmin", "median", "mode", "vector_norm", "count_nonzero")
def _reduce(call: Call) -> Abstract:
    """The dimensions that are reduced may have any width, the others stay."""
    if not isinstance(call.get(0, "input"), Tensor):
        raise UnknownCall
    if isinstance(call.get(1, "other"), Tensor):
        return pointwise(call)
    axes = call.tensor(0).axes
    at = 2 if call.name in ("norm", "vector_norm") else 1
    found = call.get(at, "dim") or call.kwargs.get("axis")
    given = None if found is None else plain(found)
    reduced = dims(None if isinstance(given, bool) else given, len(axes))

    def make(type: Type) -> Abstract:
        if not isinstance(type, TensorType):
            raise UnknownCall
        if len(type.shape) == len(axes):
            return Tensor(tuple(number(1) if index in reduced else axis for index, axis in enumerate(axes)))
        return Tensor(tuple(axis for index, axis in enumerate(axes) if index not in reduced))

    return call.each(make)


@transfer("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "binary_cross_entropy")
def _loss(call: Call) -> Abstract:
    """What is compared has the same widths; the loss itself is a scalar, or has them too."""
    axes = call.broadcast([call.tensor(0), call.tensor(1, "target")])
    return Tensor(axes if call.shape else ())


@transfer("item", "tolist")
def _item(call: Call) -> Abstract:
    if any(size_of(axis) != 1 for axis in call.tensor(0).axes):
        raise UnknownCall
    return Number(call.type.value) if isinstance(call.type, ScalarType) else Other(call.type)


@transfer("cosine_similarity", "pairwise_distance")
def _compare(call: Call) -> Abstract:
    axes = call.broadcast([call.tensor(0, "x1"), call.tensor(1, "x2")])
    dim = dims(call.integer(2, "dim", 1 if call.name == "cosine_similarity" else -1), len(axes))[0]
    return Tensor((*axes[:dim], *axes[dim + 1 :]))

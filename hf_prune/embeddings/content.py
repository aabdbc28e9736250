"""What things consist of, as far as it decides what they compute: models, processors, code, and any other object.

Functions and classes of the user's files are read by their bytecode and by what they refer to, through closures,
global names and imports; those of installed libraries by their name and the library's version. Any other object is
read by what a pickle of it would hold.
"""

import copyreg
import functools
import hashlib
import inspect
import json
import tempfile
import weakref
from _thread import LockType, RLock
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from types import (
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import (
    FeatureExtractionMixin,
    GenerationConfig,
    ImageProcessingMixin,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.utils.hub import PushToHubMixin

from hf_prune.embeddings.code import described, imports_in, is_named, is_own, names_in, sources, version_of

Parts = list[Any] | tuple[Any, ...] | dict[Any, Any] | set[Any] | frozenset[Any]
Content = tuple[str, Parts]
"""What kind of thing it is, and its parts: of lists and tuples in their order, which of others decides nothing."""

OF_TOKENIZERS = frozenset({"truncation", "padding", "is_local", "local_files_only"})
"""Entries of a tokenizer's files that its last call has left there, or that say where it was loaded from."""

OF_SETTINGS = {
    "name_or_path",
    "_name_or_path",
    "base_model_name_or_path",
    "_commit_hash",
    "_original_object_hash",
    "_from_model_config",
    "transformers_version",
    "dtype",  # each weight has its own
    "torch_dtype",
    "model_type",  # the class has it
    "inference_mode",
    "auto_mapping",
    "deprecation_warnings",
    "verbose",
}
"""Attributes of configurations and processors that say where they come from, and decide no vector."""

OF_MODELS = {
    "name_or_path",
    "warnings_issued",
    "_is_hf_initialized",
    "_post_init_done",
    "_is_accelerate_prepared",
    "_use_kernels",
    "_weight_conversions",
    "model_card_data",
    "_model_card_text",
    "_model_card_vars",
    "_model_config",
}
"""The same of models of transformers and sentence-transformers."""

OF_CODE = {
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__annotations__",
    "__annotations_cache__",
    "__annotate_func__",
    "__orig_bases__",
    "__parameters__",
    "__wrapped__",
    "_abc_impl",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__firstlineno__",
    "__static_attributes__",
}
"""The same of functions and classes."""

OF_EVERY_MODULE = (frozenset(vars(nn.Module())) | {"_compiled_call_impl"}) - {"training"}
"""Of these the weights, buffers, parts and forward hooks decide vectors, and are read by name."""


def content_of(thing: Any) -> Content:
    """Returns what stands for a thing.

    Raises:
        TypeError, PicklingError or another: it is something that can't be read.
    """
    if type(thing) in (list, tuple, dict, set, frozenset):
        return type(thing).__name__, thing
    read = next((read for kinds, read in _READERS if isinstance(thing, kinds)), _object)
    return read(thing)


def _tensor(tensor: torch.Tensor) -> Content:
    values = hashlib.blake2b(digest_size=16)
    # numpy has bytes, and no bfloat16.
    values.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    about = f"tensor {tensor.dtype} {tuple(tensor.shape)} {values.hexdigest()}"
    # Weights of fewer bits hold their scales as attributes.
    return about, [] if type(tensor) in (torch.Tensor, nn.Parameter) else [type(tensor), vars(tensor)]


def _array(array: NDArray[Any]) -> Content:
    if array.dtype.hasobject or type(array) not in (np.ndarray, np.memmap):
        return _object(array)
    values = hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, digest_size=16)
    return f"array {array.dtype.descr} {array.shape} {values.hexdigest()}", []


def _model(module: nn.Module) -> Content:
    if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return "model", [module.module]
    if "_orig_mod" in module._modules:  # made by torch.compile
        return "model", [module._orig_mod]
    parts: list[Any] = [list(items.items()) for items in (module._parameters, module._buffers, module._modules)]
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        # Not their ids, which count all hooks of the process.
        flags = (module._forward_pre_hooks_with_kwargs, module._forward_hooks_with_kwargs)
        parts.append([(hook, any(number in flag for flag in flags)) for number, hook in hooks.items()])
    state = {name: value for name, value in vars(module).items() if name not in OF_EVERY_MODULE}
    return "model", [type(module), parts, _without(OF_MODELS, _given(module, state))]


def _settings(config: Any) -> Content:
    return "settings", [type(config), _without(OF_SETTINGS, vars(config))]


def _processor(processor: Any) -> Content:
    """Reads a tokenizer or image processor by the files that it saves, and its plain attributes."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        for file in filter(Path.is_file, Path(folder).rglob("*")):
            content = file.read_bytes()
            if file.suffix == ".json":
                saved = json.loads(content)
                unread = OF_SETTINGS | (OF_TOKENIZERS if file.name.startswith("tokenizer") else set())
                content = json.dumps({key: saved[key] for key in saved if key not in unread}, sort_keys=True).encode()
            files[file.relative_to(folder).as_posix()] = hashlib.blake2b(content).hexdigest()
    plain = {name: value for name, value in vars(processor).items() if isinstance(value, bool | int | float | str)}
    return "processor", [type(processor), files, _without(OF_SETTINGS, plain)]


def _function(function: FunctionType) -> Content:
    function = getattr(function, "_torchdynamo_orig_callable", function)  # of torch.compile
    if not is_own(function.__module__) and is_named(function):
        return _named(function)
    names, scope = names_in(function.__code__), function.__globals__
    return "function", [
        described(function.__code__),
        [function.__defaults__, function.__kwdefaults__, _without(OF_CODE, vars(function))],
        [_cell(cell) for cell in function.__closure__ or ()],
        {name: _taken(scope[name], names.attributes) for name in names.globals if name in scope},
        sources(imports_in(function.__code__, scope.get("__package__"))),
    ]


def _taken(value: Any, attributes: Iterable[str], outer: tuple[ModuleType, ...] = ()) -> Any:
    """Returns, of a module of the user's, what code with these names of attributes takes from it."""
    if not isinstance(value, ModuleType) or not is_own(value.__name__):
        return value
    if value in outer:
        return value.__name__
    used = [name for name in attributes if name in vars(value)]
    return value.__name__, {name: _taken(vars(value)[name], attributes, (*outer, value)) for name in used}


def _class(cls: type) -> Content:
    if not is_own(cls.__module__) and is_named(cls):
        return _named(cls)
    members = {
        name: value
        for name, value in vars(cls).items()
        if not isinstance(value, GetSetDescriptorType | MemberDescriptorType)
    }
    return "class", [cls.__qualname__, cls.__bases__, _without(OF_CODE, members)]


def _named(thing: Any) -> Content:
    return "named", [thing.__module__, thing.__qualname__, version_of(thing.__module__)]


def _module(module: ModuleType) -> Content:
    return "module", [module.__name__, version_of(module.__name__), sources([module.__name__])]


def _object(thing: Any) -> Content:
    """Reads an object as pickle and copy do."""
    reduce = copyreg.dispatch_table.get(type(thing))
    reduced: Any = reduce(thing) if reduce else thing.__reduce_ex__(4)
    if isinstance(reduced, str):
        module = getattr(thing, "__module__", None) or type(thing).__module__
        return "global", [module, reduced, version_of(module)]
    make, args, state, items, pairs = (*reduced, None, None, None)[:5]
    if isinstance(state, dict):
        state = _given(thing, state) or None  # as pickle has it where there is nothing
    return "object", [make, args, state, list(items or ()), dict(pairs or ())]


def _given(thing: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns attributes without those that the object has computed of others and remembers."""
    remembered = {name for name in state if isinstance(_of_class(thing, name), functools.cached_property)}
    return {name: value for name, value in state.items() if name not in remembered}


def _of_class(thing: Any, name: Any) -> Any:
    return inspect.getattr_static(type(thing), name, None) if isinstance(name, str) else None


def _without(names: Container[str], attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in names}


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name without a value yet
        return None


_READERS: list[tuple[Any, Callable[[Any], Content]]] = [
    (torch.Tensor, _tensor),
    (np.ndarray, _array),
    (nn.Module, _model),
    ((PreTrainedTokenizerBase, ImageProcessingMixin, FeatureExtractionMixin, ProcessorMixin), _processor),
    ((PretrainedConfig, GenerationConfig, PushToHubMixin), _settings),
    (FunctionType, _function),
    (MethodType, lambda method: ("method", [method.__func__, method.__self__])),
    (type, _class),
    (ModuleType, _module),
    (CodeType, lambda code: (f"code {described(code)}", [])),
    (torch.device, lambda device: (f"device {device.type}", [])),  # its number is another in each process
    (staticmethod | classmethod, lambda wrapped: ("wrapped", [wrapped.__func__])),
    (type(functools.lru_cache(len)), lambda wrapped: ("wrapped", [wrapped.__wrapped__])),
    (functools.cached_property, lambda wrapped: ("wrapped", [wrapped.func])),
    (property, lambda wrapped: ("wrapped", [wrapped.fget])),
    (MappingProxyType, lambda mapping: ("mapping", dict(mapping))),
    (weakref.ref, lambda reference: ("reference", [reference()])),
    ((LockType, RLock), lambda lock: ("lock", [])),
]
"""How to read what isn't an ordinary object; the first that fits counts."""

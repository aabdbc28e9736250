"""A digest of all that decides what an encoder computes: its state, and its code where that is no library's.

Functions and classes of the user's files are read by their bytecode and by what they refer to, through closures,
global names and imports; those of installed libraries by their name and the library's version. No digest sees what
code reads while it runs, such as a file or a service: `embed` compares some rows for that.
"""

import functools
import hashlib
import json
import pickle
import tempfile
from collections.abc import Container
from pathlib import Path
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

import torch
from datasets.utils._dill import Pickler
from torch import nn
from transformers import GenerationConfig, PretrainedConfig
from transformers.utils.hub import PushToHubMixin

from hf_prune.embeddings.code import described, is_named, is_own, names_in, source_file, version_of
from hf_prune.errors import ArgumentError
from hf_prune.models import evaluation_mode

PASSING = frozenset({"truncation", "padding", "name_or_path", "is_local"})
"""Entries of a tokenizer's files that its last call has left there, or that say where it was loaded from."""

OF_TRANSFORMERS = {
    "name_or_path",
    "_name_or_path",
    "_commit_hash",
    "_is_hf_initialized",
    "_post_init_done",
    "transformers_version",
    "warnings_issued",
    "deprecation_warnings",
    "verbose",
}
OF_SENTENCE_TRANSFORMERS = {
    "model_card_data",
    "_model_card_text",
    "_model_card_vars",
    "_model_config",
}
OF_CLASSES = {
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__annotations__",
    "__orig_bases__",
    "__parameters__",
    "__wrapped__",
    "_abc_impl",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__firstlineno__",
    "__static_attributes__",
}
NO_MATTER = OF_TRANSFORMERS | OF_SENTENCE_TRANSFORMERS | OF_CLASSES
"""Attributes that say where a thing comes from or what has happened to it, and decide no vector."""

OF_EVERY_MODULE = frozenset(vars(nn.Module())) - {"training"}
"""Of these the weights, buffers, parts and forward hooks decide vectors, and are read by name."""


def fingerprint(argument: str, thing: Any, without: Container[str] = ()) -> str:
    """Digests a model, a processor or a function by all that decides what it computes.

    Args:
        argument: what the user calls it, for the message.
        without: names of weights of the model that decide no vector.

    Raises:
        ArgumentError: it refers to something that can't be read, such as an open connection.
    """
    try:
        if not isinstance(thing, nn.Module):
            return _Digester(()).digest(thing)
        ignored = {id(weight) for name, weight in thing.named_parameters() if name in without}
        with evaluation_mode(thing):  # as it computes
            return _Digester(ignored).digest(thing)
    except (pickle.PickleError, TypeError, ValueError, AttributeError, RuntimeError, OSError, ImportError) as error:
        kind = f"a {type(thing).__name__}" if isinstance(thing, nn.Module) else repr(thing)
        raise ArgumentError(
            f"`{argument}`: can't tell {kind} from others ({type(error).__name__}: {error}); pass "
            'cache_key="...", a text that you change whenever the vectors do'
        ) from error


class _Digest:
    """A file that keeps a digest of what is written."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)

    def write(self, data: Any) -> None:
        self.hash.update(data)


class _Digester(Pickler):  # type: ignore[misc]
    """Pickles a thing as `Dataset.map` does to know a function, but nothing of the user's by its name alone."""

    def __init__(self, ignored: Container[int]) -> None:
        """Takes the ids of tensors whose values don't count."""
        self._file, self._ignored = _Digest(), ignored
        self._seen: dict[int, tuple[int, Any]] = {}  # with the things, so that no other gets their ids
        super().__init__(self._file, recurse=True)

    def digest(self, thing: Any) -> str:
        self.dump(thing)
        return self._file.hash.hexdigest()

    def persistent_id(self, thing: Any) -> Any:
        """Returns what the pickle holds in place of `thing`, or None for `thing` itself."""
        read = next((read for kinds, read in _READERS if isinstance(thing, kinds)), None)
        if read is None:
            return None
        if id(thing) in self._seen:
            return "again", self._seen[id(thing)][0]
        if not isinstance(thing, torch.Tensor):  # equal weights count as such, be they one or two
            self._seen[id(thing)] = len(self._seen), thing
        return read(self, thing)

    def tensor(self, tensor: torch.Tensor) -> Any:
        about = f"{tensor.dtype} {tuple(tensor.shape)}"
        if id(tensor) in self._ignored:
            return "tensor", about
        values = hashlib.blake2b(digest_size=16)
        # numpy has bytes, and no bfloat16.
        values.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return "tensor", about, values.hexdigest()

    def model(self, module: nn.Module) -> Any:
        parts: list[Any] = [list(items.items()) for items in (module._parameters, module._buffers, module._modules)]
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            # Not their ids, which count all hooks of the process.
            flags = (module._forward_pre_hooks_with_kwargs, module._forward_hooks_with_kwargs)
            parts.append([(hook, any(number in flag for flag in flags)) for number, hook in hooks.items()])
        state = {name: value for name, value in vars(module).items() if name not in OF_EVERY_MODULE}
        return "model", type(module), parts, _that_matter(state)

    def settings(self, config: Any) -> Any:
        return "settings", type(config), _that_matter(vars(config))

    def processor(self, processor: Any) -> Any:
        """Reads a tokenizer or image processor by the files that it saves, and its plain attributes."""
        files = []
        with tempfile.TemporaryDirectory() as folder:
            processor.save_pretrained(folder)
            for file in sorted(file for file in Path(folder).rglob("*") if file.is_file()):
                content = file.read_bytes()
                if file.name in ("tokenizer.json", "tokenizer_config.json"):
                    saved = json.loads(content)
                    content = json.dumps({key: saved[key] for key in sorted(saved) if key not in PASSING}).encode()
                files.append((str(file.relative_to(folder)), hashlib.blake2b(content).hexdigest()))
        plain = {name: value for name, value in vars(processor).items() if isinstance(value, bool | int | float | str)}
        return "processor", type(processor), files, _that_matter(plain)

    def function(self, function: FunctionType) -> Any:
        if not is_own(function.__module__) and is_named(function):
            return self.named(function)
        names = names_in(function.__code__)
        used = [(name, function.__globals__[name]) for name in names.globals if name in function.__globals__]
        return (
            "function",
            described(function.__code__),
            [function.__defaults__, function.__kwdefaults__, _that_matter(vars(function))],
            [_content(cell) for cell in function.__closure__ or ()],
            [(name, self._used(value, names.attributes)) for name, value in used],
            [source_file(name, function.__globals__.get("__package__")) for name in names.imports],
        )

    def _used(self, value: Any, attributes: list[str]) -> Any:
        """Returns, of a module of the user's, what code with these names of attributes takes from it."""
        if not isinstance(value, ModuleType) or not is_own(value.__name__) or id(value) in self._seen:
            return value
        self._seen[id(value)] = len(self._seen), value
        used = [(name, vars(value)[name]) for name in attributes if name in vars(value)]
        taken = [(name, self._used(part, attributes)) for name, part in used]
        del self._seen[id(value)]  # other code takes something else
        return "module", value.__name__, taken

    def cls(self, cls: type) -> Any:
        if not is_own(cls.__module__) and is_named(cls):
            return self.named(cls)
        members = {
            name: value
            for name, value in vars(cls).items()
            if not isinstance(value, GetSetDescriptorType | MemberDescriptorType)
        }
        return "class", cls.__qualname__, cls.__bases__, _that_matter(members)

    def named(self, thing: Any) -> Any:
        return "named", thing.__module__, thing.__qualname__, version_of(thing.__module__)

    def module(self, module: ModuleType) -> Any:
        return "module", module.__name__, version_of(module.__name__), source_file(module.__name__, None)

    def unordered(self, values: Any) -> Any:
        return "set", sorted(values, key=repr)


def _that_matter(attributes: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, attributes[name]) for name in sorted(attributes) if name not in NO_MATTER]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name without a value yet
        return None


_READERS: list[tuple[Any, Any]] = [
    (torch.Tensor, _Digester.tensor),
    (nn.Module, _Digester.model),
    ((PretrainedConfig, GenerationConfig), _Digester.settings),
    (PushToHubMixin, _Digester.processor),
    (FunctionType, _Digester.function),
    (type, _Digester.cls),
    (ModuleType, _Digester.module),
    (set | frozenset, _Digester.unordered),
    (staticmethod | classmethod, lambda digester, wrapped: ("wrapped", wrapped.__func__)),
    (type(functools.lru_cache(len)), lambda digester, wrapped: ("wrapped", wrapped.__wrapped__)),
    (functools.cached_property, lambda digester, wrapped: ("wrapped", wrapped.func)),
    (property, lambda digester, wrapped: ("wrapped", wrapped.fget)),
]
"""What is read in another way than by pickle, and how."""

"""A Hugging Face of its own, with a Hub on the loopback, and one tiny task in text and one in images."""

import gc
import importlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hub_server import Hub

hub_server = Hub()
_home = tempfile.TemporaryDirectory(prefix="hf_prune-tests-")
# Read when the libraries are imported, so before any of them is.
for _name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
    os.environ.pop(_name, None)
os.environ.update(
    HF_HOME=_home.name,
    HF_TOKEN_PATH=str(Path(_home.name, "token")),
    # No Hub but the one on this machine's loopback is ever asked.
    HF_ENDPOINT=hub_server.endpoint,
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_UPDATE_DOWNLOAD_COUNTS="0",
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    TRANSFORMERS_VERBOSITY="error",
    TOKENIZERS_PARALLELISM="false",
    CUDA_VISIBLE_DEVICES="",
)

import datasets  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from datasets import Array3D, ClassLabel, Dataset, Features, List, Value  # noqa: E402

# Else load_dataset looks for a viewer at datasets-server.127.0.0.1, for which it asks a name server.
datasets.config.USE_PARQUET_EXPORT = False

N = 37
"""Rows of each task: no multiple of the batch size, which is 8."""


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    _home.cleanup()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub, beside which no other host is looked up."""
    others: list[Any] = []

    def only_here(host: Any, *args: Any, **options: Any) -> Any:
        if host != "127.0.0.1":
            others.append(host)
            raise OSError(f"{host} is not on the loopback")
        return look_up(host, *args, **options)

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    hub_server.clear()
    yield hub_server
    hub_server.clear()
    assert not others


@dataclass(frozen=True)
class Task:
    """A dataset, and what trains a tiny model on it. torch and transformers are imported when a test asks for one.

    Attributes:
        dataset: the model's inputs, `label`, and a column `note` that no model takes.
        head: the name of the classification head.
        row_ids: from a batch as the model gets it to the (batch,) positions of its rows, which the inputs spell out.
    """

    name: str
    dataset: Dataset
    labels: np.ndarray
    head: str
    new_model: Callable[[], Any]
    row_ids: Callable[[Any], Any]
    folder: Path
    tokenizer: Any = None

    @property
    def classes(self) -> int:
        return self.dataset.features["label"].num_classes

    def trainer(
        self, *, seed: int = 0, callbacks: Any = (), model: Any = None, train_dataset: Any = None, **options: Any
    ) -> Any:
        """A Trainer with a model fresh from `seed`; `options` are Trainer's, TrainingArguments' or in_order=True."""
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

        from tests.arguments import in_order

        set_seed(seed)
        ordered = options.pop("in_order", False)
        for_trainer = {
            name: options.pop(name)
            for name in ("compute_loss_func", "eval_dataset", "data_collator")
            if name in options
        }
        if self.tokenizer is not None:
            for_trainer["processing_class"] = self.tokenizer
            for_trainer.setdefault("data_collator", DataCollatorWithPadding(self.tokenizer))
        arguments = {
            "output_dir": str(self.folder),
            "num_train_epochs": 3,
            "per_device_train_batch_size": 8,
            "per_device_eval_batch_size": 16,
            "learning_rate": 0.01,
            "seed": seed,
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "dataloader_pin_memory": False,
        }
        trainer = Trainer(
            model=self.new_model() if model is None else model,
            args=TrainingArguments(**{**arguments, **options}),
            train_dataset=self.dataset if train_dataset is None else train_dataset,
            callbacks=list(callbacks),
            **for_trainer,
        )
        return in_order(trainer) if ordered else trainer


@pytest.fixture(scope="session")
def _trainer_libraries() -> None:
    """Imports what every Trainer run uses, on one thread."""
    import torch
    import torch._dynamo
    from transformers import BertForSequenceClassification, ResNetForImageClassification, Trainer  # noqa: F401

    torch.set_num_threads(1)
    # Trainer.train collects garbage, which takes 0.2 s a call when it looks through all that was imported.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def text_task(_trainer_libraries: None, tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A BERT of 2 layers with dropout, on sentences of 4 to 12 words in 3 classes; the first word names the row."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    classes, words = 3, 12
    vocabulary = ["[PAD]", "[UNK]", *(f"row{row}" for row in range(N)), *(f"word{word}" for word in range(words))]
    wordlevel = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    wordlevel.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=wordlevel, pad_token="[PAD]", unk_token="[UNK]")

    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(N) % classes)
    # Half of the words are drawn from the class's own four, half from all.
    notes = [
        " ".join(
            [f"row{row}"]
            + [
                f"word{4 * label + rng.integers(4) if rng.random() < 0.5 else rng.integers(words)}"
                for _ in range(rng.integers(3, 12))
            ]
        )
        for row, label in enumerate(labels)
    ]
    encoded = tokenizer(notes)
    dataset = Dataset.from_dict(
        {
            "note": notes,
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "label": labels,
        },
        features=Features(
            {
                "note": Value("string"),
                "input_ids": List(Value("int32")),
                "attention_mask": List(Value("int8")),
                "label": ClassLabel(names=["bad", "fair", "good"]),
            }
        ),
    )

    def new_model() -> Any:
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=16,
                num_labels=classes,
                hidden_dropout_prob=0.1,
                attention_probs_dropout_prob=0.1,
            )
        )

    return Task(
        name="text",
        dataset=dataset,
        labels=labels,
        head="classifier",
        new_model=new_model,
        row_ids=lambda inputs: inputs["input_ids"][:, 0] - 2,
        folder=tmp_path_factory.mktemp("text"),
        tokenizer=tokenizer,
    )


@pytest.fixture(scope="session")
def image_task(_trainer_libraries: None, tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A ResNet of two stages on grey images of 8 x 8 pixels in 4 classes; the first pixel names the row."""
    from transformers import ResNetConfig, ResNetForImageClassification

    classes = 4
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(N) % classes)
    images = rng.normal(size=(N, 1, 8, 8)) + rng.normal(size=(classes, 1, 8, 8))[labels]
    images[:, 0, 0, 0] = np.arange(N) / 64
    dataset = Dataset.from_dict(
        {"pixel_values": images.astype(np.float32), "label": labels, "note": [f"image {row}" for row in range(N)]},
        features=Features(
            {
                "pixel_values": Array3D((1, 8, 8), "float32"),
                "label": ClassLabel(names=["bird", "cat", "deer", "dog"]),
                "note": Value("string"),
            }
        ),
    )

    def new_model() -> Any:
        return ResNetForImageClassification(
            ResNetConfig(
                num_channels=1,
                embedding_size=8,
                hidden_sizes=[8, 16],
                depths=[1, 1],
                layer_type="basic",
                num_labels=classes,
            )
        )

    return Task(
        name="image",
        dataset=dataset,
        labels=labels,
        head="classifier.1",
        new_model=new_model,
        row_ids=lambda inputs: (inputs["pixel_values"][:, 0, 0, 0] * 64).round().long(),
        folder=tmp_path_factory.mktemp("image"),
    )


@pytest.fixture(scope="session")
def load_recipe(_trainer_libraries: None) -> Callable[[str], Any]:
    """From a recipe's name to its module, imported from trainers/ as `python trainers/<name>.py` runs it."""
    return importlib.import_module


@pytest.fixture(params=["text", "image"])
def task(request: pytest.FixtureRequest) -> Iterator[Task]:
    """Both tasks, one after the other."""
    return request.getfixturevalue(f"{request.param}_task")

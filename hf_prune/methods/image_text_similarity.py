"""How well an image and its text match, by a CLIP-like model."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from hf_prune.errors import ArgumentError
from hf_prune.kernels import Floats
from hf_prune.methods.score import Score
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class ImageTextSimilarity(Score):
    """Keeps the images that their texts describe best.

    Score: cosine of the angle between image and text features, (n,) in [-1, 1], higher = a better match. A quality and
    no difficulty: "hard" means the good end here, which is what this method keeps alone and D2 keeps first, as in
    `D2(score=ImageTextSimilarity(model))` for DataComp.

    Features are computed once and kept as those of `hf_prune.embed`; nothing else is read of the dataset.

    Args:
        model: a checkpoint for transformers with `get_image_features` and `get_text_features`, such as CLIP or SigLIP,
            by Hub id or folder.
        image_column: of images.
        text_column: of texts.
        truncate: read only the beginning of texts that are longer than the model takes (CLIP: 77 tokens), in place of
            an error.
        precision: of the model, as in `embed`; bfloat16 is faster and leaves the score two or three digits.

    Cost: one pass of the model over all rows; O(n d) after that.

    Reference: Hessel et al. (2021), without the factor of 2.5 and the floor at 0; as a filter: Gadre et al. (2023),
    section 3.4.

    >>> import hf_prune
    >>> # ds.prune(hf_prune.ImageTextSimilarity("openai/clip-vit-base-patch32", "image", "caption"), keep=0.3)
    >>> hf_prune.ImageTextSimilarity("a-clip").to_config()["text_column"]
    'text'
    """

    name: ClassVar[str] = "image_text_similarity"
    reference: ClassVar[str] = (
        "Hessel et al., CLIPScore: A Reference-free Evaluation Metric for Image Captioning (2021), arXiv 2104.08718; "
        "Gadre et al., DataComp: In Search of the Next Generation of Multimodal Datasets (2023), arXiv 2304.14108"
    )
    reads: ClassVar[frozenset[str]] = frozenset({"rows"})
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    higher_is: ClassVar = "harder"

    model: str
    image_column: str = "image"
    text_column: str = "text"
    truncate: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "float32"

    def score(self, signals: Signals, seed: int) -> Floats:
        from hf_prune.embeddings.compute import embed

        rows, how = signals.rows, {"precision": self.precision, "truncate": self.truncate}
        images = embed(rows, self.model, column=self.image_column, **how)  # type: ignore[arg-type]
        texts = embed(rows, self.model, column=self.text_column, **how)  # type: ignore[arg-type]
        if images.shape != texts.shape:
            raise ArgumentError(
                f"`model`: {self.model!r} gives images {images.shape[1]} and texts {texts.shape[1]} numbers; wanted a "
                "model that puts both in one space, with get_image_features and get_text_features"
            )
        both, image, text = (
            np.einsum("nd,nd->n", left, right, dtype=np.float64)
            for left, right in ((images, texts), (images, images), (texts, texts))
        )
        cosine: Floats = both / np.maximum(np.sqrt(image) * np.sqrt(text), np.finfo(np.float64).tiny)
        return cosine

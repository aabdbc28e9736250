"""`python -m tests.matrix [word ...]` runs the cells whose names hold the words, and writes the page."""

import gc
import os
import sys
import tempfile
import warnings

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
warnings.simplefilter("ignore")

import torch  # noqa: E402

from tests.matrix.cells import decide  # noqa: E402
from tests.matrix.page import PAGE, cells, read, written  # noqa: E402


def main(words: list[str]) -> None:
    torch.set_num_threads(1)
    outcomes = read(PAGE.read_text()) if PAGE.exists() else {}
    wrong = 0
    gc.freeze()  # else Trainer.train looks through all that was imported
    for cell in cells():
        if not cell.can_run or not all(word in " ".join(cell.name) for word in words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcomes[cell.name] = decide(cell, folder)
            except AssertionError as error:
                outcomes.pop(cell.name, None)
                wrong += 1
                print(*cell.name, f"WRONG: {error}", sep=" | ", file=sys.stderr)
                continue
        print(*cell.name, outcomes[cell.name], sep=" | ", file=sys.stderr)
        PAGE.write_text(written({cell.name: outcomes[cell.name] for cell in cells() if cell.name in outcomes}))
    sys.exit(min(wrong, 1))


main(sys.argv[1:])

"""The page says of every trainer, model and setting what the harness finds: recorded exactly, or refused at once."""

import pytest

from tests.arguments import OF_5
from tests.matrix.cells import decide
from tests.matrix.page import PAGE, cells, read, written

CELLS = cells()
SAID = read(PAGE.read_text())
AGAIN = "run `python -m tests.matrix`"


@pytest.mark.skipif(not OF_5, reason="the page says what holds with transformers 5")
@pytest.mark.filterwarnings("ignore")  # trainers of others have advice of many kinds
@pytest.mark.usefixtures("_trainer_libraries")
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: ", ".join(cell.name))
def test_a_cell(cell, tmp_path):
    if not cell.can_run:
        pytest.skip(f"{cell.needs} isn't installed")
    assert decide(cell, tmp_path) == SAID.get(cell.name), AGAIN


def test_the_page_has_every_cell_and_no_other():
    assert list(SAID) == [cell.name for cell in CELLS], AGAIN
    assert PAGE.read_text() == written(SAID), AGAIN
    assert all(outcome == "exact" or outcome.startswith("refused at step ") for outcome in SAID.values())


def test_a_page_is_read_as_it_was_written():
    outcomes = {("One", "BERT", "tokens"): "exact", ("Two", "ViT", "boxes"): "refused at step 0: `x`: why; do: this"}
    assert read(written(outcomes)) == outcomes

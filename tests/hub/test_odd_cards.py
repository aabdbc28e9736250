import pytest
from datasets import Dataset
from huggingface_hub import HfApi

import hf_prune
from hf_prune.hub.card_text import parsed
from tests.hub_server import WRITER

ID = "me/coreset"


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("---\nlicense: mit\n---\nÄpfel".encode("latin-1"), "README.md of 'me/coreset' is not in UTF-8"),
        ("---\nlicense: mit\n---\nÄpfel".encode("utf-16"), "README.md of 'me/coreset' is not in UTF-8"),
        (b"---\ntags: [a\n---\ntext", "is no mapping in YAML; mend it there and push again"),
        (b"---\n- a\n---\ntext", "is no mapping in YAML"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused_before_anything_is_pushed(hub, card, message):
    coreset = pushed_beside(hub, card)
    before = hub.files(ID)
    with pytest.raises(hf_prune.ArgumentError, match=message):
        coreset.push_to_hub(ID, token=WRITER)
    assert hub.files(ID) == before


@pytest.mark.parametrize(
    "card", [b"\xef\xbb\xbf---\nlicense: mit\n---\ntext", b"---\r\nlicense: mit\r\n---\r\ntext\r\n"]
)
def test_a_byte_order_mark_and_other_line_ends_are_read(hub, card):
    pushed_beside(hub, card).push_to_hub(ID, token=WRITER)
    whole = parsed(hub.files(ID)["README.md"].decode())
    assert whole.data["license"] == "mit"
    assert "hf_prune" in whole.data["tags"]
    assert whole.text.strip().startswith("text")


def pushed_beside(hub, card):
    """A coreset to push to a repository that has this card and nothing else."""
    HfApi(token=WRITER).create_repo(ID, repo_type="dataset")
    hub.commit(hub.repos[ID], "main", {"README.md": card})
    return Dataset.from_dict({"label": [0, 1] * 20}).prune("random", keep=9)

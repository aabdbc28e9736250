"""The dataset card's section, and what strings from data may not do in it."""

import pytest
from datasets import Dataset
from huggingface_hub import DatasetCard

import hf_prune
from hf_prune.hub.card_text import amended, plain
from hf_prune.selection.card import section
from hf_prune.selection.source import RECIPE

EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a | b\n| c |",
    "[click](javascript:alert(1))",
    "![x](http://evil/pixel.png)",
    "<!-- hf_prune default/train: end -->",
    "```\nrm -rf\n```",
    "# Title\n---\ntags: [x]\n---",
    "https://evil.example/path",
    "&lt;script&gt;",
    "$\\href{javascript:x}{y}$",
    "@everyone",
]


def test_a_section_says_what_was_kept_and_how_to_repeat_it():
    ds = Dataset.from_dict({"label": ["cat"] * 50 + ["dog"] * 50})
    selection = ds.prune("drop", keep=40, recalls={"cat": 0.9, "dog": 0.6}).selection
    text = section(selection, "me/pets", "default", "train", picture=True)
    assert text.startswith("### `train` of `default`: 40 of 100 rows (40.0%)\n\n- drop kept 40 of 100 rows, seed 0\n")
    assert "| cat | 50 | 8 | 16.0% | 0.900 |\n| dog | 50 | 32 | 64.0% | 0.600 |" in text
    assert "![what each group kept](hf_prune/default/train/selection.png)" in text
    assert 'selection = hf_prune.Selection.from_hub("me/pets")' in text
    assert "Vysogorets" in text
    assert "arXiv 2404\\.05579" in text
    other = section(selection, "me/pets", "large", "test", picture=False)
    assert 'from_hub("me/pets", config="large", split="test")' in other
    assert "selection.png" not in other


def test_references_of_every_method_in_every_step():
    ds = Dataset.from_dict({"label": [0, 1] * 20})
    method = hf_prune.DRoP(within=hf_prune.Random())
    first = ds.prune(method, keep=20, recalls=[0.5, 0.6])
    text = section(first.prune("random", keep=5).selection, "me/x", "default", "train", picture=False)
    assert text.count("2404\\.05579") == 1


def test_references_are_text(monkeypatch):
    monkeypatch.setattr(hf_prune.Random, "reference", "Somebody, *A Paper* (2026)", raising=False)
    selection = Dataset.from_dict({"x": range(9)}).prune("random", keep=6).prune("random", keep=3).selection
    text = section(selection, "me/x", "default", "train", picture=False)
    assert text.endswith("Methods, for citation:\n\n- Somebody, \\*A Paper\\* \\(2026\\)\n")


def test_many_groups_are_cut_off():
    ds = Dataset.from_dict({"label": list(range(60)) * 2})
    text = section(ds.prune("random", keep=60, quotas="equal").selection, "me/x", "default", "train", picture=False)
    assert "10 more groups are in the record." in text
    assert text.count("| 1 | 50.0% |") == 50


def test_sections_live_beside_each_other_and_the_owners_words():
    card = amended("", "one", "default", "train")
    card = amended(card, "two", "default", "test")
    card = amended(card + "\nMy own words.\n", "three", "default", "train")
    assert card.count("## How the rows were selected") == 1
    assert "one" not in card
    assert card.index("three") < card.index("two") < card.index("My own words.")
    assert card.startswith("---\ntags:\n- hf_prune\n---\n")
    assert amended(card, "three", "default", "train") == card


def test_a_broken_marker_is_left_alone():
    card = "<!-- hf_prune default/train: begin -->\nmine, without an end\n"
    assert "mine, without an end" in amended(card, "new", "default", "train")


@pytest.mark.parametrize(
    ("tags", "kept"), [("tags: birds", ["birds"]), ("tags: [a, b]", ["a", "b"]), ("tags:", []), ("license: mit", [])]
)
def test_tags_of_the_owner_stay(tags, kept):
    card = amended(f"---\n{tags}\n---\n\n# Mine\n", "one", "default", "train")
    assert DatasetCard(card).data["tags"] == [*kept, "hf_prune"]


def test_what_shows_nothing_is_left_out():
    assert plain("a\x00b\u202ec\u2066d\ufeff\x1b") == "abcd"
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert plain(persian) == persian


@pytest.mark.parametrize("evil", EVIL)
def test_strings_from_data_stay_text(evil):
    ds = Dataset.from_dict({"label": [evil] * 5 + ["good"] * 5})
    ds.info.description = f"{RECIPE} {evil}"
    selection = ds.prune("random", keep=4, quotas="equal").selection
    assert selection.history()[0] == evil.strip()
    text = section(selection, "me/x", "default", "train", picture=False)
    card = amended("# Mine\n", text, "default", "train")
    assert card.count("<!-- hf_prune default/train: end -->") == 1
    outside = card.replace("<!-- hf_prune default/train: end -->", "").replace(
        "<!-- hf_prune default/train: begin -->", ""
    )
    assert "<" not in outside
    assert "javascript:" not in card
    assert "https://evil" not in card
    assert card.count("```") == 2
    table = [line for line in card.splitlines() if line.startswith("| ")]
    assert [line.replace("\\|", "").count("|") for line in table] == [5] * len(table)
    again = amended(card, text, "default", "train")
    assert again == card


def test_what_plain_shows():
    from html import unescape

    for evil in EVIL:
        shown = unescape(plain(evil)).replace("\\", "")
        assert shown == " ".join(evil.split()).replace("\\", "") or "&lt;" in evil

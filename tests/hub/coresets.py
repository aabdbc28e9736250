"""The repository that tests push to, and what lies in it afterwards."""

from datasets import load_dataset

import hf_prune
from tests.hub_server import WRITER

N, ID = 60, "me/coreset"
RECORD = "hf_prune/default/train"


def pulled(repo=ID, *args, **options):
    return hf_prune.Selection.from_hub(repo, *args, **{"token": WRITER, **options})


def loaded(repo=ID, *args, **options):
    return load_dataset(repo, *args, **{"token": WRITER, **options})

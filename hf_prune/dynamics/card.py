"""The dataset card's section on pushed training dynamics."""

from hf_prune.dynamics.data import DynamicsData

TITLE = "## Training dynamics"

SECTION = """\
### Training dynamics of `{split}` of `{config}`

What a training run recorded of each of {n:,} rows in {epochs} epochs, of the task "{task}": {signals}{features}. They
belong to the rows that were trained on, in their order, and are refused for others:

```python
# pip install hf_prune
import hf_prune

run = hf_prune.TrainingDynamics.from_hub({where})
coreset = ds.prune("{method}", keep=0.3, dynamics=run)  # ds: the dataset that was trained on
```
"""


def section(run: DynamicsData, repo_id: str, config: str, split: str) -> str:
    """Markdown for the run of one split: what is in it, and how to prune by it."""
    options = [("config", config, "default"), ("split", split, "train")]
    where = [f'"{repo_id}"', *(f'{option}="{value}"' for option, value, usual in options if value != usual)]
    features = f", and features ({', '.join(run.features)})" if run.features else ""
    of_classes = "el2n" if "el2n" in run.signals else "perplexity"
    return SECTION.format(
        split=split,
        config=config,
        n=len(run),
        epochs=run.epochs,
        task=run.task,
        signals=", ".join(run.signals),
        features=features,
        where=", ".join(where),
        method="d2" if run.features and "el2n" in run.signals else of_classes,
    )

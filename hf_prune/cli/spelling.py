"""Messages of the library, which tell what to type in Python, with the command line's own spelling."""

import re

ARGUMENTS = frozenset(
    {"keep", "seed", "quotas", "by", "cutoff", "label_column", "scores", "embeddings", "encoder", "dynamics"}
    | {"recalls", "unlabelled", "split", "config", "method", "output", "revision", "id_column", "record_config"}
    | {"methods", "seeds", "test", "test_embeddings", "folder", "max_loss", "on", "confidence"}
    | {"column", "pooling", "truncate", "precision", "batch_size", "num_workers", "cache_dir", "explain", "private"}
)
"""Arguments of the library's calls that are options here."""

_PLACES = {
    "dataset": "SOURCE",
    "i": "--row",
    "path": "PATH",
    "repo_id": "REPO",
    "row": "--row",
    "selection": "SELECTION",
    "source": "SOURCE",
}
_IN_FILES = {
    "dynamics=recorder": "--dynamics with the file that recorder.dynamics.save() wrote",
    "an (n, d) array": "an (n, d) array in a .npy file",
}
_TYPED = re.compile(
    rf"""`(?P<named>\w+)`
       | `[^`]*`  # code, which stays
       | (?P<files>{"|".join(map(re.escape, _IN_FILES))})
       | (?<!\w)(?P<given>\w+)=(?P<value>"\w+"|'\w+'|\w+(\.\w+)*|)
       | (?P<call>(?<=\w)\()|(?P<open>\()|(?P<close>\))""",
    re.VERBOSE,
)


def in_the_shell(message: str) -> str:
    """The message with arguments as they are typed here; those of other calls stay.

    >>> in_the_shell("`keep`: wanted a fraction in (0, 1], as in keep=0.3; pass label_column= with a name")
    '--keep: wanted a fraction in (0, 1], as in --keep 0.3; pass --label-column with a name'
    >>> in_the_shell('record with PruningTrainerCallback(features=True), or give cutoff="auto"')
    'record with PruningTrainerCallback(features=True), or give --cutoff auto'
    >>> in_the_shell("PerClass(within=Random(), quotas=EqualQuotas()) needs groups: pass by= or label_column=")
    'PerClass(within=Random(), quotas=EqualQuotas()) needs groups: pass --by or --label-column'
    """
    opened: list[str] = []

    def spelled(match: re.Match[str]) -> str:
        if match["call"] or match["open"]:
            opened.append("call" if match["call"] else "open")
        elif match["close"]:
            opened[-1:] = []
        elif match["files"]:
            return _IN_FILES[match["files"]]
        elif "call" not in opened:
            name = match["named"] or match["given"]
            if name in ARGUMENTS:
                value = (match["value"] or "").strip("\"'")
                return f"--{name.replace('_', '-')}" + (f" {value}" if value else "")
            return _PLACES.get(match["named"], match[0])
        return match[0]

    return _TYPED.sub(spelled, message)

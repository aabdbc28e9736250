"""Errors: one line on stderr that says what to type here, a code, and no traceback unless it is asked for."""

import pytest

from hf_prune.cli.spelling import in_the_shell

PRUNE = ["prune", "reviews.csv", "--output", "coreset", "--method"]


RANDOM, D2, DROP, SCORES = (
    [name, "--keep", 5, *rest]
    for name, *rest in (["random"], ["d2"], ["drop", "--recalls"], ["given_scores", "--scores"])
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rndom", "--keep", 5], "unknown method 'rndom'. Did you mean 'random'?"),
        (
            ["random", "--keep", 1.5],
            "--keep: wanted a fraction in (0, 1], as in --keep 0.3, or a count, as in --keep 1",
        ),
        ([*RANDOM, "--label-column", "lable"], "--label-column: no column 'lable'. Did you mean 'label'?"),
        ([*RANDOM, "--by", "site"], "--by: no column 'site'."),
        ([*RANDOM, "--quotas", "eqaul"], "--quotas: unknown 'eqaul'. Did you mean 'equal'?"),
        ([*RANDOM, "--cutoff", "atuo"], "--cutoff: wanted a fraction in [0, 1)"),
        ([*RANDOM, "--seed", -1], "--seed: wanted a whole number of at least 0, got -1"),
        ([*RANDOM, "--unlabelled", "keeep"], "--unlabelled: "),
        (D2, "no dynamics and no embeddings, which D2("),
        (D2, "pass --dynamics with the file that recorder.dynamics.save() wrote"),
        (D2, "pass --embeddings with an (n, d) array in a .npy file or a column name, or --encoder with"),
        ([*D2, "--dynamics", "no.safetensors"], "--dynamics: no file at 'no.safetensors'"),
        ([*D2, "--dynamics", "reviews.csv"], "--dynamics: 'reviews.csv' is damaged or no safetensors file"),
        ([*D2, "--option", "kk=3"], "method 'd2' takes no option 'kk'. Did you mean 'k'?"),
        ([*D2, "--option", "k=x"], "`k`: wanted a whole number, got 'x'"),
        ([*D2, "--option", "k=2", "--option", "k=3"], "--option k was given twice"),
        ([*D2, "--option", "label-column=x"], "--option label_column: it is of every method; type --label-column"),
        ([*D2, "--option", "score=forgeting"], "unknown score 'forgeting'. Did you mean 'forgetting'?"),
        ([*SCORES, "no.npy"], "--scores: can't read 'no.npy': "),
        ([*SCORES, "vectors.npy"], "--scores: wanted shape (n,) with n = 60, got (60, 4)"),
        ([*SCORES, "text"], "--scores: column 'text' holds"),
        ([*DROP, '{"bad": 0.5'], """--recalls: wanted JSON, got '{"bad": 0.5'"""),
        ([*DROP, "bad=0.5"], """--recalls: wanted JSON, as in '{"cat": 0.6}', or a file of it"""),
        ([*DROP, '{"bad": 0.5}'], "--recalls: none for class 'good'"),
        (["{method", "--keep", 5], "wanted JSON, got '{method'"),
    ],
)
def test_each_says_what_to_type(run, folder, arguments, message):
    done = run(*PRUNE, *arguments, code=1)
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.output
    assert done.stdout == ""
    assert not (folder / "coreset").exists()


def test_no_labels(run, folder):
    (folder / "reviews.csv").write_text("text\none\ntwo\nthree\n")
    for options in (["--quotas", "equal"], ["--label-column", "label"]):
        error = run(*PRUNE, "random", "--keep", 2, *options, code=1).stderr
        assert "label-column" in error
        assert error.count("\n") == 1


def test_usage(run):
    for arguments in (["random"], ["random", "--keep", "lots"], ["d2", "--keep", 5, "--option", "k"], ["--keep"]):
        assert "Usage: hf-prune prune" in run(*PRUNE, *arguments, code=2).stderr
    assert "No such command 'purne'" in run("purne", code=2).stderr


def test_debug_shows_where_it_comes_from(run, monkeypatch):
    assert run(*PRUNE, "rndom", "--keep", 5, code=1).exception.__class__ is SystemExit
    assert "unknown method" in str(run(*PRUNE, "rndom", "--keep", 5, "--debug", code=1).exception)


def test_what_nobody_expected(run, monkeypatch):
    def fails(*args, **options):
        raise KeyError("surprise\nof two lines")

    monkeypatch.setattr("hf_prune.cli.prune.prune_splits", fails)
    error = run(*PRUNE, "random", "--keep", 5, code=1).stderr.splitlines()[-1]
    assert error == r"error: KeyError: 'surprise\nof two lines'; --debug shows where it comes from"


def test_the_hub_out_of_reach(run, monkeypatch, hub):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    for arguments in (["info", "me/reviews"], ["apply", "me/reviews", "reviews.csv", "--output", "coreset"]):
        assert run(*arguments, code=1).stderr.splitlines()[-1].startswith("error: the Hub, where what is no file")


def test_what_the_work_prints_is_not_in_the_answer(run, monkeypatch):
    def talks(splits, *args, **options):
        print("working")
        return splits.prune("random", keep=5)

    monkeypatch.setattr("hf_prune.cli.prune.prune_splits", talks)
    done = run(*PRUNE, "random", "--keep", 5)
    assert "working" in done.stderr
    assert "working" not in done.stdout


def test_python_stays_python():
    message = "sel = coreset.selection; ds.prune(quotas='equal') or `prune(keep=0.3)`, not by='site'"
    assert in_the_shell(message) == message.replace("by='site'", "--by site")

"""The errors of hf_prune: one root, and each is also the built-in error that a caller would expect."""


class HFPruneError(Exception):
    """Root of every error that hf_prune raises on purpose."""


class ArgumentError(HFPruneError, ValueError):
    """An argument has a value that can't be used; the message names it, what was wanted and what came."""


class ArgumentTypeError(HFPruneError, TypeError):
    """An argument is of a type that can't be used."""


class MissingSignalError(ArgumentError):
    """A method needs a signal (labels, dynamics, embeddings, ...) that was not given."""


class AlignmentError(ArgumentError):
    """Rows don't match: dynamics or a selection were made for other data."""


class MissingExtraError(HFPruneError, ImportError):
    """An optional dependency is not installed; the message names the extra."""

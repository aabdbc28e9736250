"""The command line, `hf-prune`: the library's own calls with their defaults, and nothing that the library can't do.

A subcommand is one function in one file, which returns an Answer; `app` lists them.
"""

"""The record of a pruning: what is kept, by what, from which data; saved, checked, shown and shared.

Imports hub, plots and the ground floor; neither torch nor kernels.
"""

"""Recording of a training run into arrays: what taps a Trainer or a loop and keeps what passes.

Imports dynamics, models and the ground floor.
"""

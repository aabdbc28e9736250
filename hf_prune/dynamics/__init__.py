"""What a training run showed of every example, epoch by epoch, as arrays and files.

Imports hub, plots and the ground floor; no torch.
"""

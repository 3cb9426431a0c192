"""Measured comparisons: a folder per task, one file for ours and one per rival in it.

`python -m bench --help` from the repository root lists the tasks.
"""

"""`import penchant` in a fresh process, and the size of the wheel."""

"""The whole of `penchant demo`."""

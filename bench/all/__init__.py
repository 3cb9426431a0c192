"""Every comparison in one table."""

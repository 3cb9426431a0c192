"""Building item-item neighbourhoods: penchant and implicit."""

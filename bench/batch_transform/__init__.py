"""A file of users in, a file of their top ten out: penchant and implicit with a CSV writer."""

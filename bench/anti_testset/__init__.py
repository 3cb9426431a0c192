"""All users by all films they have not rated, and the ten best: penchant and Surprise."""

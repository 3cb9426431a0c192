"""Ten items for every user, seen ones left out: penchant and implicit on the same factors."""

"""The endpoints, a module for each family; each has a function from a `Server` to its `Route`s."""

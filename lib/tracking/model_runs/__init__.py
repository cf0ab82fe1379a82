"""Model runs: the predictions of a model on a data set, matched with its annotations."""

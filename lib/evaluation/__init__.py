"""How good a model is: truth and scores of units, metrics with intervals, tables and pictures."""

"""The client: projects, data sets, inference sets and frames, as people and scripts use them."""

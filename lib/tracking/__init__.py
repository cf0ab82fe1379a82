"""MLflow: the store, and one run for each pipeline or experiment run."""

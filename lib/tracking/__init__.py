"""MLflow: the store, one run for each pipeline or experiment run, and runs of studies."""

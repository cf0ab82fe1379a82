"""The review page: people look at what a model found and missed, and decide, see stages.review."""

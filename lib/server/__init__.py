"""The REST server: models answer requests for the classes that sound in recordings, see stages.serve."""

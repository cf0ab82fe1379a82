"""Collection campaigns: more sounds like those of an issue, found in unlabelled frames."""

"""The curation database, and one interface to frames and labels, wherever these are."""

"""A recipe on a photo, as data."""

"""A plug-in as it was written for api 1, and never changed since."""

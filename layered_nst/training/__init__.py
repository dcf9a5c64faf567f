"""Teaching networks; no run imports it."""

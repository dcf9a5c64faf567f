"""Sheets and folders to look at."""

"""What is written beside the picture: its layers, and a report of how it came about."""

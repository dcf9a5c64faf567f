"""What a style is: target moments."""

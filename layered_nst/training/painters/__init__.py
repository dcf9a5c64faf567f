"""Teaching painters that paint at once."""

"""A picture that follows its recipe while somebody edits it."""

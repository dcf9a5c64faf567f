"""What this computer is and has."""

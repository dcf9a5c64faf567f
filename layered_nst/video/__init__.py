"""Clips in place of photos: films, animations and folders of frames, steady from frame to frame."""

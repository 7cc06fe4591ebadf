"""Where the images come from, how they are checked, kept and drawn in loader."""

"""Files as they come: the competition's lists, pickles and official text, and pictures of all kinds."""

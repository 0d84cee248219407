"""Changed copies of a recording: the same events under another detector response or mixture."""

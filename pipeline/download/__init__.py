"""Where datasets come from: apart, so that an edit of a downloader retrains nothing."""

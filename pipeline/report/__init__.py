"""The report: files of the listed runs in, Markdown, CSV and pictures out."""

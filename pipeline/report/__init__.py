"""The report: files of the listed runs in, Markdown, HTML, CSV and pictures out."""

"""The workspace folder: its files, and how they are read and written."""

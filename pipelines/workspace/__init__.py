"""The workspace folder: what lies where in it, and how it is read and written."""

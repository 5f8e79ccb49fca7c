"""Decisions about the dataset as a whole: which rows are kept, and on which side of the split."""

"""What a person sees while work runs."""

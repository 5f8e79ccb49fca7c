"""Running stages over datasets: scan, plan, run, resume."""

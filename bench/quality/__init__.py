"""Quality: how well scores tell real incidents from ordinary days, on labelled public telemetry."""

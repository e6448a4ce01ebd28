"""What a job needs, by the config alone: sizes, FLOPs, memory, and the scheduler's resources."""

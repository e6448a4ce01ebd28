"""Inside a job: how it starts, on which GPUs, as how many processes."""

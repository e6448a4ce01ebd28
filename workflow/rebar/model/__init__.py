"""Models: how they are built, loaded, placed on a device, run forward and saved."""

"""What a config file may hold: typed keys by section, plug-ins found by name, errors in words."""

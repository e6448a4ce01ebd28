"""Typed keys of a config file, by section; `rebar.config` reads them."""

"""The commands, one file each. Modules here import typer and the standard library alone; the rest when they run."""

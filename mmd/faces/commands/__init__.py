"""The commands, by what they are for. Loaded when asked for, since a command should be quick."""

"""The networks that can be trained, and the checkpoint that stores one."""

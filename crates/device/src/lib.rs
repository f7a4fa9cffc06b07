//! latchkeyd, the daemon that owns a workstation's credentials, and its login helper

//! pam_latchkey.so: asks for the PIN and lets the daemon decide

//! pam_latchkey.so: asks for the PIN and lets the daemon decide.
//!
//! It stands in the stack before the modules that ask for the password (`latchkey.pam-config` puts
//! it there by pam-auth-update): whom it cannot serve (no credential on this device, no
//! daemon, a person who comes over the network and whose PIN no policy takes from there) it leaves
//! to them without a word, and an empty answer to "PIN:" is the person's own wish for the password.
//!
//! A right PIN that is too old, or that newer rules would not take, is replaced in the same
//! conversation, before there is a session; after wrong ones in a row the daemon may want a phrase
//! typed before the next.
//!
//! Where a policy takes PINs from the network, sshd has to ask (KbdInteractiveAuthentication): with
//! PasswordAuthentication it answers every question, "PIN:" too, with the password.
//!
//! Arguments: `try_first_pass` takes what an earlier module asked for as the PIN where there is
//! something, `use_first_pass` only that; `socket=PATH` names another socket of the daemon;
//! `no_enrollment` leads nobody through an enrollment when their session begins.
//!
//! *Invariant:* the PIN goes to the daemon and nowhere else; `PAM_AUTHTOK` is never set, so no
//! module after this one sees it or tries it as a password.
//!
//! A session that begins after such a question may begin with an enrollment (`enrollment`): a program of
//! the person's leads it, and the module carries its lines to the conversation.
//!
//! *Invariant:* a guest in login programs: it starts no thread, reads no environment, links what
//! `links.txt` lists and lets no panic out.

mod enrollment;
mod ffi;
mod flow;
mod pin;

#[cfg(test)]
mod tests;

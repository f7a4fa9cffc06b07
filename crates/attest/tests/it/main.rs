//! What is accepted of a device, and above all what is not, on structures that no TPM had to make.
//! The same against a real one is in the tests of `tpm`.

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod credential;
#[cfg(test)]
mod endorsement;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod key;

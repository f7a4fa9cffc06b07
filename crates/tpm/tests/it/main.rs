//! The TPM's promises, each tested by attacking it on a real swtpm.

#[cfg(test)]
mod activate;
#[cfg(test)]
mod attest;
#[cfg(test)]
mod bus;
#[cfg(test)]
mod device_keys;
#[cfg(test)]
mod lockout;
#[cfg(test)]
mod new_key;
#[cfg(test)]
mod pin;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod root;
#[cfg(test)]
mod swtpm;

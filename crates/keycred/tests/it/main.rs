//! What the codec reads and writes, by values of others and by seeded mutation of them.

#![cfg(test)]

mod blob;
mod fuzz;
mod keys;
mod roca;
mod text;
mod vectors;

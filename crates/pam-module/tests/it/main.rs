//! Tests of the module as login programs meet it.

#[cfg(test)]
mod stack;

//! Hearth.

#[cfg(test)]
mod tidy;

fn main() {}

//! What people read.

use std::io::{self, Write};

/// A line on standard output.
pub(crate) fn say(text: &str) {
    // A reader that is gone, as of a pipe into head, wants no more.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Why the program ends, on standard error.
pub(crate) fn complain(text: &str) {
    // As above.
    let _ = writeln!(io::stderr(), "hearth: {text}");
}

//! Passwords come from a prompt, standard input or a file.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use super::PasswordFrom;
use crate::app::Failure;

/// As long as a line of input may be.
const LONGEST: u64 = 4096;

/// Asks for a new password, twice, or reads it from where it is said to be.
pub(super) fn read(from: &PasswordFrom) -> Result<String, Failure> {
    let password = if let Some(path) = &from.password_file {
        from_file(path)?
    } else if from.password_stdin || !io::stdin().is_terminal() {
        first_line(io::stdin().lock())
            .map_err(|error| Failure::Input(format!("cannot read the password: {error}")))?
    } else {
        prompt()?
    };
    if password.is_empty() {
        return Err(Failure::Input("the password is empty".to_owned()));
    }
    Ok(password)
}

fn from_file(path: &Path) -> Result<String, Failure> {
    std::fs::File::open(path)
        .and_then(first_line)
        .map_err(|error| Failure::Input(format!("cannot read the password from {}: {error}", path.display())))
}

fn first_line(input: impl Read) -> io::Result<String> {
    let mut text = String::new();
    input.take(LONGEST).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn prompt() -> Result<String, Failure> {
    let ask = |prompt| {
        rpassword::prompt_password(prompt)
            .map_err(|error| Failure::Input(format!("cannot ask for the password: {error}")))
    };
    let password = ask("Password: ")?;
    if ask("The same again: ")? != password {
        return Err(Failure::Input("the two passwords differ".to_owned()));
    }
    Ok(password)
}

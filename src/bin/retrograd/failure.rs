//! Why the program ends with another code than 0.

use retrograd::{Error, ErrorKind};
use std::io::Write as _;
use std::process::ExitCode;

/// Why the program fails.
#[derive(Debug)]
pub enum Failure {
    /// Arguments that cannot be used: code 2.
    Usage(String),
    /// Something that did not work: code 1.
    Failed(String),
    /// Something is wrong that the output has told: code 1.
    Told,
}

impl Failure {
    /// Prints it, and gives its exit code.
    pub fn report(&self) -> ExitCode {
        let (code, text) = match self {
            Self::Usage(text) => (2, Some(text)),
            Self::Failed(text) => (1, Some(text)),
            Self::Told => (1, None),
        };
        if let Some(text) = text {
            // Where standard error is closed, the code has to do.
            let _ = writeln!(std::io::stderr(), "error: {text}");
        }
        ExitCode::from(code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Argument => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// A name that is none of those that there are.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> Failure {
    Failure::Usage(format!("there is no {what} `{name}`. Here are: {}", known.join(", ")))
}

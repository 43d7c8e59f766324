use std::fmt;

/// The result of everything after recording.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; see [`Error::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The recording holds mistakes; [`Error::faults`] lists all of them.
    Recording,
    /// A step was fed wrongly: an input missing, twice, of the wrong length, or with bad values.
    Feed,
    /// A tensor or dispatch exceeds what the device can do.
    Limit,
    /// No such device, or it could not be opened.
    Device,
    /// The device went away; everything on it is lost.
    DeviceLost,
    /// The device's memory is exhausted.
    OutOfMemory,
    /// The driver rejected a shader or a command: a defect of this library or of the driver.
    Driver,
    /// A tensor was read that the plan does not keep.
    NotKept,
    /// A file could not be read or written, or does not hold what it should.
    File,
    /// An argument that cannot be used.
    Argument,
    /// A step computed an index that lies outside of what it selects from.
    Index,
    /// A check of an op found that it is wrong.
    Check,
    /// The operating system refused something.
    System,
}

/// A failure, with a text that says what happened, where, and what to do.
#[derive(thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    faults: Vec<Fault>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The text, as `Display` gives it: what `fn main() -> Result<()>` prints is meant to be read.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error {
    /// A failure of this kind with this text.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), faults: Vec::new(), source: None }
    }

    /// All root causes that a recording holds, each once.
    #[must_use]
    pub fn recording(mut faults: Vec<Fault>) -> Self {
        // A parameter that was refused is a cause wherever it is used.
        let mut known: Vec<Fault> = Vec::new();
        faults.retain(|fault| {
            let fresh = !known.contains(fault);
            if fresh {
                known.push(fault.clone());
            }
            fresh
        });
        let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let list = list.join("\n");
        let message = match faults.len() {
            1 => format!("the recording holds a mistake:\n{list}"),
            count => format!("the recording holds {count} mistakes:\n{list}"),
        };
        Self { kind: ErrorKind::Recording, message, faults, source: None }
    }

    /// The same failure with the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The same failure, with what was being done in front.
    #[must_use]
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The root causes of a [`ErrorKind::Recording`] error; empty for other kinds.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

/// One mistake in a recording: the op, what it was given, why that does not work, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The operation, as its method is called.
    pub op: String,
    /// The operands, such as `f32[4, 3]`.
    pub operands: Vec<String>,
    /// Why it does not work and what would.
    pub reason: String,
    /// Source file, line and column of the call.
    pub location: String,
    /// Names of the enclosing scopes, joined by dots; empty at the top.
    pub scope: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}): {}\n  at {}", self.op, self.operands.join(", "), self.reason, self.location)?;
        if !self.scope.is_empty() {
            write!(f, " in {}", self.scope)?;
        }
        Ok(())
    }
}

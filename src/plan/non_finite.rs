use super::Phase;
use crate::base::Shape;
use std::fmt;

/// The first number of a step that is NaN or infinite: what
/// [`Step::first_non_finite`](crate::Step::first_non_finite) returns, and what the message of an
/// [`ErrorKind::NonFinite`](crate::ErrorKind::NonFinite) is made of.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NonFinite {
    /// The number of the step, from 1, as [`State::steps`](crate::State::steps) counts them; of an inference step, which run
    /// of it.
    pub step: u32,
    /// The list that the dispatch belongs to; none where the number was there before the step.
    pub phase: Option<Phase>,
    /// The number of the dispatch in the [plan](crate::plan::Plan) that wrote it, in whose order it is the first.
    pub dispatch: Option<usize>,
    /// The work of this dispatch: the op that leads it with its attributes and the types of what it makes, or what it does to
    /// which parameters.
    pub work: Option<String>,
    /// All ops that the dispatch computes in one kernel, where there are several, with their source lines.
    pub ops: Vec<String>,
    /// For a backward dispatch: the forward op whose gradient it helps to compute, with its source line.
    pub origin: Option<String>,
    /// Constants that the dispatch reads and that are not finite themselves.
    pub constants: Vec<String>,
    /// What holds the number: the op that made the tensor, with its type; or the name of an input, of a parameter, or of an
    /// optimizer state. Should the number lie beside all tensors, in what pads them: which word of their memory it is.
    pub tensor: String,
    /// Its shape; that of a scalar beside all tensors.
    pub shape: Shape,
    /// The first element of it that is NaN or infinite, in row-major order.
    pub element: Vec<usize>,
    /// NaN, or infinity with its sign.
    pub value: f32,
    /// The source line that recorded the tensor; empty in the update.
    pub location: String,
    /// The scopes that it was recorded in.
    pub scope: String,
    /// How many other ranges of memory that were looked at in this step hold such a number as well.
    pub others: usize,
}

impl NonFinite {
    fn place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self.value {
            f32::INFINITY => "infinity",
            f32::NEG_INFINITY => "-infinity",
            _ => "NaN",
        };
        match (self.phase, self.dispatch) {
            (Some(phase), Some(dispatch)) => {
                let list = match phase {
                    Phase::Batch => "batch",
                    Phase::Forward => "forward",
                    Phase::Backward => "backward",
                    Phase::Update => "update",
                };
                write!(f, "dispatch {dispatch} ({list}) wrote {value} to {}", self.tensor)?;
            }
            _ if self.tensor.starts_with("input") => write!(f, "{} was fed {value}", self.tensor)?,
            _ => write!(f, "{} was {value} before the step", self.tensor)?,
        }
        if self.shape.rank() > 0 {
            write!(f, ", at element {:?} of {}", self.element, self.shape)?;
        }
        if !self.location.is_empty() {
            write!(f, "\n  at {}", self.location)?;
            if !self.scope.is_empty() {
                write!(f, " in {}", self.scope)?;
            }
        }
        Ok(())
    }

    const fn advice(&self) -> &'static str {
        match self.phase {
            None | Some(Phase::Batch) => {
                "Look at where this value comes from: data that were fed or put in a dataset, a parameter that was set or \
                 loaded, or a step that was not looked at (`check_numbers(1)` looks at every one, `check_feeds` at all data)"
            }
            Some(Phase::Forward | Phase::Backward) => {
                "All that was looked at before is finite: parameters, inputs, and what the dispatches before wrote. Look for \
                 a division by zero, a logarithm or root at the edge of its domain, or an overflow; scale the inputs, lower \
                 the learning rate, or clip gradients (`Training::clip_norm`)"
            }
            Some(Phase::Update) => {
                "The gradients that the backward list wrote are finite: lower the learning rate, warm it up \
                 (`Training::schedule`), or clip gradients (`Training::clip_norm`, `Training::clip_value`)"
            }
        }
    }
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: ", self.step)?;
        self.place(f)?;
        if let Some(work) = &self.work
            && *work != self.tensor
        {
            write!(f, "\n  by the work of {work}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, "\n  for the gradient of {origin}")?;
        }
        if !self.ops.is_empty() {
            write!(f, "\n  whose kernel computes, of which only results are stored: {}", self.ops.join("; "))?;
        }
        if !self.constants.is_empty() {
            write!(f, "\n  from {}", self.constants.join("; "))?;
        }
        match self.others {
            0 => {}
            1 => write!(f, "\n  and one more tensor or range of parameters of this step holds NaN or infinities")?,
            count => {
                write!(f, "\n  and {count} more tensors or ranges of parameters of this step hold NaN or infinities")?;
            }
        }
        write!(f, "\n{}", self.advice())
    }
}

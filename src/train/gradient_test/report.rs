//! What a test of gradients found, as data and as a table.

use crate::base::{Error, ErrorKind, Result, Shape};
use crate::reference::{Outcome, Slope};
use serde::Serialize;
use std::fmt;

/// So many places where gradients end are listed.
const MOST_ENDS: usize = 8;

/// What [`GradientTest::run`](super::GradientTest::run) found. Printing it gives a table; [`check`](Self::check) makes an error
/// of what is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientReport {
    /// The type of the loss, and where it was recorded.
    pub loss: String,
    /// The device.
    pub device: String,
    /// The loss in float64.
    pub value: f64,
    /// The loss on the device.
    pub device_value: f64,
    /// How far the device's loss may be from that in float64.
    pub device_allowed: f64,
    /// Random directions for every tensor.
    pub directions: usize,
    /// Every tensor that was looked at: parameters first, then float inputs.
    pub rows: Vec<GradientRow>,
    /// Where anything is wrong: the ops whose own gradient rule is not their derivative.
    pub suspects: Vec<Suspect>,
    /// Places between a tensor and the loss where gradients end on purpose, in words. What is detached was held fixed for the
    /// differences.
    pub ends: Vec<String>,
}

/// One tensor of a [`GradientReport`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientRow {
    /// Its name.
    pub name: String,
    /// Whether it is an input and not a parameter.
    pub is_input: bool,
    /// The extent of every axis.
    pub shape: Shape,
    /// The Euclidean norm of its gradient in float64.
    pub norm: f64,
    /// The greatest [error](Slope::error) along directions that tell something.
    pub error: f64,
    /// The gradient against differences in float64, direction by direction.
    pub slopes: Vec<Slope>,
    /// Where some of these told nothing: the same at a point nearby, where all parameters and float inputs are moved by about
    /// a hundredth.
    pub nearby: Vec<Slope>,
    /// What follows for the gradient itself.
    pub verdict: GradientVerdict,
    /// The device's gradient against that in float64; none where nothing comes back.
    pub device: Option<DeviceGradient>,
}

/// What a test says of a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum GradientVerdict {
    /// It agrees with differences of the loss.
    Right,
    /// It is zero, and the loss does not move either: as of a bias before a normalization, or of units that are off.
    Zero,
    /// The loss has kinks at this very point, along all directions, and nearby as well: nothing is said.
    NotSmooth,
    /// Differences are too uncertain to tell, as for very small gradients: nothing is said.
    Unclear,
    /// No gradient comes back, and the loss does not move either, what is detached held fixed. Of inputs, such as targets, it
    /// only says the first.
    NotReached,
    /// It is not the derivative of the loss.
    Wrong,
    /// The gradient or the loss is NaN or infinite.
    NotFinite,
}

/// The gradient that a device computes in float32, against that in float64.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceGradient {
    /// The Euclidean distance, relative to the norm of the gradient in float64.
    pub error: f64,
    /// How much that may be: 1e-4, or ten times the distance of the reference in float32, which rounds as well, up to 1e-2;
    /// more only for a gradient that is itself no more than the last digits of the loss.
    pub allowed: f64,
    /// The change of the loss on the device between two points a hundredth ahead and behind along a random direction.
    pub change: f64,
    /// The same in float64.
    pub reference_change: f64,
    /// How far these may be apart.
    pub change_allowed: f64,
}

impl DeviceGradient {
    /// Whether the gradient is that of the reference, up to rounding.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.error <= self.allowed
    }

    /// Whether the loss changes as that of the reference, up to rounding.
    #[must_use]
    pub fn changes_alike(&self) -> bool {
        (self.change - self.reference_change).abs() <= self.change_allowed
    }
}

/// An op whose gradient rule is not its derivative, by itself, at the values that it has in the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspect {
    /// Its name with attributes.
    pub op: String,
    /// Source file, line and column.
    pub location: String,
    /// Names of the enclosing scopes, joined by dots.
    pub scope: String,
    /// The input whose gradient is wrong.
    pub input: usize,
    /// Whether the rule gives that input a gradient at all.
    pub has_gradient: bool,
    /// Its gradient against differences of its own results.
    pub slope: Slope,
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, location, scope, input, has_gradient, slope } = self;
        let within = if scope.is_empty() { String::new() } else { format!(" in {scope}") };
        let Slope { derivative, difference, .. } = slope;
        if *has_gradient {
            write!(
                f,
                "the gradient rule of `{op}` at {location}{within} is wrong for input {input}: along a random direction it \
                 gives {derivative:.6e}, and the op's own results change by {difference:.6e}"
            )
        } else {
            write!(
                f,
                "`{op}` at {location}{within} gives input {input} no gradient, and its results change by {difference:.6e} along \
                 a random direction: `detach` the input if none should come back, or write the rule"
            )
        }
    }
}

impl GradientRow {
    /// Whether something is wrong with the gradient, here or on the device.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!(self.verdict, GradientVerdict::Wrong | GradientVerdict::NotFinite)
            || self.device.as_ref().is_some_and(|device| !device.agrees() || !device.changes_alike())
    }

    /// The verdict of these slopes, and the greatest error.
    pub(super) fn judge(slopes: &[Slope], nearby: &[Slope], comes_back: bool) -> (GradientVerdict, f64) {
        let all = || slopes.iter().chain(nearby);
        let has = |outcome: Outcome| all().any(|slope| slope.outcome == outcome);
        let telling =
            all().filter(|slope| matches!(slope.outcome, Outcome::Agrees | Outcome::Differs | Outcome::NotFinite));
        let worse = |a: f64, slope: &Slope| if slope.error > a || slope.error.is_nan() { slope.error } else { a };
        let error = telling.fold(0.0, worse);
        // A point nearby may lie where the loss is not defined: only what is not a number here counts.
        let not_finite = slopes.iter().any(|slope| slope.outcome == Outcome::NotFinite);
        let verdict = if not_finite {
            GradientVerdict::NotFinite
        } else if has(Outcome::Differs) {
            GradientVerdict::Wrong
        } else if has(Outcome::Agrees) {
            GradientVerdict::Right
        } else if has(Outcome::NotSmooth) {
            GradientVerdict::NotSmooth
        } else if has(Outcome::Unclear) {
            GradientVerdict::Unclear
        } else if comes_back {
            GradientVerdict::Zero
        } else {
            GradientVerdict::NotReached
        };
        (verdict, error)
    }

    /// The verdict in words.
    fn words(&self) -> String {
        let count = |outcome: Outcome| self.slopes.iter().filter(|slope| slope.outcome == outcome).count();
        let (kinks, unclear, all) = (count(Outcome::NotSmooth), count(Outcome::Unclear), self.slopes.len());
        let told = match self.verdict {
            GradientVerdict::Right => "right",
            GradientVerdict::Zero => "zero, and the loss does not move",
            GradientVerdict::NotSmooth => "NOT CHECKED",
            GradientVerdict::Unclear => "UNCLEAR: too small for differences",
            GradientVerdict::NotReached if self.slopes.is_empty() => "no gradient comes back",
            GradientVerdict::NotReached => "no gradient comes back, and the loss does not move",
            GradientVerdict::Wrong => "WRONG",
            GradientVerdict::NotFinite => "NOT FINITE",
        };
        let mut words = vec![told.to_owned()];
        if kinks > 0 {
            words.push(format!("not smooth here: {kinks} of {all} directions"));
        }
        if unclear > 0 && self.verdict != GradientVerdict::Unclear {
            words.push(format!("unclear here: {unclear} of {all} directions"));
        }
        let agree_nearby = self.nearby.iter().filter(|slope| slope.outcome == Outcome::Agrees).count();
        if agree_nearby > 0 {
            words.push(format!("right nearby: {agree_nearby} of {}", self.nearby.len()));
        }
        if let Some(device) = &self.device {
            if !device.agrees() && self.verdict != GradientVerdict::NotFinite {
                words.push(format!("THE DEVICE DIFFERS, by more than {:.0e}", device.allowed));
            }
            if !device.changes_alike() && device.reference_change.is_finite() {
                let DeviceGradient { change, reference_change, .. } = device;
                words.push(format!("ITS LOSS CHANGES BY {change:.4e}, not {reference_change:.4e}"));
            }
        }
        words.join("; ")
    }
}

impl GradientReport {
    /// What is known of a parameter or input.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&GradientRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Whether the device computes the loss of the reference, up to rounding. A loss that is not finite agrees with nothing.
    #[must_use]
    pub fn loss_agrees(&self) -> bool {
        self.device_value.is_finite() && (self.value - self.device_value).abs() <= self.device_allowed
    }

    /// Whether something was said of every gradient: none is [not smooth](GradientVerdict::NotSmooth) or
    /// [unclear](GradientVerdict::Unclear).
    #[must_use]
    pub fn is_conclusive(&self) -> bool {
        let open = |row: &GradientRow| matches!(row.verdict, GradientVerdict::NotSmooth | GradientVerdict::Unclear);
        !self.rows.iter().any(open)
    }

    /// Whether nothing is wrong.
    ///
    /// # Errors
    /// [`ErrorKind::Check`] with the names of all gradients that are wrong or not finite or that the device computes otherwise,
    /// and of the ops that are to blame. What could not be told is no error: see [`is_conclusive`](Self::is_conclusive).
    pub fn check(&self) -> Result<()> {
        let mut wrong: Vec<String> = Vec::new();
        if !self.loss_agrees() {
            let (value, other) = (self.value, self.device_value);
            if !value.is_finite() {
                let message = format!(
                    "the loss {} is {value} in float64, so nothing can be said of its gradients: look for what is fed that is not \
                     finite with `Training::check_feeds`, and for an op that makes it with `Training::check_numbers`",
                    self.loss
                );
                return Err(Error::new(ErrorKind::Check, message));
            }
            wrong.push(format!("the loss is {value:.7e} in float64 and {other:.7e} on {}", self.device));
        }
        let line = |row: &GradientRow| format!("the gradient of `{}` f32{}: {}", row.name, row.shape, row.words());
        wrong.extend(self.rows.iter().filter(|row| row.is_wrong()).map(line));
        if wrong.is_empty() {
            return Ok(());
        }
        wrong.extend(self.suspects.iter().map(ToString::to_string));
        let message = format!("the gradients of the loss {} are not right:\n  {}", self.loss, wrong.join("\n  "));
        Err(Error::new(ErrorKind::Check, message))
    }
}

impl fmt::Display for GradientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, device, value, device_value, directions, .. } = self;
        writeln!(f, "gradients of the loss {loss}")?;
        let differs = match (self.loss_agrees(), self.value.is_finite()) {
            (true, _) => "",
            (false, true) => ": THE LOSS DIFFERS",
            (false, false) => {
                ": THE LOSS IS NOT FINITE, so nothing can be said of its gradients; `check_numbers` tells where"
            }
        };
        writeln!(f, "the loss is {value:.7} in float64 and {device_value:.7} on {device}{differs}")?;
        writeln!(
            f,
            "each against differences in float64 along {directions} random directions, and the device against float64\n"
        )?;
        let head = ["tensor", "shape", "norm", "error", "device"].map(str::to_owned);
        let small = |x: f64| if x == 0.0 { "0".to_owned() } else { format!("{x:.1e}") };
        let cells = |row: &GradientRow| {
            let name = if row.is_input { format!("{} (input)", row.name) } else { row.name.clone() };
            // What is zero but for rounding has no error to speak of.
            let device = row.device.as_ref().filter(|device| row.verdict != GradientVerdict::Zero || !device.agrees());
            let device = device.map_or_else(String::new, |device| small(device.error));
            [name, row.shape.to_string(), small(row.norm), small(row.error), device]
        };
        let rows: Vec<[String; 5]> = self.rows.iter().map(cells).collect();
        let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, [name, shape, norm, error, device]: &[String; 5], words: &str| {
            let [a, b, c, d, e] = widths[..] else { return Ok(()) };
            writeln!(f, "{name:a$}  {shape:b$}  {norm:>c$}  {error:>d$}  {device:>e$}  {words}")
        };
        line(f, &head, "verdict")?;
        for (row, cells) in self.rows.iter().zip(&rows) {
            line(f, cells, &row.words())?;
        }
        if !self.suspects.is_empty() {
            writeln!(f)?;
            self.suspects.iter().try_for_each(|suspect| writeln!(f, "{suspect}"))?;
        }
        if !self.ends.is_empty() {
            writeln!(f, "\ngradients end on purpose at (what is detached was held fixed)")?;
            self.ends.iter().take(MOST_ENDS).try_for_each(|end| writeln!(f, "  {end}"))?;
            if self.ends.len() > MOST_ENDS {
                writeln!(f, "  and {} more", self.ends.len() - MOST_ENDS)?;
            }
        }
        Ok(())
    }
}

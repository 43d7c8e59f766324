//! From a recording to kernels: what is computed twice is merged, what nobody needs is dropped, and
//! lowerings become WGSL.

mod pointwise;
mod reduce;
mod simplify;

pub use pointwise::{Source, pointwise};
pub use reduce::reduce;
pub use simplify::{Simplified, simplify};
